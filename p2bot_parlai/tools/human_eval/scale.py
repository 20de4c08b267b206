"""The paper's four-point scale, and what it reports on it."""

from typing import NamedTuple


class Grade(NamedTuple):
    """:param name: one word for the button. :param meaning: the paper's words (section 5.2)."""

    value: int
    name: str
    meaning: str


# Each grade asks for what the one before it asks for, and more.
SCALE = (
    Grade(1, "Grammatical", "the response is good only in terms of grammar and sentence structure"),
    Grade(
        2,
        "Coherent",
        "in addition to valid grammar, the response is also coherent with the context",
    ),
    Grade(
        3,
        "Informative",
        "the coherent response is meanwhile interesting and informative, instead of just a "
        "simple response like “Yes”",
    ),
    Grade(4, "Consistent", "the response is consistent with the persona of the interlocutor"),
)
GRADES = tuple(grade.value for grade in SCALE)


class PaperRow(NamedTuple):
    """:param shares: per cent of grades 1 to 4. :param mean: of the grades."""

    shares: tuple[float, float, float, float]
    mean: float


# Table 2: 200 responses a system, on the original dev set
PAPER_TABLE_2 = {
    "Lost In Conversation": PaperRow((26.3, 48.7, 22.0, 3.0), 2.017),
    "Transfertransfo": PaperRow((41.7, 25.3, 28.7, 4.3), 1.956),
    "P²Bot": PaperRow((18.9, 26.3, 28.6, 26.2), 2.621),
}
