"""What a kind of fact is: how people tell it, ask for it and talk about it."""

from dataclasses import dataclass, field

ARTICLES = ("a ", "an ")


@dataclass(frozen=True)
class Ask:
    """
    A question about what somebody has just told.

    :param question: :param answers: say nothing that a persona would hold.
    :param thanks: what the asker may say to any of the answers.
    """

    question: str
    answers: tuple[str, ...]
    thanks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """
    One kind of fact, e.g. having a pet. All texts are templates over the columns of `table`.

    :param original: the profile sentence as in Persona-Chat's original personas.
    :param revised: the same said otherwise, with hardly a content word in common.
    :param questions: by which the partner raises it. One that starts with "do you" is
        answered by yes where the persona has such a fact.
    :param answers: reveal the fact; whole sentences, they are said without being asked too.
    :param blanks: what somebody answers whose persona has no fact of this kind.
    :param comments: what the partner says to any fact of the kind.
    :param asks: what the partner may ask next.
    :param table: the facts. The first line names the columns, "|" is between them; the first
        column tells the facts apart.
    :param private: not the first thing to talk about, and no reason to say "how nice".
    """

    name: str
    original: str
    revised: tuple[str, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    blanks: tuple[str, ...]
    comments: tuple[str, ...]
    asks: tuple[Ask, ...]
    table: str = field(repr=False)
    private: bool = False

    def facts(self) -> tuple["Fact", ...]:
        """One fact a line of the table."""
        head, *rows = (
            [cell.strip() for cell in line.split("|")] for line in self.table.strip().splitlines()
        )
        return tuple(Fact(self, dict(zip(head, row, strict=True))) for row in rows)


class Fact:
    """A kind with the columns of one line of its table."""

    def __init__(self, kind: Kind, columns: dict[str, str]):
        self.kind = kind
        first = next(iter(columns.values()))
        self.name = f"{kind.name}: {first}"
        # "a dog" -> "dog", for "your dog"
        bare = next((first[len(a) :] for a in ARTICLES if first.startswith(a)), first)
        self.columns = {**columns, "bare": bare}
        self.original = self.fill(kind.original)
        self.revised = tuple(self.fill(text) for text in kind.revised)

    def __repr__(self) -> str:
        return f"Fact({self.name})"

    def fill(self, template: str) -> str:
        """The template about this fact; details such as {years} stay open, see `details`."""
        for column, text in self.columns.items():
            template = template.replace(f"{{{column}}}", text)
        return template
