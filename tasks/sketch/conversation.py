"""Two people get to know each other: who says what, and what it reveals about them."""

from dataclasses import dataclass, field
from functools import cached_property

from p2bot_parlai.tasks.sketch import smalltalk
from p2bot_parlai.tasks.sketch.draw import Draw
from p2bot_parlai.tasks.sketch.grammar import KINDS, Ask, Fact, Kind
from p2bot_parlai.tasks.sketch.people import Person

TURNS = (6, 7, 8)
OPENS = 0.3  # share of dialogues in which the speaker whose replies are learnt speaks first
KNOWN_QUESTION = 0.95  # questions that the partner's persona has an answer to
YES = 0.4  # "yes , " before the answer to "do you ..."
HOW_ARE_YOU = "how are you"  # the one question that is not about a kind or a fact
DENIALS = ("i do not ", "i have no ", "i never ", "i am not ")


@dataclass
class Utterance:
    """
    :param parts: the text, in pieces. :param told: the piece that reveals a fact: its place
        and its template, so that somebody else's fact can be put there.
    :param fact: the fact that is revealed. :param about: a fact of the speaker's that is
        spoken of without being revealed, by answering the question `answered`.
    :param denied: a kind of which the speaker says to have nothing.
    :param asks: what is asked: a Kind, an (Ask, Fact) about the partner's fact, or
        HOW_ARE_YOU. :param topic: what the utterance is about, before it asks something new.
    :param move: small talk: hello, fine, bye.
    """

    parts: list[str] = field(default_factory=list)
    told: tuple[int, str] | None = None
    fact: Fact | None = None
    about: Fact | None = None
    answered: Ask | None = None
    denied: Kind | None = None
    asks: object = None
    topic: Kind | None = None
    move: str | None = None

    @cached_property
    def text(self) -> str:
        return " ".join(self.parts)

    def with_fact(self, other: Fact) -> str:
        """The same words, but about another fact."""
        place, template = self.told
        return " ".join([*self.parts[:place], other.fill(template), *self.parts[place + 1 :]])


class Conversation:
    """
    The dialogue of two people: in `utterances` they take turns.

    An utterance has up to three parts: an answer or a reaction to what was just said
    (`_respond`), and something for the partner to go on with (`_go_on`), a question or
    something of one's own. The shares in both are set so that the dialogues read well and
    show some three facts of each speaker.

    :param first: who begins, 0 or 1. :param length: utterances in all.
    """

    def __init__(self, people: tuple[Person, Person], first: int, length: int, draw: Draw):
        self.people, self.draw = people, draw
        self.said: set[str] = set()  # templates; nobody says one twice
        self.known: tuple[set[str], set[str]] = (set(), set())  # kinds that each told or denied
        for person, known in zip(people, self.known, strict=True):
            known.update(person.answered())
        self.asked_how = [False, False]
        self.utterances: list[Utterance] = []
        for number in range(length):
            self.utterances.append(self._speak((first + number) % 2, length - number))

    # -------------------------------------------------------------------- one utterance
    def _speak(self, who: int, left: int) -> Utterance:
        """:param left: utterances that are still to come, this one included."""
        heard = self.utterances[-1] if self.utterances else None
        new = Utterance()
        if heard and heard.move == "bye":
            new.move = "bye"
            self._say(new, smalltalk.GOODBYE_BACK)
            return new
        if heard is None or len(self.utterances) == 1 and heard.move == "hello":
            self._greet(new, heard)
        if heard is not None:
            self._respond(who, heard, new, left <= 2)
        complete = bool(new.fact or new.about or new.denied)
        if left == 1:
            return new
        if left == 2 and heard.asks != HOW_ARE_YOU and self.draw.chance(0.6):
            new.move = "bye"
            self._say(new, smalltalk.GOODBYE)
            return new
        if not new.asks:
            self._go_on(who, heard, new, complete)
        return new

    def _greet(self, new: Utterance, heard: Utterance | None) -> None:
        new.move = "hello"
        self._say(new, smalltalk.HELLO_BACK if heard else smalltalk.HELLO)

    # ------------------------------------------------------------- to what was just said
    def _respond(self, who: int, heard: Utterance, new: Utterance, last: bool) -> None:
        new.topic = heard.topic
        if heard.asks == HOW_ARE_YOU:
            new.move = "fine"
            self._say(new, smalltalk.FINE)
        elif isinstance(heard.asks, Kind):
            self._answer(who, heard, new)
        elif heard.asks:
            ask, fact = heard.asks
            new.about, new.answered, new.topic = fact, ask, fact.kind
            self._say(new, ask.answers, fact)
        elif heard.fact:
            self._react(who, heard.fact, new, last)
        elif heard.answered:
            thanks = heard.answered.thanks
            use_own = thanks and self.draw.chance(0.7)
            self._say(new, thanks if use_own else smalltalk.I_SEE, heard.about)
        elif heard.denied:
            self._say(new, smalltalk.NO_MATTER)
        elif heard.move == "fine":
            self._say(new, smalltalk.GOOD_TO_HEAR)

    def _answer(self, who: int, heard: Utterance, new: Utterance) -> None:
        kind = new.topic = heard.asks
        place = self.people[who].place(kind.name)
        mine = None if place is None else self.people[who].facts[place]
        if heard.fact and heard.fact is mine:
            self._say(new, smalltalk.SAME)
        elif heard.fact and self.draw.chance(0.5):
            self._say(new, smalltalk.SORRY if heard.fact.kind.private else smalltalk.NICE)
        # a "yes" or "no" answers the partner's words, not what a "what about you ?" stands for
        can_say_yes = heard.parts[-1].split(" , ")[-1].startswith("do you ")
        self.known[who].add(kind.name)
        if mine:
            self._tell(who, mine, new, "yes , " if can_say_yes and self.draw.chance(YES) else "")
            return
        new.denied = kind
        self._say(new, kind.blanks)
        can_say_no = can_say_yes and new.parts[-1].startswith(DENIALS)
        if can_say_no and self.draw.chance(YES):
            new.parts[-1] = f"no , {new.parts[-1]}"

    def _react(self, who: int, fact: Fact, new: Utterance, last: bool) -> None:
        """To a fact that the partner has just told: there is more to ask, or a comment."""
        if fact in self.people[who].facts:
            self._say(new, smalltalk.SAME)
            self.known[who].add(fact.kind.name)
            new.fact = fact
        elif last or not self._ask_more(fact, new):
            self._say(new, fact.kind.comments, fact)

    def _tell(self, who: int, fact: Fact, new: Utterance, before: str = "") -> None:
        template = self._fresh(fact.kind.answers)
        new.told = (len(new.parts), before + template)
        new.fact = fact
        new.topic = fact.kind
        new.parts.append(before + fact.fill(template))
        self.known[who].add(fact.kind.name)

    # ------------------------------------------------------------------- to what comes next
    def _go_on(self, who: int, heard: Utterance | None, new: Utterance, complete: bool) -> None:
        """
        Ask or tell something, so that the partner has something to say to.

        :param complete: the partner could take it from here.
        """
        partner = 1 - who
        if heard is None:  # the first words
            if self.draw.chance(0.6):
                self._ask_how(who, new)
                return
            if self.draw.chance(0.25):
                return
        if heard and heard.asks == HOW_ARE_YOU:
            if not self.asked_how[who] and self.draw.chance(0.5):
                self._ask_how(who, new, smalltalk.AND_YOU)
                return
            if self.draw.chance(0.3):
                return
        elif heard and isinstance(heard.asks, Kind):
            if self._worth_asking(partner, heard.asks):
                self._bounce(new, heard.asks)
                return
            if complete and self.draw.chance(0.6):
                return
        elif heard and heard.asks:
            if self.draw.chance(0.5):
                return
        elif complete and self.draw.chance(0.3):
            return
        untold = [f for f in self.people[who].facts if f.kind.name not in self.known[who]]
        if len(self.utterances) < 3:
            untold = [fact for fact in untold if not fact.kind.private]
        if not new.fact and not new.denied and not new.about and untold and self.draw.chance(0.6):
            self._volunteer(who, heard, untold, new)
        else:
            self._ask_new(partner, new)

    def _ask_how(self, who: int, new: Utterance, wordings=smalltalk.HOW_ARE_YOU) -> None:
        self._say(new, wordings)
        new.asks = HOW_ARE_YOU
        self.asked_how = [True, True] if wordings is smalltalk.AND_YOU else self.asked_how
        self.asked_how[who] = True

    def _bounce(self, new: Utterance, kind: Kind) -> None:
        self._say(new, smalltalk.BOUNCE)
        new.asks = kind

    def _worth_asking(self, partner: int, kind: Kind) -> bool:
        """Never what is known; more often where there is something to tell."""
        if kind.name in self.known[partner]:
            return False
        has_one = self.people[partner].place(kind.name) is not None
        return self.draw.chance(0.8 if has_one else 0.3)

    def _ask_more(self, fact: Fact, new: Utterance) -> bool:
        """A question about the partner's fact; not always, and never one that was asked."""
        left = [ask for ask in fact.kind.asks if ask.question not in self.said]
        if not left or not self.draw.chance(0.4):
            return False
        if self.draw.chance(0.4):
            self._say(new, fact.kind.comments, fact)
        ask = self.draw.one(left)
        self._say(new, (ask.question,), fact)
        new.asks, new.topic = (ask, fact), fact.kind
        return True

    def _volunteer(self, who: int, heard: Utterance | None, untold: list[Fact], new) -> None:
        """Something of one's own: of the kind that was just spoken of, if there is such a fact."""
        related = [f for f in untold if heard and f.kind is heard.topic]
        fact = related[0] if related else self.draw.one(untold)
        abrupt = not related and new.move != "hello"
        before = self._fresh(smalltalk.MY_TURN) if abrupt else ""
        self._tell(who, fact, new, before)
        if self._worth_asking(1 - who, fact.kind):
            self._bounce(new, fact.kind)

    def _ask_new(self, partner: int, new: Utterance) -> None:
        person = self.people[partner]
        unknown = [kind for kind in KINDS if kind.name not in self.known[partner]]
        if len(self.utterances) < 3:
            unknown = [kind for kind in unknown if not kind.private]
        fitting = [kind for kind in unknown if person.place(kind.name) is not None]
        use_fitting = fitting and self.draw.chance(KNOWN_QUESTION)
        kind = self.draw.one(fitting if use_fitting else unknown)
        leads = smalltalk.FIRST_NEXT if len(self.utterances) < 3 else smalltalk.NEXT
        before = self._fresh(leads) if new.parts and new.move != "hello" else ""
        self._say(new, kind.questions)
        new.parts[-1] = before + new.parts[-1]
        new.asks, new.topic = kind, new.topic or kind

    # ------------------------------------------------------------------------------ words
    def _say(self, new: Utterance, templates, fact: Fact | None = None) -> None:
        text = self._fresh(templates)
        text = fact.fill(text) if fact else text
        for name, words in smalltalk.DETAILS.items():
            if f"{{{name}}}" in text:
                text = text.replace(f"{{{name}}}", self.draw.one(words))
        new.parts.append(text)

    def _fresh(self, templates) -> str:
        """One that nobody has said; any, where all have been said."""
        left = [text for text in templates if text not in self.said]
        text = self.draw.one(left or templates)
        if text:
            self.said.add(text)
        return text


def converse(people: tuple[Person, Person], draw: Draw) -> list[tuple[Utterance | None, Utterance]]:
    """
    A dialogue as ConvAI2 has it: what person 1 says and what person 0 answers.

    :return: exchanges; the first has None where person 0 begins.
    """
    turns = draw.one(TURNS)
    opens = draw.chance(OPENS)
    said = Conversation(people, 0 if opens else 1, 2 * turns - opens, draw).utterances
    padded = [None, *said] if opens else said
    return list(zip(padded[::2], padded[1::2], strict=True))
