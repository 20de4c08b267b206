"""``-m p2bot/transmitter``: the Transmitter behind ParlAI's generator agent."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from parlai.core.opt import Opt
from parlai.core.torch_generator_agent import TorchGeneratorAgent
from torch import Tensor

from p2bot_parlai.agents.accumulation import Accumulating, Loss, token_budget
from p2bot_parlai.agents.batches import P2botBatch, SupervisedBatch, TrainingBatch
from p2bot_parlai.agents.checkpoint import SavedModel, plain, start_of
from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.agents.history import DialogueHistory
from p2bot_parlai.agents.learning import Learner, share_of_all
from p2bot_parlai.agents.options import adapters, folders, inherited
from p2bot_parlai.agents.options.common import check_metric
from p2bot_parlai.agents.options.persona_metrics import add_persona_metrics_options
from p2bot_parlai.agents.options.transmitter import (
    IN_TRAINING,
    NEEDS,
    add_transmitter_options,
    check_options,
    rank_without_head,
)
from p2bot_parlai.agents.response_loss import Counts, counted, response_loss
from p2bot_parlai.agents.response_metrics import ResponseMetrics
from p2bot_parlai.agents.scoring import Responder
from p2bot_parlai.agents.stock_searches import Finished, PhraseBlocklist, block_list
from p2bot_parlai.agents.whole_dialogues import TurnReader
from p2bot_parlai.errors import UsageError
from p2bot_parlai.method import backbones
from p2bot_parlai.method.backbones.folders import description_of, folder_of, load_head
from p2bot_parlai.method.backbones.names import UNTRAINED
from p2bot_parlai.method.backbones.precision import freeze_casts, keep_casts, set_computing
from p2bot_parlai.method.backbones.quantised import quantise
from p2bot_parlai.method.kv_cache import ContextMemory
from p2bot_parlai.method.layout import lay_out
from p2bot_parlai.method.model_files import read_transmitter_file
from p2bot_parlai.method.spelling import CorpusSpelling
from p2bot_parlai.method.transmitter import Transmitter, scatter_to_mask
from p2bot_parlai.parlai_support.batches import Batch
from p2bot_parlai.parlai_support.dialogues import Responses


class TransmitterAgent(Accumulating, Learner, TorchGeneratorAgent):
    """
    Learns responses by maximum likelihood (Eq. 1) and next-utterance prediction; decodes
    by beam search re-ranked with Eq. 3; ranks label candidates.
    """

    OPTIONS = (
        add_transmitter_options,
        adapters.add_adapter_options,
        add_persona_metrics_options,
    )
    SHAPE_OPTIONS = ("backbone", "n_layers", "n_heads", "embedding_size", "n_positions")
    SHAPE_OPTIONS += ("dropout", "tokenizer", "vocab_size", "adapter")
    READING_OPTIONS = folders.READING
    reads_whole_dialogues = True  # see `training_loop`

    @staticmethod
    def dictionary_class():
        return P2botDictionary

    @classmethod
    def history_class(cls):
        return DialogueHistory

    # ----------------------------------------------------------------- construction
    @classmethod
    def check(cls, opt: Opt) -> None:
        super().check(opt)
        if not start_of(opt)[0]:
            folders.take_options(opt)
        check_options(opt)

    @classmethod
    def check_training(cls, opt: Opt) -> None:
        super().check_training(opt)
        inherited.refuse(cls, opt, IN_TRAINING)
        check_metric(opt, NEEDS)

    def __init__(self, opt: Opt, shared=None):
        self.nup_coef = opt["nup_coef"]
        self.has_next_utterance = self.trains_head(opt)
        self.memory = ContextMemory()
        self.others: Responses = shared["others"] if shared else Responses(opt)
        # first, so that missing files are reported before anything slow
        self.response_metrics = (
            shared["response_metrics"] if shared else ResponseMetrics.asked_for(opt)
        )
        super().__init__(opt, shared)
        if self.response_metrics and not shared:
            self.response_metrics.to(self.device)
        if not (shared or self.has_next_utterance):
            rank_without_head(self.opt)
        backbone = self.network.backbone
        size = backbone.hidden_size, len(self.dict)
        self.budget = token_budget(opt, self.network, *size)
        self.responder = Responder(self.network, self.dict, self.opt, self.beam_block_list)
        self.responder.budget = self.budget
        self.beam_size = self.responder.beam_size
        self.reader = TurnReader(
            self.dict,
            self.text_truncate,
            self.label_truncate,
            opt["num_distractors"] if self.nup_coef > 0 else 0,
            self.others,
            self.budget,
        )

    @staticmethod
    def trains_head(opt: Opt) -> bool:
        """Whether the next-utterance head is trained in this run."""
        return opt["nup_coef"] > 0 and folders.learns(opt)

    @classmethod
    def read_saved(cls, path: str) -> SavedModel:
        return SavedModel(path, read_transmitter_file(path))

    def build_model(self) -> Transmitter:
        backbone = self._build_backbone()
        beside = self.label_truncate + 2  # [SELF] and [CLS]
        needed = self.text_truncate + beside
        if backbone.max_positions:
            self.dict.p2bot.longest_context = backbone.max_positions - beside
        reads = backbone.reads(needed)
        if reads < needed:
            raise UsageError(
                f"--text-truncate {self.text_truncate} and --label-truncate {self.label_truncate} "
                f"need {needed} positions, the backbone reads {reads}: lower them by "
                f"{needed - reads}, or choose another --backbone"
            )
        network = Transmitter(backbone)
        folder = None if self.saved else folders.folder_in(self.opt)
        if folder and (about := description_of(folder)):
            load_head(network.next_utterance, folder)
            self.has_next_utterance |= bool(about["next_utterance"])
            self.spelling = CorpusSpelling(about["spelling"], inherited=True)
        set_computing(network, self.precision, self.opt["gradient_checkpointing"])
        if self.opt["adapter"] != "none":  # the base does not learn
            if self.opt["base_dtype"] != "none":
                quantise(backbone, self.opt["base_dtype"])
            freeze_casts(network)
        elif self.opt["base_dtype"] != "none":
            raise UsageError(
                f"--base-dtype {self.opt['base_dtype']} is for the frozen base of adapters: add "
                "--adapter lora, or leave it out"
            )
        return network

    def _build_backbone(self) -> Any:
        opt = self.opt
        if self.saved:
            about = self.saved.about["backbone"]
            if not self.stacks_adapter():
                adapters.refuse_shape(opt, about.get("adapters", [None])[-1])
            return backbones.from_json(about)
        untrained = opt["backbone"] in UNTRAINED
        if opt["adapter"] == "none":
            adapters.refuse_shape(opt, None)
            if untrained:
                return backbones.build_untrained(opt["backbone"], len(self.dict), opt)
            backbone = backbones.load_backbone(opt["backbone"])
            backbone.resize(len(self.dict))
            return backbone
        if untrained:
            raise UsageError(
                f"--adapter lora: the random weights of --backbone {opt['backbone']} would stay "
                "random; name a pretrained backbone, or train all weights"
            )
        from p2bot_parlai.method.backbones import adapted, adapter_folder  # peft is an extra

        base = (opt["backbone"], len(self.dict), sorted(self.dict.p2bot.special_ids))
        if opt["adapter"] == "lora":
            found = adapted.on_base(backbones.load_backbone, *base)
            found.add(*adapters.shape_of(opt, opt["adapter_rank"]))
        else:
            found = adapter_folder.read_adapter(folder_of(opt["adapter"]), *base)
            adapters.refuse_shape(opt, plain(found.to_json()["adapters"][-1]))
        return found

    def stacks_adapter(self) -> bool:
        """Whether this run puts a new adapter on those that it starts from."""
        return False

    def _load_beam_block_list(self) -> PhraseBlocklist:
        return block_list(self.opt, self.dict)

    @property
    def device(self) -> torch.device:
        return self.network.device

    def share(self):
        shared = {"response_metrics": self.response_metrics, "others": self.others}
        return {**super().share(), **shared}

    # ---------------------------------------------------------------- save and load
    def describe(self) -> dict:
        shape = {name: self.opt[name] for name in self.SHAPE_OPTIONS}
        return {
            "backbone": self.network.backbone.to_json(),
            "options": {**shape, "context_style": self.dict.p2bot.style.name},
            "next_utterance": self.has_next_utterance,
        }

    def load(self, path: str) -> dict:
        self.has_next_utterance |= self.saved.about["next_utterance"]
        return super().load(path)

    # -------------------------------------------------------------- from text to ids
    def response_ids(self, text: str, truncate: int | None = None) -> list[int]:
        """What is scored of a response; see `TurnReader.response`."""
        return self.reader.response(text, truncate)

    def vectorize(self, obs, history, **kwargs):
        if "labels" not in obs:
            return super().vectorize(obs, history, **kwargs)
        turns = obs["turns"] = self.reader.read(obs, history)
        # ParlAI's dynamic batching asks for lengths
        obs["text_vec"] = torch.tensor(turns[-1].turn.context, dtype=torch.long)
        obs["labels_vec"] = torch.tensor(turns[-1].turn.response, dtype=torch.long)
        return obs

    def _set_text_vec(self, obs, history, truncate):
        if obs.is_padding():  # at the end of an epoch
            return obs
        context = history.context(truncate)
        obs["text_vec"] = torch.tensor(context.ids, dtype=torch.long)
        if self.beam_context_block_ngram > 0:
            obs["full_text_vec"] = history.context(None).ids
        dropped = context.full_length - len(context.ids)
        dialogue = history.dialogue
        obs["own_persona"] = list(dialogue.persona)
        obs["own_turns"] = [text for own, text in dialogue.turns if own]
        obs["context_original_length"] = context.full_length
        obs["context_truncate_rate"] = dropped > 0
        obs["context_truncated_length"] = dropped
        return obs

    def _set_label_vec(self, obs, add_start, add_end, truncate):
        super()._set_label_vec(obs, add_start, add_end, truncate)  # changes obs
        if "eval_labels_vec" in obs:
            ids = self.response_ids(obs["eval_labels_choice"], truncate)
            obs.force_set("eval_labels_vec", torch.tensor(ids, dtype=torch.long))

    def _set_label_cands_vec(self, obs, add_start, add_end, truncate):
        candidates = list(obs.get("label_candidates") or ())
        labels = obs.get("alternatives", ())
        # the same distractors in every evaluation
        others = [c for c in candidates if c not in labels] if labels else []
        wrong = others[: self.reader.distractors]
        obs["distractor_vecs"] = [self.response_ids(text, truncate) for text in wrong]
        if self.rank_candidates and candidates:
            obs.force_set("label_candidates", candidates)
            obs["label_candidates_vecs"] = [self.response_ids(c, truncate) for c in candidates]
        return obs

    def batchify(self, obs_batch, sort=False):
        learnt = [i for i, obs in enumerate(obs_batch) if "turns" in obs]
        if learnt:
            return self.reader.batch([obs_batch[i]["turns"] for i in learnt], learnt)
        batch = super().batchify(obs_batch, sort=sort)
        if batch.batchsize == 0:
            return batch
        rows = [obs_batch[i] for i in batch.valid_indices]
        if batch.text_vec is None:  # no persona, and nobody has spoken yet
            batch.text_vec = torch.full((len(rows), 1), self.NULL_IDX)
        vectors = [row.get("eval_labels_vec") for row in rows]
        responses = [None if ids is None else ids.tolist() for ids in vectors]
        wrong = [row["distractor_vecs"] for row in rows]
        labels = batch.labels or [None] * len(rows)
        own = SupervisedBatch(
            responses,
            wrong,  # its own: those of a batch would differ with --batchsize
            [self.dict.words(*pair) for pair in zip(responses, labels, strict=True)],
            contexts=[row["text_vec"].tolist() for row in rows],
            observations=rows,
        )
        return P2botBatch(**batch, p2bot=own)

    # --------------------------------------------------------------------- the loss
    def losses(self, batches: Sequence[Batch]) -> list[Loss]:
        """`response_loss`, with means over all batches: a term of each piece."""
        pieces = [piece for batch in batches for piece in batch.p2bot.pieces]
        counts = self._counts(pieces)
        messages = len(batches[-1].valid_indices) if batches else 0

        def loss(piece: SupervisedBatch) -> Tensor:
            packed = piece.packed
            read = (piece, packed.targets, packed.target_mask, *self.model(packed))
            found = response_loss(*read, counts, self.nup_coef)
            self.record_learnt(found.metrics, piece.messages, messages)
            return found.value

        return [partial(loss, piece) for piece in pieces]

    def compute_loss(self, batch, return_output=False):
        """The sum of `losses`; in evaluation the same of contexts that are encoded."""
        own = batch.p2bot
        if isinstance(own, TrainingBatch):
            return torch.stack([loss() for loss in self.losses([batch])]).sum()
        mask = batch.label_vec != self.NULL_IDX
        logits, scores = self._read_branches(own, mask)
        read = (own, batch.label_vec, mask, logits, scores)
        loss, metrics, best = response_loss(*read, self._counts([own]), self.nup_coef)
        for name, values in metrics.items():
            self.record_local_metric(name, values)
        if not return_output:
            return loss
        shown = None
        if self.show_token_details:  # ParlAI looks at them for nothing else
            shown = logits.new_zeros(*mask.shape, logits.shape[-1])
            shown[mask] = logits
        return loss, (shown, scatter_to_mask(best, mask), None)

    def _counts(self, parts: Sequence[SupervisedBatch]) -> Counts:
        """Of all processes; in evaluation each is alone."""
        counts = counted(parts).to(self.device)
        return Counts(*(share_of_all(counts) if self.is_training else counts.float()))

    def _read_branches(self, own: SupervisedBatch, mask: Tensor) -> tuple[Tensor, Tensor]:
        """
        Of contexts that are encoded: logits of the K real tokens of the labels (K, V), and
        [CLS] scores: of each row its own response's, then its distractors'.

        :param mask: bool (B, R), the real tokens.
        """
        rows = list(zip(own.responses, own.distractors, strict=True))
        responses = [[one or [self.END_IDX], *wrong] for one, wrong in rows]
        branches = lay_out(responses, self.dict.p2bot.marks).to(self.device)
        first = torch.tensor([1 + len(wrong) for _, wrong in rows]).cumsum(0).roll(1)
        first[0] = 0  # where each row's own response is among all
        predicted = branches.target_index[first.to(self.device), : mask.shape[1]][mask]
        hidden, scores = self.network.read(branches, own.states)
        return self.network.output(hidden[predicted]), scores

    # ------------------------------------------------------------------- evaluation
    def eval_step(self, batch):
        """
        The context is read once for loss, ranking, decoding and re-ranking.

        :return: ParlAI's output, and for ``--world-logs``: ``score`` of the response (Eq. 3 in
            beam search), ``label_tokens`` and ``label_words``, which weight an example's loss
            and ppl in the report, and with response metrics ``persona`` and ``nli``.
        """
        if batch.batchsize == 0:
            return None
        self.model.eval()
        own: SupervisedBatch = batch.p2bot
        with keep_casts(self.device):
            # of conversations that go on, only what is new is read
            contexts = dict(zip(batch.valid_indices.tolist(), own.contexts, strict=True))
            own.states = self.memory.read(self.network, contexts)
            output = super().eval_step(batch)
        if batch.label_vec is not None:
            output.label_tokens = (batch.label_vec != self.NULL_IDX).sum(dim=1).tolist()
            output.label_words = own.words
        if output.text is not None:
            output.score = own.scores
            if self.response_metrics:
                output.persona = [row["own_persona"] for row in own.observations]
                earlier = [row["own_turns"] for row in own.observations]
                metrics, output.nli = self.response_metrics(output.text, output.persona, earlier)
                if batch.labels:
                    metrics |= self.response_metrics.of_humans(batch.labels, output.persona)
                for name, values in metrics.items():
                    self.record_local_metric(name, values)
        return output

    def _generate(self, batch, beam_size, max_ts, prefix_tokens=None):
        contexts, verbose = self._get_batch_context(batch), self.show_token_details
        own: SupervisedBatch = batch.p2bot
        said = [row["own_turns"] for row in own.observations]
        best, finished = self.responder.respond(own.states, contexts, said, verbose)
        own.scores = [float(one.score) for one in best]
        return best, [Finished(found) for found in finished]

    def rank_eval_label_candidates(self, batch, batchsize):
        if batch.candidate_vecs is None:
            return None, None
        responses = [list(vecs or ()) for vecs in batch.candidate_vecs]
        choices, choice_scores = [], []
        scores = self.responder.score(batch.p2bot.states, responses)
        for texts, own in zip(batch.candidates, scores, strict=True):
            ordered, indices = own.sort(descending=True, stable=True)
            choices.append([texts[i] for i in indices] if texts else None)
            choice_scores.append(ordered.tolist() if texts else None)
        return choices, choice_scores

    def reset(self):
        super().reset()
        self.memory.forget()

    def update_params(self):
        super().update_params()
        self.network.updates += 1  # cached states of the old weights are void
