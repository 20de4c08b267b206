"""
What tells a self-play run that goes wrong, and ends it.

Rewards rise in a collapse too: an agent that says the same safe sentence to everybody is fluent
and coherent. What falls is how much its words differ; what rises is the distance from where it
began.
"""

from collections.abc import Sequence

from p2bot_parlai.method.words import ngrams, tokens

WINDOW = 10  # updates that are looked at together: one mini-batch is noisy


def distinct(texts: Sequence[str], order: int = 2) -> float:
    """
    Distinct-n (Li et al., 2016): different n-grams of words over all n-grams of all texts.

    :return: 0 to 1; 1 where there are none.
    """
    found = [gram for text in texts for gram in ngrams(tokens(text), order)]
    return len(set(found)) / len(found) if found else 1.0


class Guard:
    """
    Ends a run by the means of its last `WINDOW` updates.

    :param most_kl: KL divergence from the supervised model, nats a response; 0: any.
    :param least_distinct: distinct-2 of the responses of an update; 0: any.
    :param seen: both, of the last updates of a run that is resumed.
    """

    def __init__(self, most_kl: float, least_distinct: float, seen: Sequence[Sequence[float]] = ()):
        self.most_kl, self.least_distinct, self.seen = most_kl, least_distinct, list(seen)

    def see(self, kl: float, distinct_2: float) -> None:
        """One update."""
        self.seen = [*self.seen, [kl, distinct_2]][-WINDOW:]

    def means(self) -> tuple[float, float] | None:
        """KL divergence and distinct-2 of the last `WINDOW` updates; None after fewer."""
        if len(self.seen) < WINDOW:
            return None
        kl, distinct_2 = (sum(values) / WINDOW for values in zip(*self.seen, strict=True))
        return kl, distinct_2

    def reason(self) -> str | None:
        """Why the run shall end, or None."""
        if (means := self.means()) is None:
            return None
        kl, distinct_2 = means
        if self.most_kl and kl > self.most_kl:
            return (
                f"the agent is {kl:.3g} nats a response away from the supervised model "
                f"(--stop-kl {self.most_kl:g})"
            )
        if distinct_2 < self.least_distinct:
            return (
                f"the agent repeats itself: distinct-2 is {distinct_2:.3g} "
                f"(--stop-distinct {self.least_distinct:g})"
            )
        return None
