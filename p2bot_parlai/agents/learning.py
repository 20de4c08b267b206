"""What the agents that learn have in common."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.nn.lr_scheduler import ParlAILRScheduler
from parlai.utils import logging
from parlai.utils.distributed import is_distributed, num_workers
from parlai.utils.io import PathManager
from parlai.utils.misc import warn_once
from torch.optim.lr_scheduler import LambdaLR

from p2bot_parlai.agents.checkpoint import (
    SavedModel,
    check_flags,
    dict_of,
    inherit,
    is_light,
    plain,
    start_of,
    warn_kept,
    write_model_file,
)
from p2bot_parlai.agents.options import inherited
from p2bot_parlai.agents.skipping import Skipping
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.precision import precision_on
from p2bot_parlai.method.context import parse_message
from p2bot_parlai.method.model_files import FORMAT, check_tokenizer, load_weights
from p2bot_parlai.method.spelling import CorpusSpelling
from p2bot_parlai.parlai_support import batches, provenance, shims
from p2bot_parlai.parlai_support.mutators import labels_of
from p2bot_parlai.parlai_support.names import set_model_type
from p2bot_parlai.parlai_support.resume import saved_model

# options that the saved state of an optimizer holds
OF_OPTIMIZERS = (
    *("learningrate", "betas", "weight_decay", "momentum", "nesterov", "nus"),
    *("adam_eps", "adafactor_eps"),
)


class Learner(Skipping):
    """
    The one class of ours beside an agent of ParlAI's, named before it among the bases.

    Saved models, plain Adam, a linear decay that follows the progress of the run, and no update
    that would break the weights.
    """

    # functions that add options, of the parser and the options that are known so far
    OPTIONS: Sequence[Callable] = ()
    # options of ParlAI's that do nothing here, and why
    WITHOUT_MEANING: Mapping[str, str] = inherited.WITHOUT_MEANING
    # options that shape the network: a saved model keeps its own
    SHAPE_OPTIONS: tuple[str, ...] = ()
    # options that decide what is read of a text: fine-tuning goes on with those of the model that
    # it starts from
    READING_OPTIONS: tuple[str, ...] = ("text_truncate",)
    reads_whole_dialogues = False
    scheduler: ParlAILRScheduler | None = None

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        for add in cls.OPTIONS:
            add(parser, partial_opt)
        set_model_type(parser)
        return parser

    def __init__(self, opt: Opt, shared=None):
        # what a checkpoint tells the training loop about the run; see `training_loop`
        self.run_state: dict = shared["run_state"] if shared else {}
        if not shared:
            self.check(opt)
        if opt.get("skip_generation") and "skip_generation" not in opt.get("override", opt):
            # saved by a training run that validated without; who wants it now says so now
            opt["skip_generation"] = False
        path, self.is_finetune = self._get_init_model(opt, shared)
        self.saved = self.read_saved(path) if path else None
        self.provenance: dict = shared["provenance"] if shared else {}
        if self.saved:
            self.provenance |= self.saved.about.get("provenance", {})
            logging.info(f"{path} was made by {self.provenance or 'an earlier version'}")
            if self.is_finetune:
                self.provenance = {"started_from": provenance.of_file(path)}
            check_flags(self.saved, opt.get("override", {}))
            opt.update(self.saved.about["options"])  # with --init-model flags are at defaults
            if self.is_finetune:
                inherit(opt, path, self.READING_OPTIONS)
                inherited.apply_truncate(opt)
        counts = self.saved.about.get("spelling") if self.saved else None
        self.spelling: CorpusSpelling = (
            shared["spelling"] if shared else CorpusSpelling(counts, inherited=self.is_finetune)
        )
        super().__init__(opt, shared)
        self.build(shared)
        if self.saved:
            self.saved.states = {}

    def _get_init_model(self, opt: Opt, shared):
        """ParlAI's, but what is missing is an error, and the tokenizer that of the weights."""
        path, is_finetune = (None, False) if shared else start_of(opt)
        if path:
            opt["dict_file"] = dict_of(opt, path)
        return path, is_finetune

    def build_dictionary(self):
        """:raises P2botError: without a tokenizer, or with one that the weights do not have."""
        dictionary = super().build_dictionary()
        if dictionary.p2bot is None:
            raise P2botError(
                "random weights need a tokenizer that is learnt from the task, and there is none "
                "yet: train it first, with parlai train_model and a --model-file"
            )
        if self.saved:
            path = self.opt["dict_file"]
            check_tokenizer(self.saved.states, self.saved.path, dictionary.p2bot, path)
        return dictionary

    @classmethod
    def read_saved(cls, path: str) -> SavedModel:
        """
        The model file that `build_model` and `load` take what they need from.

        :raises P2botError: for a file that is damaged, or of another agent.
        """
        raise NotImplementedError

    def build(self, shared) -> None:
        """What ParlAI's own agent does not build."""

    @property
    def precision(self) -> str:
        """What ``--precision`` means on this agent's device."""
        return precision_on(self.use_cuda, self.opt["precision"])

    @property
    def network(self) -> Any:
        """The network, out of a data-parallel wrapper where there is one."""
        wrapped = isinstance(self.model, torch.nn.parallel.DistributedDataParallel)
        return self.model.module if wrapped else self.model

    def share(self):
        ours = {"run_state": self.run_state, "provenance": self.provenance}
        return {**super().share(), **ours, "spelling": self.spelling}

    def observe(self, observation):
        """
        One label, which the loss and the history take: in training any, in evaluation the first;
        an empty one is none. ``alternatives`` has all of them.
        """
        observation, labels = Message(observation), labels_of(observation)
        for name in ("labels", "eval_labels"):
            if name in observation:
                del observation[name]
                if labels:
                    training = name == "labels" and len(labels) > 1
                    observation[name] = [random.choice(labels) if training else labels[0]]
                    observation["alternatives"] = labels
        candidates = observation.get("label_candidates")
        if candidates and "eval_labels" in observation and labels[0] not in candidates:
            warn_once("an example's label_candidates lack its label: it is not ranked")
            del observation["label_candidates"]
        if "labels" in observation:
            self.spelling.see(**self.written(observation))
        return super().observe(observation)

    @staticmethod
    def written(observation) -> dict[str, list[str]]:
        """The profile sentences and utterances of a training message, for `CorpusSpelling`."""
        found: dict[str, list[str]] = {"profile": [], "speech": []}
        for turn in observation.get("dialogue") or [observation]:
            message = parse_message(turn.get("text") or "")
            found["profile"] += message.persona + message.partner_persona
            found["speech"] += [message.utterance or "", *(turn.get("labels") or ())]
        return {kind: list(filter(None, texts)) for kind, texts in found.items()}

    def batchify(self, obs_batch, sort=False) -> batches.Batch:
        return batches.without_cycle(super().batchify(obs_batch, sort=sort))

    @classmethod
    def check(cls, opt: Opt) -> None:
        """:raises P2botError: for options that cannot work, naming the flag."""
        inherited.refuse(cls, opt, cls.WITHOUT_MEANING)
        inherited.apply_truncate(opt)

    @classmethod
    def check_training(cls, opt: Opt) -> None:
        """Called before a training run loads anything; see `training_loop`."""
        cls.check(opt)
        inherited.refuse_unused(cls, opt)
        if saved_model(opt) or start_of(opt)[0] or "vocab_size" not in opt.get("override", {}):
            return
        path = opt.get("dict_file") or f"{opt.get('model_file')}.dict"
        if PathManager.exists(path):
            logging.warning(
                f"{path} is there already and is used as it is: --vocab-size has no effect. "
                "Delete it if another tokenizer shall be learnt"
            )

    def begin_training(self) -> None:
        """Called when the agent of a training run is built."""
        if self.saved and not self.is_finetune and is_light(self.opt, self.saved.path):
            logging.warning(
                f"{self.saved.path} holds rounded weights and no averages of "
                f"{self.opt['optimizer']}, unlike a .checkpoint: if training goes on, they begin "
                "anew"
            )

    @classmethod
    def optim_opts(cls):
        """ParlAI's "adam" is AMSGrad; the paper's is Adam."""
        return {**super().optim_opts(), "adam": FusedAdam}

    def init_optim(self, params, optim_states=None, saved_optim_type=None, is_finetune=False):
        """:raises P2botError: for an optimizer that cannot be made or resumed."""
        try:
            was_reset = super().init_optim(params, optim_states, saved_optim_type, is_finetune)
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            raise P2botError(
                f"--optimizer {self.opt['optimizer']} cannot be made of its options, or of its "
                f"saved state ({error}): check --learningrate, --betas and the like, or start "
                "another run with --init-model"
            ) from error
        if optim_states and not is_finetune and not was_reset:
            warn_kept(self.opt, self.saved.path, OF_OPTIMIZERS)
        return was_reset

    def build_lr_scheduler(self, states=None, hard_reset: bool = False):
        if self.opt["lr_scheduler"] != "linear":
            shims.plateau_scheduler_verbose()
            super().build_lr_scheduler(states, hard_reset)
            return
        self.scheduler = LinearDecay(
            self.optimizer, self.opt["warmup_updates"], self.opt["warmup_rate"]
        )
        states = {} if hard_reset else (states or {})
        self.scheduler._init_warmup_scheduler(self.optimizer, states, hard_reset)
        if states.get("lr_scheduler_type") == "linear":
            self.scheduler.load_state(states)
            self._number_training_updates = self.scheduler.get_initial_number_training_updates()

    def state_dict(self) -> dict:
        """Plain data and tensors alone: `read_model_file` refuses anything else."""
        states = super().state_dict()
        shape = {name: self.opt[name] for name in self.SHAPE_OPTIONS}
        about = {"format": FORMAT, "options": shape, "run": self.run_state}
        about |= {"spelling": self.spelling.to_json(), "provenance": self.provenance}
        about |= self.describe()
        about["tokenizer"] = self.dict.p2bot.fingerprint()
        return {"model": states.pop("model"), **plain(states), "p2bot": about}

    def describe(self) -> dict:
        """What a model file says of this agent besides; plain data alone."""
        raise NotImplementedError

    def load(self, path: str) -> dict:
        load_weights(self.model, self.saved.states, path)
        self.run_state = self.saved.about["run"]
        return self.saved.states

    def save(self, path: str | None = None) -> None:
        """:raises P2botError: where a file cannot be written; what was there stays."""
        path = path or self.opt.get("model_file")
        if path:
            write_model_file(self, path)

    def reason_to_stop(self) -> str | None:
        """Why training shall end now, or None; asked before every update."""
        return None

    def set_progress(self, share: float) -> None:
        """The training loop says how much of the run is done, 0 to 1."""
        if isinstance(self.scheduler, LinearDecay):
            self.scheduler.follow(share)


def sum_over_processes(value: torch.Tensor) -> torch.Tensor:
    """The same on every process; alone, what was given."""
    if is_distributed():
        value = value.clone()
        torch.distributed.all_reduce(value)
    return value


def gather_from_processes(value: Any) -> list:
    """What each process has given, in order."""
    if not is_distributed():
        return [value]
    found = [None] * num_workers()
    torch.distributed.all_gather_object(found, value)
    return found


def share_of_all(count: torch.Tensor) -> torch.Tensor:
    """
    What one process divides its sum by, so that the mean of the processes' gradients is the
    gradient of the mean over all their examples.
    """
    return sum_over_processes(count.float()) / num_workers()


class FusedAdam(torch.optim.Adam):
    """torch's Adam in one pass over each weight, also where its state was saved by another form."""

    def __init__(self, params, amsgrad=False, **kwargs):
        super().__init__(params, fused=True, **kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        groups = [{**group, "fused": True} for group in state_dict["param_groups"]]
        super().load_state_dict({**state_dict, "param_groups": groups})


class LinearDecay(ParlAILRScheduler):
    """
    Learning rate from its full value to 0 over the whole run.

    ParlAI's own linear scheduler needs ``--max-train-steps``; the paper counts epochs.
    This one follows `progress`, the share of the run that is done, however the run is
    limited; `p2bot_parlai.parlai_support.training_loop` sets it before every step.
    """

    def __init__(self, optimizer, warmup_updates: int = -1, warmup_rate: float = 1e-4):
        super().__init__(warmup_updates, warmup_rate)
        self.optimizer = optimizer
        self.progress = 0.0
        self.scheduler = LambdaLR(optimizer, lambda _: 1.0 - self.progress)

    def follow(self, progress: float) -> None:
        """Set the rate for the next update. :param progress: share of the run, 0 to 1."""
        self.progress = min(1.0, progress)
        if not self._is_lr_warming_up():
            for group, rate in zip(
                self.optimizer.param_groups, self.scheduler.base_lrs, strict=True
            ):
                group["lr"] = rate * (1.0 - self.progress)

    def train_step(self, scheduler_steps: int) -> None:
        self.scheduler.step()

    def valid_step(self, metrics_dict) -> None:
        """Validation does not change it."""
