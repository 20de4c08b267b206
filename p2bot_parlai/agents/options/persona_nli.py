"""Command-line options of the entailment classifier."""

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.encoder import SCRATCH
from p2bot_parlai.method.backbones.packaged import ENCODERS
from p2bot_parlai.method.backbones.precision import PRECISIONS
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


def add_persona_nli_options(parser: ParlaiParser, partial_opt: Opt | None) -> None:
    group = parser.add_argument_group("Persona NLI classifier")
    group.add_argument(
        "--encoder",
        type=str,
        default="minilm",
        help="Encoder to start from: "
        + ", ".join(sorted(ENCODERS))
        + " (a pip package, no network), any encoder by Hugging Face hub name or folder, or "
        f"'{SCRATCH}' for a small one with random weights",
    )
    group.add_argument(
        "--pairing",
        choices=PAIRINGS,
        default="cross",
        help="cross: utterance and profile sentence in one sequence; bi: each encoded alone, "
        "their vectors u, v compared by [u, v, |u-v|, u*v]",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="bf16: encode with matrix products in bfloat16 (torch.autocast)",
    )
    group.add_argument(
        "--vocab-size",
        type=int,
        default=4000,
        help=f"Entries of the byte-level BPE learnt from the task for --encoder {SCRATCH}, at most",
    )
    for flag, default, what in (
        ("--n-layers", 2, "Transformer blocks"),
        ("--n-heads", 4, "Attention heads a block"),
        ("--embedding-size", 128, "Width of a vector"),
    ):
        group.add_argument(flag, type=int, default=default, help=f"{what} of --encoder {SCRATCH}")
    group.add_argument(
        "--dropout",
        type=float,
        default=0.1,
        help=f"Dropout probability before the last layer, and of --encoder {SCRATCH}",
    )
    parser.set_defaults(**RECIPE, **BEHAVIOUR)
    partial_opt = partial_opt or {}
    limits = (partial_opt.get("max_train_steps"), partial_opt.get("max_train_time"))
    if not any(limit and limit > 0 for limit in limits):
        parser.set_defaults(num_epochs=EPOCHS)


def check_options(opt: Opt) -> None:
    """:raises P2botError: for values that cannot work, naming the flag."""
    if sorted(opt.get("classes") or ()) != sorted(LABELS) or opt.get("classes_from_file"):
        raise P2botError(
            f"--classes: the labels of Dialogue NLI are {', '.join(LABELS)}; drop the option"
        )
    if opt.get("update_freq", 1) > 1:
        raise P2botError("--update-freq is not for persona_nli: raise --batchsize instead")
    if not 0 <= opt["dropout"] < 1:
        raise P2botError(f"--dropout {opt['dropout']} is not in [0, 1)")
    if (opt.get("text_truncate") or 0) < 3:
        raise P2botError("--text-truncate must be at least 3 tokens")
    if opt.get("fp16"):
        raise P2botError("--fp16 is not for persona_nli: use --precision bf16")
