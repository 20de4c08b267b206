"""``--persona-metrics``, its models and its language; see `agents.response_metrics`."""

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.agents.options.common import add_options
from p2bot_parlai.parlai_support.words import ENGLISH, LANGUAGES

METRIC_LANGUAGE = {
    "--metric-language": (
        ENGLISH,
        "Words of F1, BLEU, accuracy, distinct and the persona metrics. en: ParlAI's, without a, "
        "an, the; other: Unicode's, a Chinese character being one",
        LANGUAGES,
    ),
}
OPTIONS = {
    "--persona-metrics": (
        False,
        "Report distinct-1 and -2, length, repetition and persona F1 of the responses; "
        "perception with --receiver, C-score with --nli-model. Those about the persona come with "
        "those of the true responses (docs/metrics.md)",
    ),
    "--receiver": (
        None,
        "Model file of a trained Receiver (-m p2bot/receiver), for --persona-metrics",
    ),
    "--nli-model": (
        None,
        "Model file of a trained classifier (-m p2bot/persona_nli), for --persona-metrics",
    ),
    **METRIC_LANGUAGE,
}


def add_persona_metrics_options(parser: ParlaiParser, partial_opt: Opt | None = None) -> None:
    add_options(parser, "Persona metrics", OPTIONS)
