"""``--persona-metrics`` and its models; `agents.response_metrics` computes what is reported."""

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.agents.options.common import add_options

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
}


def add_persona_metrics_options(parser: ParlaiParser, partial_opt: Opt | None = None) -> None:
    add_options(parser, "Persona metrics", OPTIONS)
