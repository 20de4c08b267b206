"""
ParlAI's training loop, with what a long run needs besides.

- The agent learns how much of the run is done (`set_progress`): learning rate and
  temperature follow it, whatever limits the run.
- Checkpoints hold the counts, the random states and the place in the data, so that a resumed
  run ends as an unbroken one does; a run that was at its end trains no more.
- A process that dies at any moment leaves no half-written file.
- SIGTERM saves a checkpoint and ends with exit status 0.
- A resumed run reports and leaves the best model, not the last checkpoint
  (parlai/scripts/train_model.py:365 makes the checkpoint stick).
- ``--seed`` holds for the first weights too.
- A progress line: examples a second and time left.
- Agents that can train on whole dialogues get them.

Agents that are not ours are trained as ever.
"""

import contextlib
import os
import sys
import time

import numpy as np
from parlai.core.exceptions import StopTrainException
from parlai.core.loader import load_agent_module
from parlai.scripts import train_model
from parlai.utils import fsdp, logging
from parlai.utils.distributed import (
    all_gather_list,
    get_rank,
    is_distributed,
    is_primary_worker,
)
from parlai.utils.misc import nice_report
from tqdm import tqdm

from p2bot_parlai.method.memory import trim_memory
from p2bot_parlai.parlai_support import files, mutators, resume
from p2bot_parlai.parlai_support.ours import is_ours
from p2bot_parlai.parlai_support.termination import Terminated, Termination

CHECKPOINT = ".checkpoint"


def install() -> None:
    """Let every script that trains use this loop; called when the plug-in registers."""
    train_model.TrainLoop = P2botTrainLoop
    fsdp.JoinableTrainLoop = JoinableP2botTrainLoop


class P2botTrainLoop(train_model.TrainLoop):
    """See the module. It only adds to the stock loop where the agent is one of ours."""

    def __init__(self, opt):
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
        model_class = load_agent_module(opt["model"]) if opt.get("model") else None
        if hasattr(model_class, "check_training"):
            model_class.check_training(opt)
        whole = getattr(model_class, "reads_whole_dialogues", False)
        if whole:
            mutators.add_whole_dialogues(opt)
        with self._loading(is_ours(model_class)):
            super().__init__(opt)
            if whole:
                mutators.count_dialogues(self.world)
            self.ours = hasattr(self.agent, "run_state")
            if hasattr(self.agent, "begin_training"):
                self.agent.begin_training()
        if self.ours:
            # the agent is built: what is reloaded at the end, or ever, shall be the best model
            opt["init_model"] = self.agent.opt["init_model"] = given
            self._take_up()
        self._line = ProgressLine("dialogues" if whole else "examples")

    @contextlib.contextmanager
    def _loading(self, ours: bool):
        """There is nothing to save yet."""
        if not ours:
            yield
            return
        try:
            with self.termination, self.termination.at_once():
                yield
        except Terminated:
            logging.info("SIGTERM before training began: the same command starts again")
            raise

    # -------------------------------------------------------------- where the run stands
    def _take_up(self) -> None:
        """
        Go on from the counts that are saved with the weights: the file beside them, which
        ParlAI reads, is written before them and may be ahead.
        """
        state, model = self.agent.run_state, self.opt.get("model_file")
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
        self.train_time.total = counts["train_time"]
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
        if not self.ours:
            return super().train()
        with self.termination:
            try:
                return super().train()
            except Terminated:
                if not hasattr(self, "world"):  # ParlAI drops it when training is done
                    logging.info("SIGTERM: the model is saved; the same command evaluates it")
                raise

    def train_steps(self):
        self._restore()
        if self.ours:
            self._watch_steps()
        self._line.start(self.share_done(), self._examples_done())
        try:
            yield from super().train_steps()
        finally:
            self._line.close()

    def _restore(self) -> None:
        self._total_epochs = self._preempted_epochs
        state = self.agent.run_state if self.ours else None
        if state and self.parleys:
            self._last_valid_steps = state["last_valid_steps"]
            if len(state["workers"]) == len(all_gather_list(None)):
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
        asked = self.termination.asked
        if any(all_gather_list(asked)) if is_distributed() else asked:
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
            logging.info(f"SIGTERM: saved {path}; the same command goes on from there")
        raise Terminated

    # -------------------------------------------------------------------------- saving
    def save_model(self, suffix=None, before_validation: dict | None = None):
        if not (self.ours and hasattr(self, "world")):
            super().save_model(suffix)
            return
        if suffix == CHECKPOINT and self.agent._number_grad_accum:
            self._checkpoint_due = True  # gradients are not saved: after this update
            return
        self.agent.run_state.update(
            counts=self._counts(),
            last_valid_steps=self._last_valid_steps,
            validation_due=before_validation is not None,
            workers=all_gather_list(before_validation or resume.capture(self.world)),
        )
        self._save_train_stats(suffix)  # before the weights, see _take_up
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
            self.train_time.time() / self.max_train_time,
        )  # an unset limit is infinite
        return min(1.0, max(done))

    def _examples_done(self) -> float:
        return self._total_epochs * self.world.num_examples()

    def _tell_progress(self) -> None:
        if self.ours and hasattr(self.agent, "set_progress"):
            self.agent.set_progress(self.share_done())

    def _get_time(self, world):
        """The stock loop asks for the time after every step."""
        times = super()._get_time(world)
        self._tell_progress()
        self._line.update(self.share_done(), self._examples_done())
        if self.ours and self.share_done() >= 1 and self._keeps_checkpoints():
            # so that a run that dies in its last evaluation need not train again
            self.save_model(CHECKPOINT)
        return times

    def log(self):
        with self._line.paused():
            report = super().log()
            trim_memory()
            if self.ours and not self._line.live and is_primary_worker():
                logging.info(self._line.text())
        return report

    def validate(self):
        # here, not after: the checkpoint that validation writes shall say so
        last, self._last_valid_steps = self._last_valid_steps, self._train_steps
        before = resume.capture(self.world) if self.ours else None
        try:
            with self._line.paused():
                stop = super().validate()
        except Terminated:
            self._last_valid_steps = last
            self._leave(before)
        if stop and self.ours and self._keeps_checkpoints():
            self.save_model(CHECKPOINT)
        return stop

    def _run_single_eval(self, *args, **kwargs):
        if self.ours and self.agent._number_grad_accum:  # no checkpoint now, see save_model
            return super()._run_single_eval(*args, **kwargs)
        with self.termination.at_once():
            return super()._run_single_eval(*args, **kwargs)

    def _run_eval(self, worlds, opt, datatype, max_exs=-1, write_log=False, extra_log_suffix=""):
        """ParlAI's, which would leave half a report where it is killed."""
        report = super()._run_eval(worlds, opt, datatype, max_exs, False, extra_log_suffix)
        if write_log and opt.get("model_file") and is_primary_worker():
            path = f"{opt['model_file']}{extra_log_suffix}.{datatype}"
            files.append(path, f"{datatype}:\n{nice_report(report)}\n\n")
        return report


class JoinableP2botTrainLoop(P2botTrainLoop, fsdp.JoinableTrainLoop):
    """What multiprocessing_train and distributed_train run."""


class ProgressLine:
    """
    How far the run is, examples (or dialogues) a second and time left.

    On a terminal one line that is written over; elsewhere `text` goes to the log. The
    clock stands still while the loop logs or validates.
    """

    def __init__(self, unit: str = "examples"):
        self.unit = unit
        self.live = sys.stderr.isatty() and is_primary_worker()
        self._bar = None
        self.seconds, self._running_since = 0.0, None

    def start(self, share: float, examples: float) -> None:
        self.first_share = self.share = share
        self.first_examples = self.examples = examples
        self._running_since = time.monotonic()
        if self.live:
            self._bar = tqdm(
                total=1000, bar_format="training {percentage:3.0f}%|{bar:20}|{desc}", leave=False
            )

    def update(self, share: float, examples: float) -> None:
        self.share, self.examples = share, examples
        if self._bar is not None:
            self._bar.n = round(1000 * share)
            self._bar.set_description_str(self._details(), refresh=False)
            self._bar.update(0)  # redraws at most ten times a second

    def text(self) -> str:
        return f"training {100 * self.share:.0f}% done,{self._details()}"

    def _details(self) -> str:
        running = time.monotonic() - self._running_since if self._running_since else 0.0
        seconds = self.seconds + running
        speed = (self.examples - self.first_examples) / max(seconds, 1e-6)
        gained = self.share - self.first_share
        left = "?" if gained <= 0 else tqdm.format_interval(seconds * (1 - self.share) / gained)
        return f" {self.examples:,.0f} {self.unit}, {speed:.1f} {self.unit}/s, {left} left"

    @contextlib.contextmanager
    def paused(self):
        """Give the terminal to others and stop the clock."""
        if self._running_since is not None:
            self.seconds += time.monotonic() - self._running_since
            self._running_since = None
        if self._bar is not None:
            self._bar.clear()
        yield
        self._running_since = time.monotonic()
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
