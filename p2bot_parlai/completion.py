"""
What a shell can complete of the `parlai` command: sub-commands, options, some of their values.

ParlAI's parsers are argparse's, from which shtab writes a script that answers at once. (ParlAI
itself hands its parser to argcomplete, which imports everything at every press of Tab.) The
options of P²Bot's agents are among those of every command that takes a ``--model``.
"""

import argparse
from pathlib import Path

from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import P2botError
from p2bot_parlai.plugin import NAMES, SHORT_NAME

SHELLS = ("bash", "zsh", "fish")
# options of ParlAI and of ours that name files
_FILES = {
    "model_file",
    "init_model",
    "dict_file",
    "datapath",
    "outfile",
    "receiver",
    "transmitter",
    "language_model",
    "tokenizer",
    "encoder_tokenizer",
    "fromfile_datapath",
}


def write(shell: str) -> str:
    """
    The completion script for a shell.

    :param shell: one of `SHELLS`.
    :raises P2botError: where shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise P2botError(
            "shell completion needs shtab: pip install 'p2bot-parlai[completion]'"
        ) from error
    root = parlai_command()
    for parser in _parsers(root):
        for action in parser._actions:
            if action.dest in _FILES:
                action.complete = shtab.FILE
    return shtab.complete(root, shell=shell)


def parlai_command() -> argparse.ArgumentParser:
    """The `parlai` command as argparse sees it; for looking at, not for parsing."""
    from parlai.core.script import SCRIPT_REGISTRY, setup_script_registry

    setup_script_registry()
    root = argparse.ArgumentParser("parlai", description="ParlAI with P²Bot")
    commands = root.add_subparsers(title="Commands", metavar="COMMAND")
    for name, registration in sorted(SCRIPT_REGISTRY.items()):
        if registration.hidden:
            continue
        stock = registration.klass.setup_args() or ParlaiParser(False, False)
        if "--model" in stock._option_string_actions:
            _add_agents(stock)
        parser = commands.add_parser(name, help=stock.description, add_help=False)
        for action in stock._actions:
            # what many commands share are many objects with one name each
            parser._add_action(_to_complete(action))
    return root


def _parsers(root: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found = [root]
    for action in root._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += action.choices.values()
    return found


def _add_agents(parser: ParlaiParser) -> None:
    """The options of our agents; of two with one name the first counts."""
    from p2bot_parlai.agents.p2bot import P2botAgent
    from p2bot_parlai.agents.receiver import ReceiverAgent

    parser.conflict_handler = "resolve"
    for agent in (ReceiverAgent, P2botAgent):
        agent.add_cmdline_args(parser, None)


def _to_complete(action: argparse.Action) -> argparse.Action:
    """The same as it is typed, with the values that it can have where they are few and known."""
    from p2bot_parlai import zoo

    if action.option_strings:
        # ParlAI turns -mf into --mf before it parses, and knows the second alone
        longest = max(action.option_strings, key=len)
        short = [flag[1:] for flag in action.option_strings if flag != longest]
        action.option_strings = [longest, *(f for f in short if f.startswith("-"))]
    if action.choices is not None or action.nargs == 0:
        return action
    if action.dest == "model":
        names = {module.stem for module in (NAMES / "agents" / SHORT_NAME).glob("*.py")}
        others = sorted(names - {"__init__", SHORT_NAME})
        action.choices = [SHORT_NAME, *(f"{SHORT_NAME}/{name}" for name in others)]
    elif action.dest == "init_opt":
        presets = sorted(Path(zoo.__file__).parent.glob("*.opt"))
        action.choices = [f"{SHORT_NAME}/{file.stem}" for file in presets]
    elif action.type == "bool":
        action.choices = ["true", "false"]
    return action
