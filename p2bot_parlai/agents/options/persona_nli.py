"""Command-line options of the entailment classifier."""

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.agents.options.common import (
    add_options,
    set_epochs,
    sizes,
)
from p2bot_parlai.agents.options.encoder import encoder_options
from p2bot_parlai.method.backbones.names import SCRATCH
from p2bot_parlai.metrics.nli import LABELS, PAIRINGS

# usual for fine-tuning small encoders; docs/log.md says what was tried
RECIPE = {
    "learningrate": 1e-4,
    "optimizer": "adam",
    "lr_scheduler": "linear",
    "warmup_updates": 100,
    "gradient_clip": 1.0,
    "batchsize": 32,
}
BEHAVIOUR = {"validation_metric": "accuracy", "text_truncate": 128, "classes": list(LABELS)}
EPOCHS = 4
OPTIONS = {
    **encoder_options("minilm", "Encoder to start from"),
    "--pairing": (
        "cross",
        "cross: utterance and profile sentence in one sequence; bi: each encoded alone, their "
        "vectors u, v compared by [u, v, |u-v|, u*v]",
        PAIRINGS,
    ),
    **sizes(f"--encoder {SCRATCH}", 2, 4, 128, 4000, "of the last layer, and "),
}


def add_persona_nli_options(parser: ParlaiParser, partial_opt: Opt | None) -> None:
    add_options(parser, "Persona NLI classifier", OPTIONS)
    parser.set_defaults(**RECIPE, **BEHAVIOUR)
    set_epochs(parser, partial_opt, EPOCHS)
