"""Options of `parlai human_eval` and `parlai sample_answers`, and help for one action."""

import argparse

from p2bot_parlai.tools.human_eval.answers import HUMAN

# action -> (what it does, how it is called)
ACTIONS = {
    "prepare": (
        "draw contexts, ask the systems, write the study and its key",
        "-t TASK --systems NAME=MODEL ... --number N --seed S --outfile STUDY",
    ),
    "rate": (
        "take ratings: on a local page, or by a CSV file",
        "--study STUDY [--port N | --csv FILE --rater NAME]",
    ),
    "report": (
        "print Table 2 with agreement and significance",
        "--study STUDY [--key FILE] [--ratings FILE ...] [--outfile NAME]",
    ),
}
# which actions an option is for
USED_BY = {
    "systems": ("prepare",),
    "number": ("prepare",),
    "seed": ("prepare",),
    "human": ("prepare",),
    "outfile": ("prepare", "report"),
    "study": ("rate", "report"),
    "ratings": ("rate", "report"),
    "key": ("report",),
    "host": ("rate",),
    "port": ("rate",),
    "csv": ("rate",),
    "rater": ("rate",),
}


class Several(argparse._StoreAction):
    """An option with several values that may also be given several times: none is lost."""

    def __call__(self, parser, namespace, values, option_string=None):
        before = getattr(namespace, self.dest, None) or []
        setattr(namespace, self.dest, [*before, *values])


class HelpOnAction(argparse.Action):
    """``--help`` behind an action tells of that action, alone of all of them."""

    def __call__(self, parser, namespace, values, option_string=None):
        print(help_on(parser, getattr(namespace, "action", None)), end="")
        parser.exit()


def help_on(parser: argparse.ArgumentParser, action: str | None) -> str:
    """The options that an action uses; for ``prepare`` also those of ParlAI."""
    formatter = parser._get_formatter()
    command = "parlai human_eval"
    if action not in ACTIONS:
        formatter.add_text(f"{command} ACTION ...: {parser.description}")
        width = max(map(len, ACTIONS)) + 2
        for name, (what, _) in ACTIONS.items():
            formatter.add_text(f"  {name:<{width}}{what}")
        formatter.add_text(f"{command} ACTION --help tells more.")
        return formatter.format_help()
    what, usage = ACTIONS[action]
    formatter.add_text(f"{command} {action} {usage}")
    formatter.add_text(what)
    for group in parser._action_groups:
        if group is parser._optionals:  # `parlai` lists every option in here once more
            continue
        mine = [a for a in group._group_actions if action in USED_BY.get(a.dest, ())]
        if not mine and action == "prepare" and (group.title or "").startswith(PARLAI_GROUPS):
            mine = group._group_actions
        if mine:
            formatter.start_section(group.title)
            formatter.add_arguments(mine)
            formatter.end_section()
    return formatter.format_help()


PARLAI_GROUPS = ("Main ParlAI", "Batching", "ParlAI Data")


def add_sampling_options(group, number: int) -> None:
    """Which contexts, and who answers them."""
    group.add_argument(
        "--systems",
        action=Several,
        nargs="+",
        metavar="NAME=PATH",
        default=None,
        help="Who answers: NAME=MODEL, any ParlAI model file or zoo name, or NAME=ANSWERS.jsonl, "
        "answers that were made elsewhere",
    )
    group.add_argument(
        "--human",
        type="bool",
        default=True,
        help=f"Whether the task's own answer is among them, as system {HUMAN}",
    )
    group.add_argument("--number", type=int, default=number, help="Contexts to draw")
    group.add_argument(
        "--seed", type=int, default=0, help="Decides which contexts, and what decoding samples"
    )
