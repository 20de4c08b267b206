"""
ParlAI's training loop, with what a long run of an agent of ours needs besides.

- The agent learns how much of the run is done (`set_progress`): learning rate and
  temperature follow it, whatever limits the run.
- Checkpoints hold the counts, the random states and the place in the data, so that a resumed
  run ends as an unbroken one does; a run that was at its end trains no more.
- A process that dies at any moment leaves no half-written file.
- SIGTERM saves a checkpoint and ends with exit status 0.
- A resumed run reports and leaves the best model, not the last checkpoint
  (parlai/scripts/train_model.py:365 makes the checkpoint stick).
- ``--seed`` holds for the first weights too.
- What cannot be validated, a ``--validation-metric`` that is not reported above all, is said
  before the run.
- A progress line: examples a second and time left.
- Agents that can train on whole dialogues get them, those of similar length together
  (`similar_lengths`), and all say what the run was (`provenance`).

Other agents are trained by ParlAI's own loop.
"""

import contextlib
import functools
import os
import random
from collections.abc import Iterator

import numpy as np
from parlai.core.exceptions import StopTrainException
from parlai.core.metrics import aggregate_named_reports
from parlai.core.worlds import World
from parlai.scripts import train_model
from parlai.utils import distributed, logging
from parlai.utils.distributed import get_rank, is_distributed, is_primary_worker, num_workers
from parlai.utils.misc import nice_report

from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.memory import trim_memory
from p2bot_parlai.parlai_support import files, mutators, provenance, resume, shims
from p2bot_parlai.parlai_support.ours import agent_of, is_trainable
from p2bot_parlai.parlai_support.patching import Patch, patched
from p2bot_parlai.parlai_support.progress import ProgressLine
from p2bot_parlai.parlai_support.reports import as_table
from p2bot_parlai.parlai_support.similar_lengths import sort_by_length
from p2bot_parlai.parlai_support.termination import (
    Terminated,
    Termination,
    interrupted_afterwards,
)

CHECKPOINT = ".checkpoint"


def install() -> None:
    """Let every script that trains an agent of ours use this loop."""
    Patch(train_model.TrainLoop, "__init__", with_our_loop).apply()


def with_our_loop(stock):
    """
    A loop that trains an agent of ours becomes a `P2botTrainLoop` as it is built.

    So the class keeps its name and place: scripts and plug-ins that extend or patch
    ``TrainLoop`` (`JoinableTrainLoop` of multiprocessing_train does) keep what they added.
    """

    def __init__(self, opt):
        kind = agent_of(opt)
        if not is_trainable(kind):
            stock(self, opt)
            return
        if not isinstance(self, P2botTrainLoop):
            self.__class__ = _extended(type(self))
        self.begin(opt, kind, functools.partial(stock, self))

    return __init__


@functools.cache
def _extended(loop: type) -> type:
    if loop is train_model.TrainLoop:
        return P2botTrainLoop
    return type(f"P2bot{loop.__name__}", (P2botTrainLoop, loop), {})


class P2botTrainLoop(train_model.TrainLoop):
    """See the module."""

    def begin(self, opt, kind, build) -> None:
        """:param kind: the agent's class. :param build: the stock ``__init__``."""
        given = opt.get("init_model")
        if opt.get("model_file") and is_primary_worker():
            files.check_place(opt["model_file"])
            files.remove_leftovers(opt["model_file"])
        resume.check_counts(opt)
        self.resumed = resume.saved_model(opt)
        self.termination = Termination()
        self._over = self._validation_due = self._checkpoint_due = False
        if opt.get("seed") is not None:  # ParlAI seeds when the weights are drawn already
            train_model.set_seed(opt["seed"])
        kind.check_training(opt)
        whole = kind.reads_whole_dialogues
        if whole:
            mutators.add_whole_dialogues(opt)
        with self._loading(), shims.lengths_in_memory(), provenance.files_read() as read:
            build(opt)
            mutators.count_learnt(self.world, whole)
            if whole:
                sort_by_length(self.world)
            self.agent.begin_training()
        self.agent.provenance |= provenance.of_run(opt, read)
        # the agent is built: what is reloaded at the end, or ever, shall be the best model
        opt["init_model"] = self.agent.opt["init_model"] = given
        self._take_up()
        if not self._over:
            with self._loading():
                self._try_validation()
        self._line = ProgressLine("dialogues" if whole else "examples")

    def _try_validation(self) -> None:
        """
        Validate on a batch of each task, and go on while ``--validation-metric`` is not among
        what is reported. The run begins as if nothing had been done.

        :raises UsageError: for a metric that validation does not report; ParlAI would end in a
            KeyError after the first epoch.
        """
        validates = (self.val_every_n_secs, self.val_every_n_epochs, self.val_every_n_steps)
        if min(validates) == float("inf"):
            return
        opt, metric, state = self.opt, self.opt["validation_metric"], resume.random_state()
        worlds = train_model.load_eval_worlds(self.agent, opt, "valid")
        most = opt["validation_max_exs"] / (len(worlds) * num_workers())
        left, reported = worlds, {}
        for world in worlds:
            world.reset()
        while left := [w for w in left if not w.epoch_done() and not 0 < most <= _examples(w)]:
            for world in left:
                world.parley()
            reports = {world.getID(): world.report() for world in worlds}
            reported = aggregate_named_reports(reports, opt.get("aggregate_micro", False))
            if metric in reported:
                break
        for world in worlds:
            world.reset()
        self.world.reset_metrics()
        resume.set_random_state(state)
        names = sorted(set().union(*distributed.all_gather_list(set(reported))))
        if "exs" not in names:
            raise UsageError(
                "there is nothing to validate on: give --evaltask another task, or do not validate"
            )
        if metric not in names:
            raise UsageError(
                f"--validation-metric {metric} is not reported in this run's validation: choose "
                f"one of {', '.join(names)}"
            )

    @contextlib.contextmanager
    def _loading(self) -> Iterator[None]:
        """There is nothing to save yet."""
        try:
            with self.termination, self.termination.at_once():
                yield
        except Terminated:
            logging.info("SIGTERM before training began: to start again, repeat the command")
            raise

    # -------------------------------------------------------------- where the run stands
    def _take_up(self) -> None:
        """
        Go on from the counts that are saved with the weights: the file beside them, which
        ParlAI reads, is written before them and may be ahead.
        """
        state, model = self.agent.run_state, self.opt.get("model_file")
        self._seconds = self.train_time.time()
        if self.resumed is None:
            state.clear()  # of the model that it starts from
            self._set_counts(resume.NOTHING_DONE)
            return
        self._over = resume.is_reported(self.resumed) and self._at_limit()
        if not self._over and self.parleys and "counts" in state:
            self._set_counts(state["counts"])
            self._over = self._at_limit()
        is_best = self.best_valid is not None or (self._over and self.resumed == model)
        self.saved = is_best and os.path.exists(model)

    def _counts(self) -> dict:
        return {
            "parleys": self.parleys,
            "train_steps": self._train_steps,
            "total_epochs": self._total_epochs,
            "train_time": self.train_time.time(),
            "best_valid": self.best_valid,
            "impatience": self.impatience,
        }

    def _set_counts(self, counts: dict) -> None:
        self.parleys, self._train_steps = counts["parleys"], counts["train_steps"]
        self._preempted_epochs = counts["total_epochs"]
        self.train_time.total = self._seconds = counts["train_time"]
        self.best_valid, self.impatience = counts["best_valid"], counts["impatience"]
        for reports in (self.train_reports, self.valid_reports):
            reports[:] = [r for r in reports if r.get("parleys", 0) <= self.parleys]
        last = self.valid_reports[-1] if self.valid_reports else {}
        self.last_valid_epoch = last.get("total_epochs", 0.0)

    def _at_limit(self) -> bool:
        """Whether nothing is left to train, by the limits that hold now."""
        self._total_epochs = self._preempted_epochs
        patience, cutoff = self.opt["validation_patience"], self.opt["validation_cutoff"]
        last = self.valid_reports[-1] if self.valid_reports else {}
        best = last.get(self.opt["validation_metric"])
        solved = best is not None and best == self.best_valid
        solved = solved and self.valid_optim * best >= self.valid_optim * cutoff
        return self.parleys > 0 and (
            self.share_done() >= 1 or 0 < patience <= self.impatience or solved
        )

    # ------------------------------------------------------------------------ training
    def train(self):
        """ParlAI's; SIGTERM ends it with exit status 0 (`Terminated`)."""
        with self.termination:
            try:
                return super().train()
            except Terminated:
                if not hasattr(self, "world"):  # ParlAI drops it when training is done
                    logging.info("SIGTERM: the model is saved; to evaluate it, repeat the command")
                raise

    def train_steps(self):
        self._restore()
        self._watch_steps()
        self._line.start(self.share_done(), self._examples_done())
        try:
            yield from super().train_steps()
        finally:
            self._line.close()

    def _restore(self) -> None:
        self._total_epochs = self._preempted_epochs
        state = self.agent.run_state
        if is_distributed():  # or all would draw the same examples, and the same dropout
            train_model.set_seed(distributed.sync_object(random.getrandbits(32)) + get_rank())
        if state and self.parleys:
            self._last_valid_steps = state["last_valid_steps"]
            if len(state["workers"]) == len(distributed.all_gather_list(None)):
                resume.restore(self.world, state["workers"][get_rank()])
                self._validation_due = state.get("validation_due", False)
            else:
                logging.warning(
                    f"This run was on {len(state['workers'])} processes: random states and the "
                    "place in the data are not resumed."
                )
        self._tell_progress()

    def _watch_steps(self) -> None:
        """
        Have `_between_steps` called before every step: ParlAI's loop has no place of its own
        where a step is done with all that follows it.
        """
        parley = self.world.parley

        def parley_if_wanted():
            self._between_steps()
            parley()

        self.world.parley = parley_if_wanted

    def _between_steps(self) -> None:
        """:raises StopTrainException: where nothing is left to train; ParlAI heeds it."""
        if self._over:
            raise StopTrainException("a run that was at its end")
        if self._validation_due:
            self._validate_first()
        if self.agent._number_grad_accum:  # in the middle of an update (--update-freq)
            return
        if self._checkpoint_due:
            self._checkpoint_due = False
            self.save_model(CHECKPOINT)
        if reason := self.agent.reason_to_stop():
            if self._keeps_checkpoints():
                self.save_model(CHECKPOINT)
            kept = "the best model" if self.saved else "the model as it is now"
            raise StopTrainException(f"training: {reason}. {kept} is kept")
        asked = self.termination.asked
        if any(distributed.all_gather_list(asked)) if is_distributed() else asked:
            self._leave()

    def _validate_first(self) -> None:
        """The validation in which SIGTERM ended the run before."""
        self._validation_due = False
        self._total_exs = int(np.round(self._examples_done()))
        stop = self.validate()
        self.last_valid_epoch = self._total_epochs
        self.world.reset_metrics()
        if stop:
            raise StopTrainException("validation")

    def _leave(self, before_validation: dict | None = None):
        """
        Save a checkpoint and end the process with exit status 0.

        :param before_validation: where the run was when the validation began that was left.
        """
        self.save_model(CHECKPOINT, before_validation)
        if self.opt.get("model_file"):
            path = f"{self.opt['model_file']}{CHECKPOINT}"
            logging.info(f"SIGTERM: saved {path}; to resume, repeat the command")
        raise Terminated

    # -------------------------------------------------------------------------- saving
    def save_model(self, suffix=None, before_validation: dict | None = None):
        if not hasattr(self, "world"):  # after the last training step
            self._write_model(suffix)
            return
        if suffix == CHECKPOINT and self.agent._number_grad_accum:
            self._checkpoint_due = True  # gradients are not saved: after this update
            return
        self.agent.run_state.update(
            counts=self._counts(),
            last_valid_steps=self._last_valid_steps,
            validation_due=before_validation is not None,
            workers=distributed.all_gather_list(before_validation or resume.capture(self.world)),
        )
        self._save_train_stats(suffix)  # before the weights, see _take_up
        self._write_model(suffix)

    def _write_model(self, suffix=None) -> None:
        with interrupted_afterwards():
            super().save_model(suffix)

    def _save_train_stats(self, suffix=None):
        if not self.opt.get("model_file") or not is_primary_worker():
            return
        suffix = suffix or ""
        path = f"{self.opt['model_file']}{suffix}"
        with files.whole(f"{path}.trainstats", f"{path}{files.TEMPORARY}.trainstats"):
            super()._save_train_stats(suffix + files.TEMPORARY)

    def _keeps_checkpoints(self) -> bool:
        path = self.opt.get("model_file")
        if not path:
            return False
        wanted = self.opt["save_after_valid"] or self.save_every_n_secs < float("inf")
        return wanted or os.path.exists(f"{path}{CHECKPOINT}")

    # ------------------------------------------------------------------- progress
    def share_done(self) -> float:
        """How much of the run is done, 0 to 1, by the limit that comes first."""
        done = (
            self._total_epochs / self.max_num_epochs,
            self._train_steps / self.max_train_steps,
            self._seconds / self.max_train_time,
        )  # an unset limit is infinite
        return min(1.0, max(done))

    def _examples_done(self) -> float:
        return self._total_epochs * self.world.num_examples()

    def _tell_progress(self) -> None:
        self.agent.set_progress(self.share_done())

    def _get_time(self, world):
        """The stock loop asks for the time after every step."""
        times = super()._get_time(world)
        self._seconds = times[0]  # of the primary: all shall learn at one rate, and end together
        self._tell_progress()
        self._line.update(self.share_done(), self._examples_done())
        if self.share_done() >= 1 and self._keeps_checkpoints():
            # so that a run that dies in its last evaluation need not train again
            self.save_model(CHECKPOINT)
        return times

    def log(self):
        with self._line.paused():
            report = super().log()
            trim_memory()
            if not self._line.live and is_primary_worker():
                logging.info(self._line.text())
        return report

    def validate(self):
        # here, not after: the checkpoint that validation writes shall say so
        last, self._last_valid_steps = self._last_valid_steps, self._train_steps
        before = resume.capture(self.world)
        try:
            with self._line.paused():
                stop = super().validate()
        except Terminated:
            self._last_valid_steps = last
            self._leave(before)
        if stop and self._keeps_checkpoints():
            self.save_model(CHECKPOINT)
        return stop

    def _run_single_eval(self, *args, **kwargs):
        if self.agent._number_grad_accum:  # no checkpoint now, see save_model
            return super()._run_single_eval(*args, **kwargs)
        with self.termination.at_once():
            return super()._run_single_eval(*args, **kwargs)

    def _run_eval(self, worlds, opt, datatype, max_exs=-1, write_log=False, extra_log_suffix=""):
        """ParlAI's, which would leave half a report where it is killed."""
        with patched(Patch(train_model, "nice_report", as_table(opt))):
            report = super()._run_eval(worlds, opt, datatype, max_exs, False, extra_log_suffix)
        if write_log and opt.get("model_file") and is_primary_worker():
            path = f"{opt['model_file']}{extra_log_suffix}.{datatype}"
            files.append(path, f"{datatype}:\n{nice_report(report)}\n\n")
        return report


def _examples(world: World) -> float:
    """How many examples of a world were evaluated."""
    return float(world.report().get("exs") or 0)
