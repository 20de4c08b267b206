"""Figure 6 of the paper: which profile sentence each utterance reveals; matplotlib's figures."""

import textwrap
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from p2bot_parlai.errors import P2botError

FORMATS = (".png", ".svg", ".pdf")
# characters a line, inches a line of text, inches a column
UTTERANCE_CHARACTERS, SENTENCE_CHARACTERS = 44, 20
LINES = 12  # of one text at most: what is longer is cut
LINE, COLUMN, LABELS = 0.17, 1.55, 3.4


def new_figure(width: float, height: float, layout: str | None = None):
    """An empty matplotlib figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def check_drawing(path: str) -> None:
    """:raises P2botError: where matplotlib is missing, and for an unknown ending."""
    if find_spec("matplotlib") is None:
        raise P2botError("drawings need matplotlib: pip install matplotlib")
    if not path.lower().endswith(FORMATS):
        raise P2botError(f"cannot draw {path}: the name must end in {', '.join(FORMATS)}")


def draw_relevance_map(
    relevance: np.ndarray,
    utterances: Sequence[str],
    sentences: Sequence[str],
    path: str,
) -> None:
    """
    Utterances down, profile sentences across, the score as number and colour: the darker,
    the higher.

    :param relevance: U (N, L), Eq. 11.
    :param path: file to write; its ending is one of `FORMATS`.
    :raises P2botError: as `check_drawing`.
    """
    check_drawing(path)
    down = [_wrapped(text, UTTERANCE_CHARACTERS) for text in utterances]
    across = [_wrapped(text, SENTENCE_CHARACTERS) for text in sentences]
    # a row is as high as its text; edges are counted from the top
    heights = [LINE * (text.count("\n") + 1) + 0.16 for text in down]
    edges = np.concatenate([[0.0], np.cumsum(heights)])
    top = LINE * max(text.count("\n") + 1 for text in across) + 0.2
    columns = COLUMN * len(sentences)
    width, height = LABELS + columns + 1.1, top + edges[-1] + 0.2
    figure = new_figure(width, height)
    import matplotlib

    # text as text in SVG: it can be searched and read aloud
    with matplotlib.rc_context({"svg.fonttype": "none", "font.size": 9}):
        bottom, share = 0.2 / height, edges[-1] / height
        axes = figure.add_axes((LABELS / width, bottom, columns / width, share))
        mesh = axes.pcolormesh(
            np.arange(len(sentences) + 1), edges, relevance, cmap="Blues", edgecolors="white"
        )
        axes.set_ylim(edges[-1], 0)
        middles = (edges[:-1] + edges[1:]) / 2
        axes.set_yticks(middles, down)
        axes.set_xticks(np.arange(len(sentences)) + 0.5, across)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for (row, column), value in np.ndenumerate(relevance):
            color = "white" if mesh.norm(value) > 0.6 else "black"
            place = column + 0.5, middles[row]
            axes.text(*place, f"{value:.2f}", ha="center", va="center", color=color)
        bar = figure.add_axes(((LABELS + columns + 0.2) / width, bottom, 0.15 / width, share))
        figure.colorbar(mesh, cax=bar, label="relevance (Eq. 11)")
        figure.savefig(path, dpi=150)


def _wrapped(text: str, characters: int) -> str:
    """At most `LINES` lines, without characters that fonts cannot show."""
    text = "".join(c if c.isprintable() else " " for c in text[: 2 * LINES * characters])
    lines = textwrap.fill(text, characters, max_lines=LINES, placeholder=" ...")
    # "$" would open a formula
    return lines.replace("$", r"\$") or " "
