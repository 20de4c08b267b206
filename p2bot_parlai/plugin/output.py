"""
What ParlAI's chats and ``eval_model`` print of a model of ours.

A chat is silent until it begins: no options, nothing about loading. Ctrl-C ends it when its log is
written. An evaluation prints no options and one report, as wide as the terminal, its main metrics
first. ``--verbose true`` prints what ParlAI prints. Models of our zoo are called by their names.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from logging import WARNING, LogRecord

from parlai.core.opt import Opt
from parlai.scripts import eval_model as evaluation
from parlai.scripts import interactive, interactive_web, self_chat
from parlai.utils import logging
from parlai.utils.distributed import get_rank, num_workers

from p2bot_parlai.parlai_support.evaluated import EXACTLY
from p2bot_parlai.parlai_support.names import SHORT_NAME
from p2bot_parlai.parlai_support.ours import agent_of, is_ours
from p2bot_parlai.parlai_support.patching import Patch, patched
from p2bot_parlai.parlai_support.reports import as_table
from p2bot_parlai.tasks.chat.persona_worlds import InteractiveWorld

CHATS = (interactive.Interactive, interactive_web.InteractiveWeb, self_chat.SelfChat)


def install() -> None:
    """Wrap the chats and the evaluation."""
    for chat in CHATS:
        Patch(chat, "run", with_silent_start).apply()
    Patch(evaluation, "eval_model", with_one_report).apply()
    Patch(evaluation, "_eval_single_world", with_exact_number).apply()


# ------------------------------------------------------------------------------- chats
def with_silent_start(stock):
    def run(self):
        if not is_ours(agent_of(self.opt)):
            return stock(self)
        worlds = []
        with by_zoo_name(self.opt), contextlib.ExitStack() as start:
            if not self.opt.get("verbose"):
                start.enter_context(filtered(_is_warning))

            def then_loud(create):
                def create_task(*args, **kwargs):
                    worlds.append(create(*args, **kwargs))
                    start.close()
                    return worlds[-1]

                return create_task

            start.enter_context(
                patched(Patch(sys.modules[stock.__module__], "create_task", then_loud))
            )
            result = stock(self)
        if any(isinstance(world, InteractiveWorld) and world.interrupted for world in worlds):
            raise KeyboardInterrupt
        return result

    return run


def _is_warning(record: LogRecord) -> bool:
    """One that the user did not ask for, as with -t."""
    return record.levelno >= WARNING and not str(record.msg).startswith("Overriding opt[")


@contextlib.contextmanager
def filtered(keep: Callable[[LogRecord], bool]) -> Iterator[None]:
    """ParlAI's log holds what ``keep`` keeps."""
    logging.logger.addFilter(keep)
    try:
        yield
    finally:
        logging.logger.removeFilter(keep)


def by_zoo_name(opt: Opt) -> contextlib.AbstractContextManager:
    """A model of our zoo is logged as ``zoo:p2bot/...``, not by its folder."""
    name = f"zoo:{SHORT_NAME}/"
    folder = os.path.join(opt["datapath"], "models", SHORT_NAME, "")

    def rename(record: LogRecord) -> bool:
        record.msg = str(record.msg).replace(folder, name)
        return True

    return filtered(rename)


# -------------------------------------------------------------------------- evaluation
def with_one_report(stock):
    def eval_model(opt):
        if not is_ours(agent_of(opt)):
            return stock(opt)
        with (
            by_zoo_name(opt),
            patched(
                Patch(evaluation, "nice_report", as_table(opt)),
                Patch(logging, "report", unsaid),
                *(() if opt.get("verbose") else [Patch(Opt, "log", unsaid)]),
            ),
        ):
            return stock(opt)

    return eval_model


def unsaid(stock):
    """The options, and the report of one task, which the report of all tasks repeats."""
    return lambda *given: None


def with_exact_number(stock):
    def _eval_single_world(opt, agent, task):
        if opt["num_examples"] > 0 and is_ours(type(agent)):
            own = len(range(get_rank(), opt["num_examples"], num_workers()))
            opt = Opt({**opt, "num_examples": -1, EXACTLY: own})
        return stock(opt, agent, task)

    return _eval_single_world
