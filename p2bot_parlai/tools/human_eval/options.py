"""Options that `parlai human_eval_prepare` and `parlai sample_answers` share."""

from p2bot_parlai.tools.human_eval.answers import HUMAN


def add_sampling_options(group, number: int) -> None:
    """Which contexts to draw, and which systems answer them."""
    group.add_argument(
        "--systems",
        nargs="+",
        metavar="NAME=PATH",
        help="The systems: NAME=MODEL for any ParlAI model file or zoo name, or "
        "NAME=ANSWERS.jsonl for answers made elsewhere",
    )
    group.add_argument(
        "--human",
        type="bool",
        default=True,
        help=f"Include the task's own answer as system {HUMAN}",
    )
    group.add_argument("--number", type=int, default=number, help="Number of contexts to draw")
    group.add_argument(
        "--seed", type=int, default=0, help="Seed of the draw and of sampled decoding"
    )
