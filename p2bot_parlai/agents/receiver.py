"""``-m p2bot/receiver``: the Receiver as a ParlAI agent."""

import torch
from parlai.core.metrics import AverageMetric, GlobalFixedMetric
from parlai.core.opt import Opt
from parlai.core.torch_agent import History, Output, TorchAgent
from parlai.utils.distributed import is_distributed, sync_parameters

from p2bot_parlai.agents.checkpoint import check_flags
from p2bot_parlai.agents.encoder_dictionary import EncoderDictionary
from p2bot_parlai.agents.learning import Learner
from p2bot_parlai.agents.options.receiver import add_receiver_options, check_options, precision_of
from p2bot_parlai.agents.perception import (
    HARD_METRIC,
    Question,
    hit_metric,
    lines,
    mrr_metric,
    ranked,
    true_cell_metric,
)
from p2bot_parlai.method.backbones import encoder as encoders
from p2bot_parlai.method.backbones.precision import set_computing
from p2bot_parlai.method.context import Dialogue
from p2bot_parlai.method.model_files import (
    FORMAT,
    build_network,
    load_weights,
    read_receiver_file,
)
from p2bot_parlai.method.perceiver import Perceiver, WordDropout
from p2bot_parlai.method.receiver import Receiver, receiver_loss, softmax_loss
from p2bot_parlai.parlai_support.batches import Batch
from p2bot_parlai.parlai_support.names import set_model_type

# options that shape the network: a saved model keeps its own
SHAPE_OPTIONS = ("encoder", "share_encoders", "n_layers", "n_heads", "embedding_size")


class NoHistory(History):
    """A message is a whole dialogue: nothing is remembered between messages."""

    dialogue = Dialogue()  # what the training loop saves of a history: nothing was said

    def update_history(self, obs, temp_history=None):
        pass

    def add_reply(self, text):
        pass


class ReceiverAgent(Learner, TorchAgent):
    """
    Learns to tell a speaker's persona from others' (Eq. 12); ranks personas (Eq. 14) and
    profile sentences (Eq. 11).

    tau goes linearly from ``--tau-start`` to ``--tau-end`` with the progress of training,
    is saved with the model and stays in evaluation what it was.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_receiver_options(parser, partial_opt)
        set_model_type(parser)
        return parser

    @staticmethod
    def dictionary_class():
        return EncoderDictionary

    @classmethod
    def history_class(cls):
        return NoHistory

    # ----------------------------------------------------------------- construction
    @staticmethod
    def check_training(opt: Opt) -> None:
        """Called before a training run loads anything; see `training_loop`."""
        check_options(opt)

    def __init__(self, opt: Opt, shared=None):
        check_options(opt)
        init_model, is_finetune = self._get_init_model(opt, shared)
        super().__init__(opt, shared)
        self.id = "Receiver"
        self.special_ids = frozenset(self.dict.sentences.encode(""))
        if shared:
            self.perceiver: Perceiver = shared["perceiver"]
            self.run_state = shared["run_state"]
            if "optimizer" in shared:
                self.optimizer = shared["optimizer"]
            self.reset()
            return

        self.criterion = None  # the loss is Eq. 12, see p2bot_parlai.method.receiver
        # what a checkpoint tells the training loop about the run; see train_loop
        self.run_state: dict = {}
        states = read_receiver_file(init_model) if init_model else {}
        self.model = self.build_model(states, init_model)
        self.dict.sentences.limit(min(self.text_truncate, self.model.impression.max_tokens))
        self.perceiver = Perceiver(self.model, self.dict.sentences, opt["tau_start"])
        if states:
            self._restore(states, init_model, is_finetune)
        set_computing(self.model, precision_of(opt))
        self.model.to("cuda" if self.use_cuda else "cpu")
        sync_parameters(self.model)
        if self._should_initialize_optimizer():
            was_reset = self.init_optim(
                [p for p in self.model.parameters() if p.requires_grad],
                optim_states=states.get("optimizer"),
                saved_optim_type=states.get("optimizer_type"),
                is_finetune=is_finetune,
            )
            self.build_lr_scheduler(states, hard_reset=is_finetune or bool(was_reset))
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

    def build_model(self, states: dict | None = None, path: str | None = None) -> Receiver:
        """:param states: of a saved model, and empty or None where there is none."""
        if states:
            check_flags(path, states["p2bot"]["options"], self.opt.get("override", {}))
            return build_network(states)
        shared = self.opt["share_encoders"]
        if self.opt["encoder"] == encoders.SCRATCH:
            names = ("embedding_size", "n_layers", "n_heads", "dropout")
            sizes = (len(self.dict), *(self.opt[name] for name in names))
            first = encoders.random_encoder(*sizes)
            return Receiver(first, first if shared else encoders.random_encoder(*sizes))
        first = encoders.load_encoder(self.opt["encoder"])
        return Receiver(first, first if shared else encoders.load_encoder(self.opt["encoder"]))

    @property
    def network(self) -> Receiver:
        """The network, out of a data-parallel wrapper where there is one."""
        return self.perceiver.network

    def set_progress(self, share: float) -> None:
        """The training loop says how much of the run is done, 0 to 1."""
        start, end = self.opt["tau_start"], self.opt["tau_end"]
        self.perceiver.tau = start + (end - start) * share
        super().set_progress(share)

    def share(self):
        shared = {**super().share(), "perceiver": self.perceiver, "run_state": self.run_state}
        if self._should_initialize_optimizer():
            shared["optimizer"] = self.optimizer
        return shared

    # ---------------------------------------------------------------- save and load
    def state_dict(self) -> dict:
        """Plain data and tensors alone: `read_model_file` refuses anything else."""
        states = super().state_dict()
        states["p2bot"] = {
            "format": FORMAT,
            "kind": "receiver",
            "encoder": self.network.impression.to_json(),
            "options": {name: self.opt[name] for name in SHAPE_OPTIONS},
            "tau": self.perceiver.tau,
            "text_truncate": self.text_truncate,
            "run": self.run_state,
        }
        return states

    def load(self, path: str) -> dict:
        states = read_receiver_file(path)
        self._restore(states, path, is_finetune=False)
        return states

    def _restore(self, states: dict, path: str, is_finetune: bool) -> None:
        load_weights(self.network, states, path)
        self.perceiver.forget()
        if not is_finetune:  # a run that starts from another model has a tau of its own
            self.perceiver.tau = states["p2bot"]["tau"]
            self.run_state = states["p2bot"]["run"]

    # -------------------------------------------------------------- from text to ids
    def vectorize(self, obs, history, **kwargs):
        """``text_vec`` is there for ParlAI's dynamic batching, which asks for lengths."""
        if obs.is_padding():
            return obs
        ids = [i for line in lines(obs.get("text") or "") for i in self.dict.txt2vec(line)]
        obs.force_set("text_vec", torch.tensor(ids, dtype=torch.long))
        return obs

    def batchify(self, obs_batch, sort=False) -> Batch:
        valid = [(i, obs) for i, obs in enumerate(obs_batch) if self.is_valid(obs)]
        if not valid:
            return Batch(batchsize=0)
        indices, observations = zip(*valid, strict=True)
        return Batch(
            batchsize=len(valid),
            is_training=any("labels" in obs for obs in observations),
            valid_indices=torch.tensor(indices),
            questions=[Question.read(obs) for obs in observations],
        )

    # --------------------------------------------------------------------- training
    def train_step(self, batch: Batch):
        if batch.batchsize == 0:
            return None
        self.model.train()
        self.zero_grad()
        distinction, norm, c, allowed = self._loss(batch.questions)
        self.backward((distinction + norm).mean())
        self.update_params()
        self.perceiver.forget()
        for name, values in (
            ("loss", distinction + norm),
            (f"{self.opt['loss']}_loss", distinction),
            ("l1", norm),
            ("true_first", (c[:, :1] > c.masked_fill(~allowed, -torch.inf)).all(dim=1)),
        ):
            self.record_local_metric(name, AverageMetric.many(values.tolist()))
        return None

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

    def report(self):
        return {**super().report(), "tau": GlobalFixedMetric(self.perceiver.tau)}


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
