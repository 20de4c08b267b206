"""The report of an evaluation as people read it: the metrics of the paper first."""

import shutil
from collections.abc import Mapping

from parlai.core.metrics import Metric
from parlai.core.opt import Opt
from parlai.utils.misc import float_formatter

FIRST = (
    *("hits@1", "ppl", "ppl_word", "f1", "bleu-4", "hits@1_of_100", "mrr", "true_cell"),
    *("persona_f1", "perception", "c_score", "entails", "contradicts", "self_repetition"),
    *("human_persona_f1", "human_perception", "human_c_score"),
)
# of the machine, of lengths, and what says the same as another: with --verbose true alone
LEFT_OUT = {
    *("clen", "clip", "ctpb", "ctps", "ctrunc", "ctrunclen", "exps", "gen_n_toks", "gnorm"),
    *("gpu_mem", "hits@5", "hits@10", "hits@100", "llen", "loss", "lr", "ltpb", "ltps", "ltrunc"),
    *("ltrunclen", "nup_loss", "precision", "rank", "recall", "token_acc", "token_em"),
    *("total_train_updates", "tpb", "tps", "ups"),
}
GAP = "  "


def table(report: Mapping[str, Metric | float], width: int, everything: bool = False) -> str:
    """
    A row for each task (``task/metric``), and one for all of them; what is wider than ``width``
    goes on below.

    :param everything: the metrics of `LEFT_OUT` too.
    """
    columns: dict[str, dict[str, str]] = {}
    for key, value in report.items():
        task, _, name = key.rpartition("/")
        value = value.value() if isinstance(value, Metric) else value
        if everything or name not in LEFT_OUT:
            columns.setdefault(name, {})[task or "all"] = float_formatter(value)
    tasks = sorted({task for column in columns.values() for task in column}, key=_all_first)
    names = [name for name in ("exs", *FIRST) if name in columns]
    names += sorted(columns.keys() - set(names))
    head = ["", *tasks] if len(tasks) > 1 else ["", ""]
    blocks, lines = [], head
    for name in names:
        cells = [name, *(columns[name].get(task, "") for task in tasks)]
        size = max(map(len, cells))
        if lines is not head and len(lines[0]) + len(GAP) + size > width:
            blocks.append(lines)
            lines = head
        if lines is head:
            lines = [cell.ljust(max(map(len, head))) for cell in head]
        lines = [line + GAP + cell.rjust(size) for line, cell in zip(lines, cells, strict=True)]
    return "\n".join(line.rstrip() for block in (*blocks, lines) for line in block)


def as_table(opt: Opt):
    """For `Patch`: ParlAI's ``nice_report`` as `table`, as wide as the terminal."""
    width = shutil.get_terminal_size((88, 24)).columns
    return lambda stock: lambda report: table(report, width, opt.get("verbose"))


def _all_first(task: str) -> tuple[bool, str]:
    return task != "all", task
