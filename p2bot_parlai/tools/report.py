"""
A report as one HTML file that needs no network, or as Markdown: tables, drawings, dialogues.

Drawings are SVG in the page and left out of the Markdown. All text is escaped in the HTML.
"""

import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import make_folder, parse_json, whole
from p2bot_parlai.tools.figures import new_figure

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #8884; }
figure { margin: 1rem 0; overflow-x: auto; background: white; }
svg { max-width: 100%; height: auto; }
pre { overflow-x: auto; background: #8882; padding: .8rem; border-radius: .4rem; }
.note { opacity: .75; }
.chat { margin: 1rem 0; padding: .8rem 1rem; border-left: 3px solid #58a; }
.chat p { margin: .2rem 0; } .chat b { display: inline-block; min-width: 4rem; }
"""


class Report:
    """
    Sections in the order in which they are added.

    :param title: headline of the page.
    """

    def __init__(self, title: str):
        self.title = title
        self._html: list[str] = []
        self._markdown: list[str] = []

    def section(self, title: str, note: str = "") -> None:
        self._html.append(f"<h2>{html.escape(title)}</h2>")
        self._markdown.append(f"## {title}")
        if note:
            self._html.append(f'<p class="note">{html.escape(note)}</p>')
            self._markdown.append(note)

    def text(self, text: str) -> None:
        """A paragraph."""
        self._html.append(f"<p>{html.escape(text)}</p>")
        self._markdown.append(escape(text))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The first column names the rows."""
        self._html.append(laid_out(header, rows, "html"))
        cells = [[escape(cell) for cell in row] for row in rows]
        self._markdown.append(laid_out(header, cells, "pipe"))

    def drawing(self, svg: str, caption: str = "") -> None:
        """:param svg: what `curves` or `svg_of` returned."""
        caption = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        self._html.append(f"<figure>{svg}{caption}</figure>")

    def chat(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        """:param lines: (who, what), in order."""
        said = "".join(f"<p><b>{html.escape(w)}</b> {html.escape(t)}</p>" for w, t in lines)
        self._html.append(f'<div class="chat"><p><i>{html.escape(title)}</i></p>{said}</div>')
        self._markdown.append(_fenced("\n".join([title, *(f"{who}: {t}" for who, t in lines)])))

    def code(self, text: str) -> None:
        self._html.append(f"<pre>{html.escape(text)}</pre>")
        self._markdown.append(_fenced(text))

    def write(self, path: str | Path) -> None:
        """As Markdown where ``path`` ends in .md, else as HTML."""
        if str(path).endswith(".md"):
            text = "\n\n".join([f"# {self.title}", *self._markdown]) + "\n"
        else:
            title = html.escape(self.title)
            text = (
                f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
                '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
                f"<title>{title}</title>\n<style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n"
                + "\n".join([*self._html, "</body></html>\n"])
            )
        write_text(str(path), text)


def write_text(path: str, text: str) -> None:
    """Write a whole file or nothing; makes the folders on the way."""
    make_folder(path)
    with whole(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def write_json(path: str, content: dict) -> None:
    """Indented; see `write_text`."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def laid_out(header: Sequence[str], rows: Sequence[Sequence[str]], form: str = "simple") -> str:
    """
    A table whose first column names the rows; the others are right-aligned.

    :param form: tabulate's ``tablefmt``.
    """
    aligned = ("left", *["right"] * (len(header) - 1))
    return tabulate(rows, header, tablefmt=form, disable_numparse=True, colalign=aligned)


def escape(text: str) -> str:
    """Text that Markdown, and HTML within it, show as it is."""
    for sign in "\\`*_<>|":
        text = text.replace(sign, "\\" + sign)
    return text


def _fenced(text: str) -> str:
    return f"```\n{text}\n```"


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
    """
    figure = new_figure(3.2 * len(metrics), 2.6, layout="constrained")
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
