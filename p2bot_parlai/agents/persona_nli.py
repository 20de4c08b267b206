"""``-m p2bot/persona_nli``: entailment between utterances and profile sentences."""

import torch
from parlai.core.opt import Opt
from parlai.core.torch_classifier_agent import TorchClassifierAgent
from parlai.utils.distributed import is_distributed, sync_parameters
from torch import Tensor

from p2bot_parlai.agents.checkpoint import check_flags
from p2bot_parlai.agents.encoder_dictionary import EncoderDictionary
from p2bot_parlai.agents.learning import Learner
from p2bot_parlai.agents.options.persona_nli import add_persona_nli_options, check_options
from p2bot_parlai.agents.receiver import NoHistory
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import encoder as encoders
from p2bot_parlai.method.backbones.precision import set_computing
from p2bot_parlai.method.model_files import (
    FORMAT,
    load_weights,
)
from p2bot_parlai.metrics.nli import KIND, LABELS, Pair, PersonaNli, read_nli_file
from p2bot_parlai.parlai_support.batches import Batch
from p2bot_parlai.parlai_support.names import set_model_type

# options that shape the network: a saved model keeps its own
SHAPE_OPTIONS = ("encoder", "pairing", "n_layers", "n_heads", "embedding_size")


class PersonaNliAgent(Learner, TorchClassifierAgent):
    """
    ParlAI's classifier over our encoders: accuracy, and precision, recall and F1 a class.

    A message is an utterance and, on the next line, a profile sentence.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_persona_nli_options(parser, partial_opt)
        set_model_type(parser)
        return parser

    @staticmethod
    def dictionary_class():
        return EncoderDictionary

    @classmethod
    def history_class(cls):
        return NoHistory

    # ----------------------------------------------------------------- construction
    def __init__(self, opt: Opt, shared=None):
        check_options(opt)
        opt["classes"] = list(LABELS)
        # what a checkpoint tells the training loop about the run; see train_loop
        self.run_state: dict = shared["run_state"] if shared else {}
        self._saved: dict | None = None  # a model file that was read, until it is loaded
        super().__init__(opt, shared)
        self.id = "PersonaNli"
        if not shared:
            sync_parameters(self.model)
            if is_distributed():
                self.model = torch.nn.parallel.DistributedDataParallel(
                    self.model,
                    device_ids=[opt["gpu"]] if self.use_cuda else None,
                    broadcast_buffers=False,
                )
        self.reset()

    def build_dictionary(self):
        dictionary = super().build_dictionary()
        dictionary.check_learnt()
        return dictionary

    def build_model(self) -> PersonaNli:
        path, _ = self._get_init_model(self.opt, None)
        dropout = self.opt["dropout"]
        if path:
            self._saved = read_nli_file(path)
            about = self._saved["p2bot"]
            check_flags(path, about["options"], self.opt.get("override", {}))
            encoder = encoders.from_json(about["encoder"], self._saved["model"])
            pairing = about["options"]["pairing"]
        else:
            pairing = self.opt["pairing"]
            if self.opt["encoder"] == encoders.SCRATCH:
                names = ("embedding_size", "n_layers", "n_heads", "dropout")
                sizes = (self.opt[name] for name in names)
                encoder = encoders.random_encoder(len(self.dict), *sizes)
            else:
                encoder = encoders.load_encoder(self.opt["encoder"])
        self.dict.sentences.limit(min(self.text_truncate, encoder.max_tokens))
        network = PersonaNli(encoder, pairing, dropout)
        set_computing(network, self.opt["precision"])
        return network

    @property
    def network(self) -> PersonaNli:
        """The network, out of a data-parallel wrapper where there is one."""
        return self.model if isinstance(self.model, PersonaNli) else self.model.module

    def share(self):
        return {**super().share(), "run_state": self.run_state}

    # ---------------------------------------------------------------- save and load
    def state_dict(self) -> dict:
        """Plain data and tensors alone: `read_model_file` refuses anything else."""
        states = super().state_dict()
        states["p2bot"] = {
            "format": FORMAT,
            "kind": KIND,
            "encoder": self.network.encoder.to_json(),
            "options": {name: self.opt[name] for name in SHAPE_OPTIONS},
            "text_truncate": self.text_truncate,
            "run": self.run_state,
        }
        return states

    def load(self, path: str) -> dict:
        states, self._saved = self._saved or read_nli_file(path), None
        load_weights(self.network, states, path)
        self.opt.update(states["p2bot"]["options"])  # with --init-model flags are at defaults
        if not self.is_finetune:
            self.run_state = states["p2bot"]["run"]
        return states

    # -------------------------------------------------------------- from text to ids
    def vectorize(self, obs, history, **kwargs):
        """``text_vec`` is there for ParlAI's dynamic batching, which asks for lengths."""
        if obs.is_padding() or not obs.get("text"):
            return obs
        ids, _ = self.dict.sentences.encode_pair(*read_pair(obs["text"]))
        obs.force_set("text_vec", torch.tensor(ids, dtype=torch.long))
        return obs

    def batchify(self, obs_batch, sort=False) -> Batch:
        valid = [(i, obs) for i, obs in enumerate(obs_batch) if self.is_valid(obs)]
        if not valid:
            return Batch(batchsize=0)
        indices, observations = zip(*valid, strict=True)
        labels = [next(iter(o.get("labels") or o.get("eval_labels") or ()), None) for o in
                  observations]  # fmt: skip
        return Batch(
            batchsize=len(valid),
            is_training=any("labels" in obs for obs in observations),
            valid_indices=torch.tensor(indices),
            # what ParlAI's classifier asks for is whether there is any
            text_vec=torch.nn.utils.rnn.pad_sequence([o["text_vec"] for o in observations], True),
            labels=None if None in labels else labels,
            pairs=[read_pair(obs["text"]) for obs in observations],
        )

    def score(self, batch: Batch) -> Tensor:
        """Logits (B, 3)."""
        return self.model(batch.pairs, self.dict.sentences)


def read_pair(text: str) -> Pair:
    """
    Utterance and profile sentence of a message.

    :raises P2botError: where it has not two lines.
    """
    found = [line.strip() for line in text.split("\n") if line.strip()]
    if len(found) != 2:
        raise P2botError(
            "persona_nli reads an utterance and a profile sentence, on two lines; this message "
            f"has {len(found)}: use -t p2bot:persona_nli"
        )
    return found[0], found[1]
