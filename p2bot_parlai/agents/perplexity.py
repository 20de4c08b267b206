"""Perplexity as agents of ours report it."""

import math

from parlai.core.torch_generator_agent import PPLMetric


class Perplexity(PPLMetric):
    """
    exp of the mean loss; infinite where that overflows, above 709 nats: a diverged model, or per
    word a text without spaces. ParlAI's ends the run there.
    """

    def value(self) -> float:
        try:
            return super().value()
        except OverflowError:
            return math.inf
