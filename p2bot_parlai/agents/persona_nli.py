"""``-m p2bot/persona_nli``: entailment between utterances and profile sentences."""

from parlai.core.opt import Opt
from parlai.core.torch_classifier_agent import TorchClassifierAgent
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from p2bot_parlai.agents.checkpoint import SavedModel
from p2bot_parlai.agents.encoder_agent import EncoderAgent
from p2bot_parlai.agents.options import inherited
from p2bot_parlai.agents.options.adapters import add_adapter_options
from p2bot_parlai.agents.options.encoder import check_encoder
from p2bot_parlai.agents.options.persona_nli import add_persona_nli_options
from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.nli import KIND, LABELS, Pair, PersonaNli, read_nli_file
from p2bot_parlai.parlai_support.batches import Batch
from p2bot_parlai.parlai_support.mutators import labels_of


class PersonaNliAgent(EncoderAgent, TorchClassifierAgent):
    """
    ParlAI's classifier over our encoders: accuracy, and precision, recall and F1 per class.

    A message is an utterance and, on the next line, a profile sentence.
    """

    OPTIONS = (add_persona_nli_options, add_adapter_options)
    WITHOUT_MEANING = inherited.OF_PERSONA_NLI
    SHAPE_OPTIONS = ("encoder", "pairing", "n_layers", "n_heads", "embedding_size")
    SHAPE_OPTIONS += ("dropout", "vocab_size", "adapter")

    # ----------------------------------------------------------------- construction
    @classmethod
    def check(cls, opt: Opt) -> None:
        super().check(opt)
        check_encoder(opt)

    def __init__(self, opt: Opt, shared=None):
        opt["classes"] = list(LABELS)
        super().__init__(opt, shared)

    def build(self, shared) -> None:
        if not shared:
            self.run_on_all()
        self.reset()

    @classmethod
    def read_saved(cls, path: str) -> SavedModel:
        return SavedModel(path, read_nli_file(path))

    def build_model(self) -> PersonaNli:
        encoder = self.build_encoder()
        self.dict.p2bot.limit(min(self.text_truncate, encoder.max_tokens))
        network = PersonaNli(encoder, self.opt["pairing"], self.opt["dropout"])
        self.set_computing(network)
        return network

    def describe(self) -> dict:
        encoder = self.network.encoder.to_json()
        return {"kind": KIND, "encoder": encoder, "text_truncate": self.text_truncate}

    # -------------------------------------------------------------- from text to ids
    def ids_of(self, obs) -> list[int]:
        return self.dict.p2bot.encode_pair(*read_pair(obs.get("text") or ""))[0]

    def read(self, observations) -> dict:
        told = [labels_of(obs) for obs in observations]
        return {
            # ParlAI's classifier only checks that there is one
            "text_vec": pad_sequence([obs["text_vec"] for obs in observations], True),
            # a class stands in where there is none: the task counts no metric of that example
            "labels": [found[0] if found else LABELS[0] for found in told] if any(told) else None,
            "told": [bool(found) for found in told],
            "pairs": [read_pair(obs["text"]) for obs in observations],
        }

    train_step = TorchClassifierAgent.train_step  # `Learner` has that of generators

    def _update_aucs(self, batch: Batch, probs: Tensor) -> None:
        labels = [label for label, told in zip(batch.labels, batch.told, strict=True) if told]
        super()._update_aucs(Batch(labels=labels), probs[batch.told])

    def score(self, batch: Batch) -> Tensor:
        """Logits (B, 3)."""
        return self.model(batch.pairs, self.dict.p2bot)


def read_pair(text: str) -> Pair:
    """
    Utterance and profile sentence of a message.

    :raises P2botError: unless it has two lines.
    """
    found = [line.strip() for line in text.split("\n") if line.strip()]
    if len(found) != 2:
        raise P2botError(
            "persona_nli reads an utterance and a profile sentence, on two lines; this message "
            f"has {len(found)}: use -t p2bot:persona_nli"
        )
    return found[0], found[1]
