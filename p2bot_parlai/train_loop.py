"""
ParlAI's training loop, with what a long run needs besides.

- The agent learns how much of the run is done (`set_progress`): learning rate and
  temperature follow it, whatever limits the run.
- Checkpoints hold the random states and the place in the data, so that a resumed run
  ends as an unbroken one does.
- A resumed run reports and leaves the best model, not the last checkpoint
  (parlai/scripts/train_model.py:365 makes the checkpoint stick).
- ``--seed`` holds for the first weights too.
- A progress line: examples a second and time left.
- Agents that can train on whole dialogues (`--packed`) get them.

Agents that are not ours are trained as ever.
"""

import contextlib
import os
import sys
import time

from parlai.core.loader import load_agent_module
from parlai.scripts import train_model
from parlai.utils import fsdp, logging
from parlai.utils.distributed import all_gather_list, get_rank, is_primary_worker
from tqdm import tqdm

from p2bot_parlai import mutators, resume
from p2bot_parlai.agents.whole_dialogues import WholeDialogues
from p2bot_parlai.allocation import give_back


def install() -> None:
    """Let every script that trains use this loop; called when the plug-in registers."""
    train_model.TrainLoop = P2botTrainLoop
    fsdp.JoinableTrainLoop = JoinableP2botTrainLoop


class P2botTrainLoop(train_model.TrainLoop):
    """See the module. It only adds to the stock loop where the agent is one of ours."""

    def __init__(self, opt):
        given = opt.get("init_model")
        resume.check_counts(opt)
        if opt.get("seed") is not None:  # ParlAI seeds when the weights are drawn already
            train_model.set_seed(opt["seed"])
        model_class = load_agent_module(opt["model"]) if opt.get("model") else None
        if hasattr(model_class, "check_training"):
            model_class.check_training(opt)
        whole = issubclass(model_class or object, WholeDialogues) and opt.get("packed")
        if whole:
            mutators.add_whole_dialogues(opt)
        super().__init__(opt)
        if whole:
            mutators.count_dialogues(self.world)
        self.ours = hasattr(self.agent, "run_state")
        if hasattr(self.agent, "begin_training"):
            self.agent.begin_training()
        if self.ours and (opt.get("init_model") or "").endswith(".checkpoint"):
            # the agent is built: what it reloads at the end shall be the best model
            opt["init_model"] = given
            self.saved = self.best_valid is not None and os.path.exists(opt["model_file"])
        self._line = ProgressLine("dialogues" if whole else "examples")

    def train_steps(self):
        self._restore()
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
            else:
                logging.warning(
                    f"This run was on {len(state['workers'])} processes: random states and the "
                    "place in the data are not resumed."
                )
        self._tell_progress()

    def save_model(self, suffix=None):
        if self.ours and hasattr(self, "world"):
            self.agent.run_state.update(
                last_valid_steps=self._last_valid_steps,
                workers=all_gather_list(resume.capture(self.world)),
            )
        super().save_model(suffix)

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
        return times

    def log(self):
        with self._line.paused():
            report = super().log()
            give_back()
            if self.ours and not self._line.live and is_primary_worker():
                logging.info(self._line.text())
        return report

    def validate(self):
        # here, not after: the checkpoint that validation writes shall say so
        self._last_valid_steps = self._train_steps
        with self._line.paused():
            return super().validate()


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
