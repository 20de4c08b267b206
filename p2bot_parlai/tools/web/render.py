"""
A conversation as HTML. Whatever somebody wrote goes through `html.escape` here, and nowhere
else; ``dir="auto"`` lets every text run in its own direction.
"""

from collections.abc import Sequence
from html import escape

from p2bot_parlai.tools.web.judge import COHERENCE, PARTS, PERSONA, STYLE, Judge
from p2bot_parlai.tools.web.talk import Line, Shown, Talk

NAMES = {STYLE: "style", COHERENCE: "coherence", PERSONA: "persona"}
EXPLAINED = {
    STYLE: "language style (Eq. 6): mean log-probability of a word of the reply, read alone",
    COHERENCE: "discourse coherence (Eq. 7): log-probability that it is the next utterance",
    PERSONA: "mutual persona perception (Eq. 8): what it and all that followed shows of either "
    "persona; it changes as the conversation goes on",
}


def text(written: str) -> str:
    """What somebody wrote, as text."""
    return f'<span dir="auto">{escape(written)}</span>'


def chat(talk: Talk | None, names: Sequence[str], empty: str, judge: Judge) -> str:
    """
    The messages, oldest first, each reply with its rewards.

    :param names: of the two speakers. :param empty: what stands there before the first.
    """
    lines = list(talk.lines) if talk else []
    growing = talk.growing if talk else None
    busy = bool(talk and talk.busy)
    rows = [_message(line, names, judge) for line in lines]
    if growing:
        rows.append(_message(growing, names, judge, "growing"))
    elif busy:
        rows.append('<div class="p2-typing" aria-label="thinking"><i></i><i></i><i></i></div>')
    if not rows:
        rows.append(note(empty))
    # the inner column stands at the bottom of the outer, which is reversed: it stays in sight
    state = "busy" if busy else "idle"
    return (
        f'<div class="p2-chat" data-state="{state}" tabindex="0"><div role="log" '
        f'aria-live="polite" aria-busy="{str(busy).lower()}">{"".join(rows)}</div></div>'
    )


def _message(line: Line, names: Sequence[str], judge: Judge, state: str = "") -> str:
    side = ("first", "second")[line.speaker]
    said = text(line.text) if line.text.strip() else "<em>(says nothing)</em>"
    return (
        f'<div class="p2-message {side} {state}"><div class="p2-who">{escape(names[line.speaker])}'
        f'</div><div class="p2-bubble">{said}</div>{_rewards(line, judge)}</div>'
    )


def _rewards(line: Line, judge: Judge) -> str:
    if not line.judged:
        return ""
    cells = [
        f'<span title="{escape(EXPLAINED[name])}">{NAMES[name]} '
        f"<b>{line.judged[name]:.2f}</b></span>"
        for name in PARTS
        if name in line.judged
    ]
    total = judge.total(line.judged)
    if total is not None:
        cells.append(f'<span class="total" title="Eq. 10">R <b>{total:.2f}</b></span>')
    return f'<div class="p2-rewards">{"".join(cells)}</div>'


def titled(title: str, content: str) -> str:
    return f'<section><h3 class="p2-title">{escape(title)}</h3>{content}</section>'


def note(empty: str) -> str:
    """What stands where there is nothing yet."""
    return f'<p class="p2-empty">{escape(empty)}</p>'


def relevance_map(shown: Shown, whose: str, empty: str) -> str:
    """Figure 6 as a table: utterances down, profile sentences across, the deeper the higher."""
    if not shown.relevance:
        return note(empty)
    values = [value for row in shown.relevance for value in row]
    low, high = min(values), max(values)
    head = "".join(f'<th scope="col">{text(sentence)}</th>' for sentence in shown.sentences)
    rows = []
    for said, row in zip(shown.utterances, shown.relevance, strict=True):
        cells = "".join(_cell(value, low, high, value == max(row)) for value in row)
        rows.append(f'<tr><th scope="row">{text(said)}</th>{cells}</tr>')
    return (
        f'<div class="p2-scroll" tabindex="0"><table class="p2-map" aria-label="{escape(whose)}">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(value: float, low: float, high: float, highest: bool) -> str:
    depth = (value - low) / (high - low) if high > low else 0.0
    kind = ("deep " if depth > 0.72 else "") + ("highest" if highest else "")
    return f'<td class="{kind.strip()}" style="--depth:{depth:.3f}">{value:.2f}</td>'


def impression(shown: Shown, empty: str) -> str:
    """The profile sentences of the bank that fit best, each with what gave it away."""
    if not shown.impression:
        return note(empty)
    rows = [
        f"<li><b>{found.score:.2f}</b><div>{text(found.sentence)}"
        f"<small>because of “{text(found.utterance)}”</small></div></li>"
        for found in shown.impression
    ]
    return f'<ol class="p2-impression">{"".join(rows)}</ol>'


def persona(sentences: Sequence[str], whose: str) -> str:
    """Who somebody is in this conversation."""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences) or "<li>(nobody)</li>"
    return (
        f'<details class="p2-persona"><summary>{escape(whose)}</summary><ul>{items}</ul></details>'
    )


def about_rewards(judge: Judge) -> str:
    """What the numbers below a reply mean, and which are missing and why."""
    items = []
    for name in PARTS:
        if name in judge.absent:
            what = f'<span class="p2-missing">not shown: {escape(judge.absent[name])}</span>'
        else:
            what = f"{escape(EXPLAINED[name])}; λ = {judge.lambdas[name]:g}"
        items.append(f"<li><b>{NAMES[name]}</b> {what}</li>")
    whole = "R: their weighted sum (Eq. 10)."
    if any(name in judge.absent for name in PARTS):
        whole = "R, their weighted sum (Eq. 10), needs all three and is not shown."
    remarks = "".join(f"<p>{escape(remark)}</p>" for remark in judge.remarks)
    missing = " open" if judge.absent else ""
    return (
        f'<details class="p2-about"{missing}><summary>What the numbers below a reply are</summary>'
        f"<ul>{''.join(items)}</ul><p>{escape(whole)} The discount of Eq. 8 is γ = "
        f"{judge.gamma:g}.</p>{remarks}</details>"
    )


def status(talk: Talk | None) -> str:
    """What went wrong with the last reply, if anything did."""
    if talk and talk.fault:
        return f'<p class="p2-fault" role="alert">{escape(talk.fault)}</p>'
    return ""


def downloads(talk: Talk | None, name: str, maps: dict[str, str]) -> str:
    """
    Links to take a conversation away.

    :param maps: label of each map by whose it is in the link.
    """
    if not talk or not talk.lines:
        return ""
    links = [f'<a href="./{name}.json" download="p2bot-{name}.json">Chat as JSON</a>']
    for who, label in maps.items():
        if talk.shown[("first", "second").index(who)].relevance:
            file = f"{name}-{who}.png"
            links.append(f'<a href="./{file}" download="p2bot-{file}">{escape(label)}</a>')
    return f'<nav class="p2-downloads" aria-label="Downloads">{"".join(links)}</nav>'
