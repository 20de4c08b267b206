"""
What the fuzz tests share: how many cases a property gets, generated input, and what counts as an
error of ours. docs/testing.md says how to run many cases.
"""

import json
import os
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context_style import ORIGINAL_TOKENS, SPECIAL_TOKENS
from p2bot_parlai.plugin import command

CASES = int(os.environ.get("P2BOT_FUZZ_CASES", 0))
LONGEST_MESSAGE = 2000  # characters of an error, which does not repeat a file's content


# ------------------------------------------------------------------------------- how many
def cases(few: int = 50, share: float = 1.0) -> settings:
    """
    How many cases a property gets: ``few``, always the same ones; with ``P2BOT_FUZZ_CASES=N`` its
    share of N, new ones at every run.

    :param share: below 1 if each case runs a model or draws a picture.
    """
    return settings(
        max_examples=max(1, round(CASES * share)) if CASES else few,
        derandomize=not CASES,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


# -------------------------------------------------------------------------------- errors
def outcome(function: Callable, *args, **more):
    """
    (what the function returns, None), or (None, its one-line error message).

    Any other exception is a finding, and so is a message that a terminal cannot show.
    """
    try:
        return function(*args, **more), None
    except P2botError as error:
        message = command.message_for_users(error)
        assert message.startswith("p2bot: error: ") and message.isprintable(), repr(message)
        assert len(message) < LONGEST_MESSAGE, message[:LONGEST_MESSAGE]
        message.encode("utf-8")
        return None, message


# ---------------------------------------------------------------------------------- texts
MARK_UP = (
    *SPECIAL_TOKENS,
    *ORIGINAL_TOKENS[:9],
    *("[SEP]", "[MASK]", "<s>", "</s>", "<unk>", "<|endoftext|>", "Ġ", "</w>", "##a"),
    *("your persona:", "partner's persona: ", "__SILENCE__", "1 ", "2 ", "label", "[EXIT]"),
    *("<script>alert(1)</script>", "&amp;", "\"'", "$x$", "\\", "\\n", "%s", "{0}", "/save"),
)
AWKWARD = (
    *("\x00", "\x1b[2J", "\x07", "\x85", "\u2028", "\x0b", "\xa0", "\u200b"),
    *("\ufeff", "\u202e", "\u200f", "\u0645\u0631\u062d\u0628\u0627", "\u05d0"),
    *("\ud800", "\udfff", "\ud83d\ude00", "\U0001f600", "\U0001f3f3\ufe0f\u200d\U0001f308"),
    *("e" + "\u0301" * 20, "\u0130", "\ufb01", "\ufdfa", "\uff11", "\u00b2", "\uffff"),
    *map(chr, (1, 2, 8, 28, 30, 31, 127, 128, 159, 173, 0xDC00, 0x3000, 0x1F9D1, 0x10FFFF)),
)
BREAKS = ("\n", "\r\n", "\r", "\t", "|", " ", "  ")
WORDS = ("i", "have two dogs .", "hello", "i'm", "don ' t", "tea", "?", "1", "0.5")
LONG = ("x" * 3000, "a b " * 500, " " * 2000, "[EOS]" * 300, "\u6f22" * 700)
RARELY_LONG = st.sampled_from((*[""] * 20, *LONG))


def texts(breaks: bool = True, max_parts: int = 6) -> st.SearchStrategy[str]:
    """
    What a message or a file may contain: words, mark-up, characters that break things.

    :param breaks: whether it may contain line ends, tabs and bars.
    """
    pieces = (*WORDS, *WORDS, *MARK_UP, *AWKWARD, *(BREAKS * 3 if breaks else ()))
    part = st.one_of(st.sampled_from(pieces), st.sampled_from(pieces), st.text(max_size=8))
    mixed = st.lists(part, max_size=max_parts).map("".join)
    if breaks:
        return st.one_of(mixed, mixed, st.tuples(mixed, RARELY_LONG).map("".join))
    return st.tuples(mixed, RARELY_LONG).map("".join).map(_in_one_line)


def sentences() -> st.SearchStrategy[str]:
    """Text that no reader changes: no control characters, single spaces, none at the ends."""
    letters = st.characters(
        exclude_categories=["Cs", "Cc", "Cn", "Zs", "Zl", "Zp"], exclude_characters="|\ufeff\\"
    )
    word = st.one_of(st.sampled_from(WORDS), st.text(letters, min_size=1, max_size=8))
    return st.lists(word, min_size=1, max_size=5).map(" ".join)


def personas(text=None) -> st.SearchStrategy[list[str]]:
    return st.lists(texts() if text is None else text, max_size=4)


def _in_one_line(text: str) -> str:
    return text.translate(dict.fromkeys(map(ord, "\n\r\t|")))


# ---------------------------------------------------------------------------- files, JSON
def encoded(text: str) -> bytes:
    """Lone surrogates included: the bytes are then not valid UTF-8, as in a broken file."""
    return text.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """A file that lost, gained or changed some bytes."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(found)))
        length = draw(st.sampled_from((0, 1, 1, 2, 8, 100, 10**6)))
        new = draw(st.one_of(st.binary(max_size=12), st.just(bytes(found[:place][-20:]))))
        found[place : place + length] = new
    return bytes(found)


def files(text: st.SearchStrategy[str], sound: bytes) -> st.SearchStrategy[bytes]:
    """The bytes of a text, of a damaged sound file, or random ones."""
    marked = st.tuples(st.sampled_from(("", "\ufeff")), text).map("".join).map(encoded)
    return st.one_of(marked, marked, damaged(sound), damaged(sound), st.binary(max_size=60))


EXTREME = (0.5, 1e-300, 1e308, -1.0, 10**40, -(10**400), 2**31, 2**63, 2**64)
NUMBERS = st.one_of(st.integers(-3, 5), st.sampled_from(EXTREME), st.floats())
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, texts(max_parts=3))
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts(max_parts=2), inner, max_size=3)
    ),
    max_leaves=6,
)
DEEP = "[" * 2000


@st.composite
def altered(draw, value):
    """Plain data in which one value, at any depth, is missing, added, renamed or replaced."""
    places = list(_places(value))
    path = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(("other", "other", "gone", "more", "renamed")))
    return _altered(value, path, kind, draw(VALUES))


def _places(value, path=()):
    yield path
    if isinstance(value, list):
        value = dict(enumerate(value))
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield from _places(inner, (*path, name))


def _altered(value, path, kind, other):
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    name, *rest = path
    if rest:
        copy[name] = _altered(value[name], rest, kind, other)
    elif kind == "gone":
        del copy[name]
    elif kind == "more" and isinstance(copy, list):
        copy.append(other)
    elif kind == "renamed" and isinstance(copy, dict):
        copy[f"{name}s"] = copy.pop(name)
    else:
        copy[name] = other
    return copy


def as_json(value) -> str:
    """As other programs may write it: surrogates escaped, NaN and Infinity by name."""
    return json.dumps(value)


def json_files(sound) -> st.SearchStrategy[bytes]:
    """Files with something like ``sound`` in them."""
    near = st.one_of(altered(sound), altered(sound), VALUES).map(as_json).map(encoded)
    whole = as_json(sound).encode()
    return st.one_of(near, near, near, damaged(whole), st.just(DEEP.encode()), st.just(whole))


def json_lines(sound: list) -> st.SearchStrategy[bytes]:
    """The same for files with one JSON value a line."""
    lines = [as_json(value) for value in sound]
    one = st.one_of(
        st.sampled_from(lines),
        st.sampled_from(sound).flatmap(altered).map(as_json),
        st.sampled_from(sound).flatmap(altered).map(as_json),
        VALUES.map(as_json),
        st.sampled_from(("", " ", DEEP, "{", '"\\ud800"', "\ufeff{}")),
    )
    many = st.tuples(st.lists(one, max_size=4), st.sampled_from(("\n", "\r\n")))
    made = many.map(lambda found: encoded(found[1].join([*found[0], ""])))
    whole = "\n".join([*lines, ""]).encode()
    return st.one_of(made, made, made, damaged(whole))
