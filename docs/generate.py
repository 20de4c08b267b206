"""
Write docs/options.md and docs/troubleshooting.md from the code: `make docs`.

Options come from the parsers that the commands use, with their help and default; errors
from every `P2botError` and `UsageError` that the code raises. tests/test_docs.py fails where
they are old.
"""

import ast
from pathlib import Path

from parlai.core.params import ParlaiParser
from parlai.core.script import SCRIPT_REGISTRY
from parlai.scripts.train_model import setup_args

from p2bot_parlai import plugin, scripts

ROOT = Path(__file__).parents[1]
SOURCES = ("p2bot_parlai", "tasks", "zoo")
ERRORS = ("P2botError", "UsageError")

# what is parsed, and the group titles in it that are ours
MODELS = {
    "-m p2bot": {"model": "p2bot"},
    "-m p2bot/receiver": {"model": "p2bot/receiver"},
    "-m p2bot/seq2seq": {"model": "p2bot/seq2seq"},
    "-m p2bot/profile_memory": {"model": "p2bot/profile_memory"},
    "-m p2bot/kv_profile_memory": {"model": "p2bot/kv_profile_memory"},
    "-m p2bot/persona_nli": {"model": "p2bot/persona_nli"},
}
TASKS = {
    "-t p2bot:persona_perception": {"task": "p2bot:persona_perception"},
    "-t p2bot:selfplay": {"task": "p2bot:selfplay"},
    "-t p2bot:sketch": {"task": "p2bot:sketch"},
    "-t p2bot:persona_nli": {"task": "p2bot:persona_nli"},
}
# ParlAI's own options whose defaults are another with our agents
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
    (ROOT / "docs/troubleshooting.md").write_text(errors(), encoding="utf-8")


# -------------------------------------------------------------------------- options
def options() -> str:
    """The text of docs/options.md."""
    lines = [
        "# Every option",
        "",
        "Made by `make docs` from the code. ParlAI's own options, which work as ever, are in",
        "`parlai train_model --help`; those whose defaults our agents change are at the end.",
    ]
    stock = _known(parsed())
    for title, given in {**MODELS, **TASKS}.items():
        lines += _table(title, parsed(**given), stock)
        if title in TASKS:  # a task that is built on another has its options too
            stock |= _known(parsed(**given))
    for name, script in sorted(_our_scripts().items()):
        parser = script.setup_args()
        doc = " ".join((script.__doc__ or "").split())
        lines += _table(f"parlai {name}", parser, stock, doc)
    lines += ["", "## Defaults that our agents change", ""]
    lines += ["| with | option | default | ParlAI's |", "|---|---|---|---|"]
    before = _defaults(parsed(model="transformer/generator"))
    for title, given in CHANGED.items():
        parser = parsed(**given)
        for name, value in sorted(_defaults(parser).items()):
            if before.get(name, value) != value and _of_parlai(name, parser):
                lines.append(f"| `{title}` | `--{_dashed(name)}` | {value} | {before[name]} |")
        before |= _defaults(parser) if title == "-m p2bot" else {}
    return "\n".join(lines) + "\n"


def parsed(**given) -> ParlaiParser:
    """The parser of train_model, with the options of a model or task."""
    parser = setup_args()
    parser.parse_kwargs(**given) if given else None
    return parser


def _our_scripts() -> dict:
    return {
        name: found.klass
        for name, found in SCRIPT_REGISTRY.items()
        if found.klass.__module__.startswith(scripts.__name__)
    }


def _known(parser) -> set[str]:
    return {action.dest for action in parser._actions}


def _defaults(parser) -> dict:
    names = {action.dest: action.default for action in parser._actions}
    return {k: v for k, v in names.items() if k not in ("model", "task", "dict_class")}


def _table(title: str, parser, stock: set[str], doc: str = "") -> list[str]:
    lines = ["", f"## `{title}`", ""]
    if doc:
        lines += [doc, ""]
    rows = []
    for action in parser._actions:
        flags = [flag for flag in action.option_strings if flag.startswith("--")]
        if action.dest in stock or not flags or _of_parlai(action.dest, parser):
            continue
        values = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
        text = " ".join((action.help or "").split()).replace("|", "\\|") + values
        default = "" if action.default is None else f"`{action.default}`"
        rows.append(f"| `--{_dashed(action.dest)}` | {default} | {text} |")
    return lines + (["| option | default | |", "|---|---|---|", *rows] if rows else ["No options."])


def _of_parlai(dest: str, parser) -> bool:
    """Whether an option is of an agent or task of ParlAI's own that ours is built on."""
    for group in parser._action_groups:
        if any(action.dest == dest for action in group._group_actions):
            return (group.title or "") not in OURS
    return True


def _dashed(name: str) -> str:
    return name.replace("_", "-")


OURS = {
    "Blend",
    "Chat with personas",
    "Completion",
    "Compare",
    "Export",
    "Human evaluation",
    "Import",
    "Perception table",
    "Persona NLI",
    "Persona NLI classifier",
    "Persona metrics",
    "Persona perception",
    "P²Bot Receiver",
    "P²Bot baselines",
    "P²Bot Transmitter",
    "P²Bot self-play (-t p2bot:selfplay)",
    "Relevance map",
    "Sampled answers",
    "Self-play dialogues",
    "Sketch corpus",
    "Transcript",
    "Web page",
}


# --------------------------------------------------------------------------- errors
def errors() -> str:
    """The text of docs/troubleshooting.md."""
    lines = [
        "# Troubleshooting",
        "",
        "`parlai` does not know `-m p2bot`: a regular package named `parlai_internal` of your",
        "own hides ours; `python -m p2bot_parlai train_model ...` is the same command.",
        "",
        "`import parlai` fails: ParlAI goes in with `pip install --no-deps parlai==1.7.2`, as its",
        "own requirements cannot be resolved on current Python.",
        "",
        "Memory: lower `--batchsize` or `--text-truncate`; a skipped batch is counted in the",
        "report (`skipped_batches`).",
        "",
        "A self-play run moves nothing: `kl` in the report says how far the policy is from the",
        "supervised model; small models need a higher rate than the paper's 1e-6.",
        "",
        "## Every error that you can mend",
        "",
        "Made by `make docs` from the code. Each is one line on stderr, says what to do, and",
        "ends the command with exit status 1, or 2 where an option is missing or has a value that",
        "can never work; `P2BOT_TRACEBACK=1` shows where it comes from. Parts in braces are",
        "filled in.",
    ]
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            found = _raised(ast.parse(path.read_text(encoding="utf-8")))
            if found:
                lines += ["", f"### {path.relative_to(ROOT)}", ""]
                lines += [f"- {text}" for text in dict.fromkeys(found)]
    return "\n".join(lines) + "\n"


def _raised(tree: ast.AST) -> list[str]:
    """The texts of all P2botErrors, in the order of the code."""
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS
    ]
    return [_text(call.args[0]) for call in sorted(calls, key=lambda call: call.lineno)]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.FormattedValue):
        node = node.value
    return "{" + ast.unparse(node) + "}"


if __name__ == "__main__":
    main()
