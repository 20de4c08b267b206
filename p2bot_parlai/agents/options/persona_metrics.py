"""``--persona-metrics`` and its models; `agents.response_metrics` computes what is reported."""

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
    for name, what in (
        ("--receiver", "Receiver (-m p2bot/receiver)"),
        ("--nli-model", "classifier (-m p2bot/persona_nli)"),
    ):
        group.add_argument(
            name, type=str, default=None, help=f"Model file of a {what}, for --persona-metrics"
        )
