"""``--persona-metrics`` and what it may be given; `agents.judging` says what is reported."""

from parlai.core.params import ParlaiParser


def add_persona_metrics_options(parser: ParlaiParser) -> None:
    group = parser.add_argument_group("Persona metrics")
    group.add_argument(
        "--persona-metrics",
        type="bool",
        default=False,
        help="Report distinct-1 and -2, length, repetition and persona F1 of the responses; "
        "perception with --receiver, C-score with --nli-model (docs/metrics.md)",
    )
    group.add_argument(
        "--receiver",
        type=str,
        default=None,
        help="Model file of a trained Receiver (-m p2bot/receiver), for --persona-metrics",
    )
    group.add_argument(
        "--nli-model",
        type=str,
        default=None,
        help="Model file of a trained classifier (-m p2bot/persona_nli), for --persona-metrics",
    )
