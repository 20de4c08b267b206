"""
How a corpus is written, and how people write.

ConvAI2 knows no capitals and puts a space before every mark ("hi , how are you ?"); in its profile
sentences only before commas. A model that learnt from it understands nothing else. So a corpus is
counted while a model learns from it; `read` brings what people type into its spelling, `show` what
a model says into theirs. Both do only what the counts are clear about.

Text in a corpus' own spelling stays as it is under `read`, and comes back from `show`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

# texts of each kind that are counted; a regular expression for each of millions would be slow
ENOUGH = 5_000
FEW = 5  # fewer cases show nothing
LETTERS = 200  # so many, at least, tell a corpus without capitals
CLEAR = 0.9  # a share that is a rule

MARKS = ".,!?;:"
KINDS = ("profile", "speech")

_LATIN = re.compile("[A-Za-zÀ-ÖØ-öø-ɏ]")
_LETTER = re.compile(r"[^\W\d_]")
# marks with what stands between them and the word before; not those in "3.5" or ":)"
_RUN = re.compile(rf'\s*[{MARKS}](?:\s*[{MARKS}])*(?=[\s"]|$)')
_MARK = re.compile(rf"(\s*)([{MARKS}])")
_GLUED = re.compile(r"(?<=[^\W\d_])([,!?;])(?=[^\W\d_])")  # "hi,how"
_STRAIGHT = str.maketrans("’‘“”", "''\"\"")
_TYPOGRAPHIC = re.compile("[’‘“”]")
# not after "...", which often goes on in the same sentence
_SENTENCE = re.compile(r"(^\W*|(?<![.!?])(?:\.|[!?]+)\s+[¿¡]*)(\w)")
_I = re.compile(r"\bi\b")
_SAYS_I = re.compile(r"\bi(?: ?['’]? ?m| am| have)\b", re.IGNORECASE)

# stem and ending, however they are spaced: "don't", "do n't", "don ' t"
_CONTRACTION = re.compile(
    r"\b(\w+?)\s?(?:(n)\s?['’]\s?(t)|['’]\s?(m|s|re|ve|ll|d))\b", re.IGNORECASE
)
# without an apostrophe: "don t", "i m"
_BLANK = re.compile(
    r"\b(?:(do|does|did|is|are|was|were|have|has|had|could|would|should|ca|wo)(n) (t)"
    r"|(i|you|he|she|it|we|they|that|what|who|there) (m|re|ve|ll|s|d))\b",
    re.IGNORECASE,
)
_FULL = re.compile(r"\b(?:do|does|did|is|are|was|were|can|could|will|would) ?not\b|\bi am\b", re.I)
# from stem, "n" of "n't" and ending
_FORMS = {"joined": "{}{}'{}", "split": "{} {}'{}", "apart": "{}{} ' {}", "blank": "{}{} {}"}
_STEMS = {"ca": "can", "wo": "will", "sha": "shall"}
_ENDINGS = {"m": "am", "re": "are", "ve": "have", "ll": "will"}
# after other words: the genitive of "his dog's name"
_AFTER_PRONOUNS = {"s": "is", "d": "would"}
_PRONOUNS = frozenset(("i", "you", "he", "she", "it", "we", "they", "that", "what", "who", "there"))


@dataclass(frozen=True)
class Spelling:
    """
    What `read` and `show` go by; by default they change nothing.

    :param lower: there are no capitals. :param says_i: "i" is the English pronoun.
    :param spaced: marks that follow a space. :param joined: marks that follow the word.
    :param runs: of several marks: "apart" (". . ."), "together" ("..."), or None.
    :param contractions: "joined" (don't), "split" (do n't), "apart" (don ' t), "blank" (don t),
        "full" (do not), or None.
    :param straight: there are no typographic apostrophes and quotation marks.
    """

    lower: bool = False
    says_i: bool = False
    spaced: str = ""
    joined: str = ""
    runs: str | None = None
    contractions: str | None = None
    straight: bool = False


def read(text: str, spelling: Spelling) -> str:
    """What somebody typed, in the spelling of a corpus. Text in another script stays."""
    if spelling == Spelling() or _is_foreign(text):
        return text
    if spelling.straight:
        text = text.translate(_STRAIGHT)
    if spelling.lower:
        text = text.lower()
    if spelling.contractions:
        text = _contract(_CONTRACTION, spelling.contractions, text)
    text = _GLUED.sub(lambda match: match[1] + " " * (match[1] in spelling.spaced), text)
    spaces = dict.fromkeys(spelling.spaced, " ") | dict.fromkeys(spelling.joined, "")
    between = {"apart": " ", "together": ""}.get(spelling.runs or "")
    return _RUN.sub(partial(_respaced, spaces, between), text).strip()


def show(text: str, spelling: Spelling) -> str:
    """What a model says, as people write: "Hi, how are you? I don't know." """
    if spelling == Spelling() or _is_foreign(text):
        return text
    if spelling.contractions in ("split", "apart"):
        text = _contract(_CONTRACTION, "joined", text)
    if spelling.contractions == "blank":
        text = _contract(_BLANK, "joined", text)
    # "ça va ?" beside "oui." is how people write
    spaces = dict.fromkeys(spelling.spaced, "") if {".", ","} & set(spelling.spaced) else {}
    between = "" if spelling.runs == "apart" else None
    text = _RUN.sub(partial(_respaced, spaces, between), text)
    if spelling.lower:
        text = _I.sub("I", text) if spelling.says_i else text
        text = _SENTENCE.sub(lambda match: match[1] + _capital(match[2]), text)
    return text


def _is_foreign(text: str) -> bool:
    return bool(_LETTER.search(text)) and not _LATIN.search(text)


def _respaced(spaces: Mapping[str, str], between: str | None, run: re.Match[str]) -> str:
    """:param spaces: before the first mark. :param between: the marks; None: as it was."""
    (space, first), *others = _MARK.findall(run[0])
    start = spaces.get(first, space) if run.start() else ""
    return start + first + "".join((s if between is None else between) + m for s, m in others)


def _contract(pattern: re.Pattern[str], form: str, text: str) -> str:
    def in_form(match: re.Match[str]) -> str:
        stem, *n, ending = (group for group in match.groups() if group)
        if form == "full":
            return _spelt_out(stem, ending.lower(), bool(n)) or match[0]
        # the apostrophe and the capitals that it has
        written = _FORMS[form].format(stem, "".join(n), ending)
        return match[0] if pattern is _CONTRACTION and form == _form(match[0]) else written

    return pattern.sub(in_form, text)


def _form(contraction: str) -> str:
    if re.search(r"['’]\s", contraction):
        return "apart"
    return "split" if re.search(r"\s", contraction) else "joined"


def _spelt_out(stem: str, ending: str, negated: bool) -> str | None:
    if negated:
        return f"{_STEMS.get(stem.lower(), stem)} not"
    after = _ENDINGS | (_AFTER_PRONOUNS if stem.lower() in _PRONOUNS else {})
    return f"{stem} {after[ending]}" if ending in after else None


def _capital(letter: str) -> str:
    # not "ß", whose capital is two letters
    return letter.upper() if letter.upper().lower() == letter else letter


# --------------------------------------------------------------------- measuring a corpus
def count(text: str) -> Counter[str]:
    """What `spelling_of` goes by, of one text."""
    letters = _LATIN.findall(text)
    found = Counter(
        {
            "texts": 1,
            "letters": len(letters),
            "capitals": sum(map(str.isupper, letters)),
            "typographic": len(_TYPOGRAPHIC.findall(text)),
            "says i": len(_SAYS_I.findall(text)),
            "blank": len(_BLANK.findall(text)),
            "full": len(_FULL.findall(text)),
        }
    )
    for run in _RUN.finditer(text):
        (space, first), *others = _MARK.findall(run[0])
        if run.start():
            found[f"{'spaced' if space else 'joined'} {first}"] += 1
        found.update("apart" if space else "together" for space, _ in others)
    found.update(f"joined {mark}" for mark in _GLUED.findall(text))
    for match in _CONTRACTION.finditer(text):
        if (match[4] or "").lower() != "s":  # which marks a genitive too
            found[f"contraction {_form(match[0])}"] += 1
    return +found


def spelling_of(counts: Mapping[str, int]) -> Spelling:
    """:param counts: sums of `count`."""
    n = Counter(counts)
    if n["letters"] < LETTERS:
        return Spelling()

    def clear(yes: int, no: int) -> bool | None:
        share = yes / (yes + no) if yes + no >= FEW else 0.5
        return None if 1 - CLEAR < share < CLEAR else share >= CLEAR

    seen = {mark: (n[f"spaced {mark}"], n[f"joined {mark}"]) for mark in MARKS}
    rule = clear(*map(sum, zip(*seen.values(), strict=True)))
    spaced = {}
    for mark, (yes, no) in seen.items():
        against = no if rule else yes
        # a rare mark follows the others, unless it was seen not to
        spaced[mark] = clear(yes, no) if yes + no >= FEW else None if against else rule
    apart = clear(n["apart"], n["together"])
    forms = {form: n[f"contraction {form}"] for form in _FORMS} | {"blank": n["blank"]}
    most = max(forms, key=forms.__getitem__)
    contractions = most if forms[most] >= FEW else "full" if n["full"] >= FEW else None
    return Spelling(
        lower=n["capitals"] * 1000 <= n["letters"],
        says_i=n["says i"] >= max(FEW, n["texts"] / 100),
        spaced="".join(mark for mark in MARKS if spaced[mark]),
        joined="".join(mark for mark in MARKS if spaced[mark] is False),
        runs=None if apart is None else "apart" if apart else "together",
        contractions=contractions,
        straight=not n["typographic"],
    )


def are_counts(saved: Any) -> bool:
    """Whether it can be what a model file keeps: see `CorpusSpelling`."""
    return isinstance(saved, dict) and all(
        isinstance(counts, dict) and all(type(number) is int for number in counts.values())
        for counts in saved.values()
    )


class CorpusSpelling:
    """
    How the profile sentences and the utterances of a corpus are written.

    :param counts: of both `KINDS`; a model file keeps them.
    :param inherited: they are of the model that a run starts from: what it learns from itself
        replaces them.
    """

    def __init__(
        self, counts: Mapping[str, Mapping[str, int]] | None = None, inherited: bool = False
    ):
        self.inherited = inherited
        self.counts = {kind: Counter((counts or {}).get(kind, {})) for kind in KINDS}

    def see(self, **texts: Iterable[str]) -> None:
        """Count texts, by their kind."""
        if self.inherited:
            self.inherited, self.counts = False, {kind: Counter() for kind in KINDS}
        for kind, found in texts.items():
            for text in found:
                if self.counts[kind]["texts"] < ENOUGH:
                    self.counts[kind] += count(text)

    def to_json(self) -> dict[str, dict[str, int]]:
        return {kind: dict(counts) for kind, counts in self.counts.items()}

    @property
    def profile(self) -> Spelling:
        return spelling_of(self.counts["profile"])

    @property
    def speech(self) -> Spelling:
        return spelling_of(self.counts["speech"])
