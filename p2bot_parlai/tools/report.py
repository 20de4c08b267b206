"""
A report as one HTML file that needs no network: tables, drawings, dialogues, commands.

Drawings are SVG in the page. Everything that is not made here is escaped.
"""

import html
import io
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import parse_json

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; overflow-x: auto; background: white; }
svg { max-width: 100%; height: auto; }
pre { overflow-x: auto; background: #8882; padding: .8rem; border-radius: .4rem; }
.note { opacity: .75; } .theirs { opacity: .5; }
.chat { margin: 1rem 0; padding: .8rem 1rem; border-left: 3px solid #58a; }
.chat p { margin: .2rem 0; } .chat b { display: inline-block; min-width: 4rem; }
"""


class Report:
    """
    Sections in the order in which they are added.

    :param title: headline of the page.
    """

    def __init__(self, title: str):
        self.title, self._parts = title, []

    def section(self, title: str, note: str = "") -> None:
        self._parts.append(f"<h2>{html.escape(title)}</h2>")
        if note:
            self._parts.append(f'<p class="note">{html.escape(note)}</p>')

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[str]], grey: Collection[int] = ()
    ) -> None:
        """The first column names the rows. :param grey: columns that are somebody else's."""
        lines = ["<table>", _row(header, "th", grey)]
        lines += [*(_row(row, "td", grey) for row in rows), "</table>"]
        self._parts.append("\n".join(lines))

    def drawing(self, svg: str, caption: str = "") -> None:
        """:param svg: what `curves` or `svg_of` returned."""
        caption = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        self._parts.append(f"<figure>{svg}{caption}</figure>")

    def chat(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        """:param lines: (who, what), in order."""
        said = "".join(f"<p><b>{html.escape(w)}</b> {html.escape(t)}</p>" for w, t in lines)
        self._parts.append(f'<div class="chat"><p><i>{html.escape(title)}</i></p>{said}</div>')

    def code(self, text: str) -> None:
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def write(self, path: str | Path) -> None:
        """Written under another name first: no half page is left."""
        page = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{STYLE}</style></head>\n"
            f"<body><h1>{html.escape(self.title)}</h1>\n" + "\n".join(self._parts) + "\n"
            "</body></html>\n"
        )
        Path(f"{path}.tmp").write_text(page, encoding="utf-8")
        os.replace(f"{path}.tmp", path)


def _row(cells: Sequence[str], tag: str, grey: Collection[int]) -> str:
    opened = (f'{tag} class="theirs"' if i in grey else tag for i in range(len(cells)))
    pairs = zip(opened, cells, strict=True)
    return "<tr>" + "".join(f"<{o}>{html.escape(str(c))}</{tag}>" for o, c in pairs) + "</tr>"


def train_reports(model_file: str | Path) -> list[dict]:
    """What ParlAI logged of a training run: one dict of metrics a log line."""
    path = Path(f"{model_file}.trainstats")
    try:
        return parse_json(path.read_bytes())["train_reports"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise P2botError(f"{path} holds no training reports: {error}") from error


def curves(runs: Mapping[str, Sequence[dict]], metrics: Sequence[str]) -> str:
    """
    One small plot a metric, over updates, a line a run; as SVG.

    :param runs: name -> `train_reports`; a metric that a run lacks is left out.
    :raises P2botError: where matplotlib is missing.
    """
    figure_of, canvas = _matplotlib()
    figure = figure_of(figsize=(3.2 * len(metrics), 2.6), layout="constrained")
    canvas(figure)
    for place, metric in enumerate(metrics, start=1):
        axes = figure.add_subplot(1, len(metrics), place)
        for name, reports in runs.items():
            points = [(r["train_steps"], r[metric]) for r in reports if metric in r]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, marker=".", markersize=3)
        axes.set_title(metric, fontsize=10)
        axes.set_xlabel("updates")
        axes.grid(alpha=0.3)
        if place == 1 and len(runs) > 1:
            axes.legend(fontsize=8)
    return svg_of(figure)


def svg_of(figure) -> str:
    """A matplotlib figure as an SVG element for a page."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "p2bot"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return svg_element(buffer.getvalue())


def svg_element(text: str) -> str:
    """An SVG file without its XML head, which no HTML page may hold."""
    return text[text.index("<svg") :]


def _matplotlib():
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise P2botError('drawing needs matplotlib: pip install "p2bot-parlai[plot]"') from error
    return Figure, FigureCanvasAgg
