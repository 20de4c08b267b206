"""
Write docs/options.md from the parsers of the commands: `make docs`.

tests/test_docs.py fails where the page is out of date.
"""

from pathlib import Path

from parlai.core.loader import load_agent_module
from parlai.core.params import ParlaiParser
from parlai.core.script import SCRIPT_REGISTRY
from parlai.scripts import eval_model, interactive, self_chat
from parlai.scripts.train_model import setup_args

from p2bot_parlai import plugin, scripts
from p2bot_parlai.agents.options.inherited import NEEDS
from p2bot_parlai.parlai_support.varying import VARYING

ROOT = Path(__file__).parents[1]
# whose options are ParlAI's own
STOCK_MODELS = (
    "transformer/generator",
    "transformer/biencoder",
    "transformer/classifier",
    "seq2seq",
)

# what is parsed
MODELS = {
    "-m p2bot": {"model": "p2bot"},
    "-m p2bot/receiver": {"model": "p2bot/receiver"},
    "-m p2bot/seq2seq": {"model": "p2bot/seq2seq"},
    "-m p2bot/profile_memory": {"model": "p2bot/profile_memory"},
    "-m p2bot/kv_profile_memory": {"model": "p2bot/kv_profile_memory"},
    "-m p2bot/persona_nli": {"model": "p2bot/persona_nli"},
}
TASKS = {
    "-t TASK": {"task": "convai2"},
    "-t p2bot:persona_perception": {"task": "p2bot:persona_perception"},
    "-t p2bot:selfplay": {"task": "p2bot:selfplay"},
    "-t p2bot:sketch": {"task": "p2bot:sketch"},
    "-t p2bot:persona_nli": {"task": "p2bot:persona_nli"},
    f"--mutators {'+'.join(VARYING)}": {"task": "convai2", "mutators": "+".join(VARYING)},
}
# options of ParlAI's own whose defaults our agents change
CHANGED = {
    "-m p2bot/receiver": {"model": "p2bot/receiver"},
    "-m p2bot/seq2seq": {"model": "p2bot/seq2seq"},
    "-m p2bot/profile_memory": {"model": "p2bot/profile_memory"},
    "-m p2bot/persona_nli": {"model": "p2bot/persona_nli"},
    "-m p2bot": {"model": "p2bot"},
    "-m p2bot -t p2bot:selfplay": {"model": "p2bot", "task": "p2bot:selfplay"},
}


def main() -> None:
    plugin.register()
    (ROOT / "docs/options.md").write_text(options(), encoding="utf-8")


def options() -> str:
    """The text of docs/options.md."""
    lines = [
        "# Every option",
        "",
        "Made by `make docs` from the code. ParlAI's own options are in",
        "`parlai train_model --help`; those that do nothing here, and those whose defaults our",
        "agents change, are at the end.",
    ]
    titles = stock_titles()
    for title, given in MODELS.items():
        lines += _table(title, own_options(parsed(**given), titles))
    known: set[str] = set()  # of a task that another is built on
    for title, given in TASKS.items():
        own = [a for a in own_options(parsed(**given), titles) if a.dest not in known]
        known |= {action.dest for action in own}
        lines += _table(title, own)
    for name, script in sorted(our_scripts().items()):
        doc = " ".join((script.__doc__ or "").split())
        lines += _table(f"parlai {name}", own_options(script.setup_args(), titles), doc)
    lines += _without_meaning()
    lines += ["", "## Defaults that our agents change", ""]
    lines += ["| with | option | default | ParlAI's |", "|---|---|---|---|"]
    before = _defaults(parsed(model="transformer/generator"))
    for title, given in CHANGED.items():
        parser = parsed(**given)
        ours = {action.dest for action in own_options(parser, titles)}
        for name, value in sorted(_defaults(parser).items()):
            if before.get(name, value) != value and name not in ours:
                lines.append(f"| `{title}` | `--{_dashed(name)}` | {value} | {before[name]} |")
        before |= _defaults(parser) if title == "-m p2bot" else {}
    return "\n".join(lines) + "\n"


def _without_meaning() -> list[str]:
    """ParlAI's options that our agents refuse."""
    lines = ["", "## Options of ParlAI's that do nothing here", ""]
    lines += [
        "Giving one another value than its default is an error; saved `.opt` files still load."
    ]
    lines += ["", "| options | with | |", "|---|---|---|"]
    agents: dict[tuple[str, str], list[str]] = {}
    for title, given in MODELS.items():
        known = _defaults(parsed(**given))
        for name, why in load_agent_module(given["model"]).WITHOUT_MEANING.items():
            if name in known:
                agents.setdefault((why, f"`--{_dashed(name)}`"), []).append(f"`{title}`")
    options: dict[tuple[str, str], list[str]] = {}
    for (why, option), titles in agents.items():
        where = "all" if len(titles) == len(MODELS) else ", ".join(titles)
        options.setdefault((where, why), []).append(option)
    lines += [
        f"| {', '.join(names)} | {where} | {why} |" for (where, why), names in options.items()
    ]
    lines += ["", "In training, these need a certain optimizer or schedule:", ""]
    lines += ["| option | only with |", "|---|---|"]
    for name, (other, values) in sorted(NEEDS.items()):
        only = f"`--{_dashed(other)}` {', '.join(values)}" if values else "an optimizer not offered"
        lines.append(f"| `--{_dashed(name)}` | {only} |")
    return lines


def parsed(**given) -> ParlaiParser:
    """The parser of train_model, with the options of a model or task."""
    parser = setup_args()
    parser.parse_kwargs(**given)
    return parser


def our_scripts() -> dict:
    """Our commands: name -> class."""
    return {
        name: found.klass
        for name, found in SCRIPT_REGISTRY.items()
        if found.klass.__module__.startswith(scripts.__name__)
    }


def stock_titles() -> set[str]:
    """The titles of option groups that ParlAI's commands and models have without us."""
    parsers = [parsed(model=model) for model in STOCK_MODELS]
    parsers += [script.setup_args() for script in (eval_model, interactive, self_chat)]
    return {group.title for parser in parsers for group in parser._action_groups}


def own_options(parser: ParlaiParser, titles: set[str]) -> list:
    """The options in groups of ours. :param titles: `stock_titles`."""
    groups = [group for group in parser._action_groups if group.title not in titles]
    actions = [action for group in groups for action in group._group_actions]
    return [a for a in actions if any(flag.startswith("--") for flag in a.option_strings)]


def _defaults(parser: ParlaiParser) -> dict:
    names = {action.dest: action.default for action in parser._actions}
    return {k: v for k, v in names.items() if k not in ("model", "task", "dict_class")}


def _table(title: str, actions: list, doc: str = "") -> list[str]:
    lines = ["", f"## `{title}`", "", *([doc, ""] if doc else [])]
    rows = []
    for action in actions:
        values = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
        text = " ".join((action.help or "").split()).replace("|", "\\|") + values
        default = "" if action.default is None else f"`{action.default}`"
        rows.append(f"| `--{_dashed(action.dest)}` | {default} | {text} |")
    return lines + (["| option | default | |", "|---|---|---|", *rows] if rows else ["No options."])


def _dashed(name: str) -> str:
    return name.replace("_", "-")


if __name__ == "__main__":
    main()
