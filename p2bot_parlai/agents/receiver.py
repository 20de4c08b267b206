"""``-m p2bot/receiver``: the Receiver as a ParlAI agent."""

from collections.abc import Sequence
from functools import partial

import torch
from parlai.core.metrics import AverageMetric, GlobalAverageMetric
from parlai.core.opt import Opt
from parlai.core.torch_agent import Output, TorchAgent
from torch import Tensor

from p2bot_parlai.agents.accumulation import Accumulating, Loss, token_budget
from p2bot_parlai.agents.checkpoint import SavedModel
from p2bot_parlai.agents.encoder_agent import EncoderAgent
from p2bot_parlai.agents.learning import share_of_all
from p2bot_parlai.agents.options import inherited
from p2bot_parlai.agents.options.adapters import add_adapter_options
from p2bot_parlai.agents.options.receiver import add_receiver_options, check_options
from p2bot_parlai.agents.perception import (
    HARD_METRIC,
    Question,
    hit_metric,
    lines,
    mrr_metric,
    ranked,
    true_cell_metric,
)
from p2bot_parlai.method.backbones.encoder import SentenceEncoder
from p2bot_parlai.method.model_files import read_receiver_file
from p2bot_parlai.method.perceiver import Perceiver, WordDropout
from p2bot_parlai.method.receiver import Receiver, build_receiver, receiver_loss, softmax_loss
from p2bot_parlai.parlai_support.batches import Batch


class ReceiverAgent(Accumulating, EncoderAgent, TorchAgent):
    """
    Learns to tell a speaker's persona from others' (Eq. 12); ranks personas (Eq. 14) and
    profile sentences (Eq. 11).

    tau goes linearly from ``--tau-start`` to ``--tau-end`` with the progress of training,
    is saved with the model, and evaluation uses it unchanged.
    """

    OPTIONS = (add_receiver_options, add_adapter_options)
    WITHOUT_MEANING = inherited.OF_RECEIVER
    SHAPE_OPTIONS = ("encoder", "share_encoders", "n_layers", "n_heads", "embedding_size")
    SHAPE_OPTIONS += ("dropout", "vocab_size", "adapter")

    # ----------------------------------------------------------------- construction
    @classmethod
    def check(cls, opt: Opt) -> None:
        super().check(opt)
        check_options(opt)

    @classmethod
    def read_saved(cls, path: str) -> SavedModel:
        return SavedModel(path, read_receiver_file(path))

    def build(self, shared) -> None:
        self.special_ids = frozenset(self.dict.p2bot.encode(""))
        if shared:
            self.perceiver: Perceiver = shared["perceiver"]
            if "optimizer" in shared:
                self.optimizer = shared["optimizer"]
            self.reset()
            return
        self.criterion = None  # the loss is Eq. 12, see p2bot_parlai.method.receiver
        self.model = self.build_model()
        self.dict.p2bot.limit(min(self.text_truncate, self.model.impression.max_tokens))
        self.perceiver = Perceiver(self.model, self.dict.p2bot, self.opt["tau_start"])
        states = self.load(self.saved.path) if self.saved else {}
        self.set_computing(self.model)
        self.model.to("cuda" if self.use_cuda else "cpu")
        budget = token_budget(self.opt, self.model, self.model.width)
        for encoder in self.model.modules():
            if isinstance(encoder, SentenceEncoder):  # within its adapters, where it has some
                encoder.budget = budget
        if self._should_initialize_optimizer():
            was_reset = self.init_optim(
                [p for p in self.model.parameters() if p.requires_grad],
                optim_states=states.get("optimizer"),
                saved_optim_type=states.get("optimizer_type"),
                is_finetune=self.is_finetune,
            )
            self.build_lr_scheduler(states, hard_reset=self.is_finetune or bool(was_reset))
        self.run_on_all()
        self.reset()

    def build_model(self) -> Receiver:
        return build_receiver(self.build_encoder, self.opt["share_encoders"])

    def set_progress(self, share: float) -> None:
        """The training loop says how much of the run is done, 0 to 1."""
        start, end = self.opt["tau_start"], self.opt["tau_end"]
        self.perceiver.tau = start + (end - start) * share
        super().set_progress(share)

    def share(self):
        shared = {**super().share(), "perceiver": self.perceiver}
        if self._should_initialize_optimizer():
            shared["optimizer"] = self.optimizer
        return shared

    # ---------------------------------------------------------------- save and load
    def describe(self) -> dict:
        return {
            "kind": "receiver",
            "encoder": self.network.impression.to_json(),
            "tau": self.perceiver.tau,
            "calibration": self.perceiver.calibrated(),
            "text_truncate": self.text_truncate,
        }

    def load(self, path: str) -> dict:
        if not self.is_finetune:  # a run that starts from another model has a tau of its own
            self.perceiver.tau = self.saved.about["tau"]
            self.perceiver.calibration = self.saved.about.get("calibration", ())
        return super().load(path)

    # -------------------------------------------------------------- from text to ids
    @staticmethod
    def written(observation) -> dict[str, list[str]]:
        said, personas = observation.get("text") or "", observation["labels"]
        return {"speech": lines(said), "profile": [s for text in personas for s in lines(text)]}

    def ids_of(self, obs) -> list[int]:
        return [i for line in lines(obs.get("text") or "") for i in self.dict.txt2vec(line)]

    def read(self, observations) -> dict:
        return {"questions": [Question.read(obs) for obs in observations]}

    # --------------------------------------------------------------------- training
    def losses(self, batches: Sequence[Batch]) -> list[Loss]:
        """The mean of `_loss` over all dialogues: a term of each batch."""
        dialogues = sum(len(batch.questions) for batch in batches)
        count = share_of_all(torch.tensor(dialogues, device="cuda" if self.use_cuda else "cpu"))
        messages = len(batches[-1].questions)

        def loss(questions: list[Question]) -> Tensor:
            distinction, norm, c, allowed = self._loss(questions)
            values = {
                "loss": distinction + norm,
                f"{self.opt['loss']}_loss": distinction,
                "l1": norm,
                "true_first": (c[:, :1] > c.masked_fill(~allowed, -torch.inf)).all(dim=1),
            }
            metrics = {name: AverageMetric.many(found.tolist()) for name, found in values.items()}
            self.record_learnt(metrics, range(len(questions)), messages)
            return values["loss"].sum() / count

        return [partial(loss, batch.questions) for batch in batches]

    def update_params(self):
        super().update_params()
        self.perceiver.forget()

    def _loss(self, questions: list[Question]):
        candidates, allowed = training_candidates(questions, self.opt["negatives"] == "batch")
        c, U, mask = self.perceiver.training_scores(
            self.model,
            [question.utterances for question in questions],
            candidates,
            self._word_dropout(),
        )
        allowed = allowed.to(c.device)
        distinction, norm = receiver_loss(c, U, mask, allowed, self.opt["margin"], self.opt["beta"])
        if self.opt["loss"] == "softmax":
            distinction = softmax_loss(c, allowed, self.opt["softmax_temperature"])
        return distinction, norm, c.detach(), allowed

    def _word_dropout(self) -> WordDropout | None:
        """What is left out of the next batch."""
        share, one_sided = self.opt["word_dropout"], self.opt["one_sided_dropout"]
        if not share and not one_sided:
            return None
        return WordDropout(self.special_ids, share, one_sided)

    # ------------------------------------------------------------------- evaluation
    def eval_step(self, batch: Batch):
        if batch.batchsize == 0:
            return None
        questions = batch.questions
        dialogues = [question.utterances for question in questions]
        orders = self._ranked(dialogues, [q.candidates for q in questions])
        self._record_hard(questions, dialogues)
        self._record_mrr(questions, dialogues)
        self._record_true_cell(questions)
        self._see_relevance(questions)
        return Output([order[0] for order in orders], orders)

    def _ranked(self, dialogues, texts: list[list[str]]) -> list[list[str]]:
        scores = self.perceiver.cumulative(dialogues, [list(map(lines, t)) for t in texts])
        return [ranked(t, s) for t, s in zip(texts, scores, strict=True)]

    def _record_hard(self, questions: list[Question], dialogues) -> None:
        sizes = {len(question.hard_candidates) for question in questions}
        if len(sizes) != 1 or 0 in sizes:
            return
        candidates = [list(map(lines, question.hard_candidates)) for question in questions]
        scores = self.perceiver.cumulative(dialogues, candidates)
        hits = [hit_metric(question, s) for question, s in zip(questions, scores, strict=True)]
        self.record_local_metric(HARD_METRIC.format(sizes.pop()), hits)

    def _record_mrr(self, questions: list[Question], dialogues) -> None:
        sentences = questions[0].profile_sentences
        if not sentences or any(q.profile_sentences != sentences for q in questions):
            return
        scores = self.perceiver.sentence_relevance(dialogues, sentences)
        metrics = [mrr_metric(q, row) for q, row in zip(questions, scores, strict=True)]
        self.record_local_metric("mrr", metrics)

    def _record_true_cell(self, questions: list[Question]) -> None:
        if not all(question.reveals and question.truth for question in questions):
            return
        matrices = [self.perceiver.relevance(q.utterances, lines(q.truth)) for q in questions]
        metrics = [true_cell_metric(q, U) for q, U in zip(questions, matrices, strict=True)]
        self.record_local_metric("true_cell", metrics)

    def _see_relevance(self, questions: list[Question]) -> None:
        """For the calibration: the speaker's own profile sentences, and the other candidates'."""
        for question in filter(lambda asked: asked.truth, questions):
            own = lines(question.truth)
            offered = (s for text in question.candidates for s in lines(text))
            others = [s for s in dict.fromkeys(offered) if s not in own]
            self.perceiver.see(question.utterances, own, others)

    def report(self):
        return {**super().report(), "tau": GlobalAverageMetric(self.perceiver.tau)}


def training_candidates(questions: list[Question], whole_batch: bool):
    """
    Candidate personas of each dialogue, the true one first, and which are distractors.

    :param whole_batch: all personas of the batch, not the message's own candidates alone.
    :return: personas (lists of sentences) of each dialogue, and bool (B, C).
    """
    offered = [list(zip(q.candidates, q.people, strict=True)) for q in questions]
    if whole_batch:
        everybody = list(dict.fromkeys(pair for pairs in offered for pair in pairs))
        offered = [everybody] * len(questions)
    personas, others = [], []
    for question, pairs in zip(questions, offered, strict=True):
        person = question.people[question.candidates.index(question.truth)]
        personas.append([lines(question.truth)] + [lines(text) for text, _ in pairs])
        others.append([False] + [who != person for _, who in pairs])
    allowed = torch.zeros(len(questions), max(map(len, others)), dtype=torch.bool)
    for row, other in enumerate(others):
        allowed[row, : len(other)] = torch.tensor(other)
    return personas, allowed
