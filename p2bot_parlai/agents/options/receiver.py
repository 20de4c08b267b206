"""Command-line options of the Receiver, with the paper's values as defaults."""

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.backbones.encoder import SCRATCH
from p2bot_parlai.method.backbones.packaged import ENCODERS
from p2bot_parlai.method.backbones.precision import PRECISIONS

# section 5.1 of the paper; it names no schedule of the learning rate and no batch size
PAPER = {"learningrate": 6.25e-5, "optimizer": "adam", "lr_scheduler": "none", "batchsize": 16}
EPOCHS = 3
BEHAVIOUR = {"validation_metric": "hits@1", "text_truncate": 128, "gradient_clip": 1.0}


def add_receiver_options(parser: ParlaiParser, partial_opt: Opt | None) -> None:
    group = parser.add_argument_group("P²Bot Receiver")
    group.add_argument(
        "--encoder",
        type=str,
        default="bert-base-uncased",
        help="Encoder that impression and persona encoder start from: "
        + ", ".join(sorted(ENCODERS))
        + " (a pip package, no network), any encoder by Hugging Face hub name or folder, or "
        f"'{SCRATCH}' for a small one with random weights",
    )
    group.add_argument(
        "--share-encoders",
        type="bool",
        default=False,
        help="One encoder for utterances and profile sentences instead of two (section 4.1)",
    )
    group.add_argument(
        "--tau-start",
        type=float,
        default=10.0,
        help="Temperature of the aggregate function (Eq. 13) when training begins",
    )
    group.add_argument(
        "--tau-end",
        type=float,
        default=0.5,
        help="The same when training ends; it falls linearly over the steps of the run",
    )
    group.add_argument("--margin", type=float, default=0.4, help="Margin m of the loss (Eq. 12)")
    group.add_argument(
        "--beta",
        type=float,
        default=1e-4,
        help="Weight of the L1 norm of the relevance matrices (Eq. 12)",
    )
    group.add_argument(
        "--negatives",
        choices=["one", "batch"],
        default="one",
        help="Distractors of a dialogue in training: the one that the task draws (the paper), or "
        "all personas of other people in the batch, with the mean of their losses",
    )
    group.add_argument(
        "--loss",
        choices=["margin", "softmax"],
        default="margin",
        help="What tells the true persona from distractors: the margin of Eq. 12 (the paper), or "
        "the log-softmax over the true persona and its distractors",
    )
    group.add_argument(
        "--softmax-temperature",
        type=float,
        default=0.1,
        help="Scores are divided by this in --loss softmax",
    )
    group.add_argument(
        "--word-dropout",
        type=float,
        default=0.0,
        help="Probability with which each token of a sentence is left out in training",
    )
    group.add_argument(
        "--one-sided-dropout",
        type=float,
        default=0.0,
        help="Probability with which a word is left out of all utterances or of all profile "
        "sentences of a batch in training, so that they cannot be matched by it",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="bf16: encode with matrix products in bfloat16 (torch.autocast), twice as fast on "
        "processors that have it; weights, optimizer, scores and losses stay fp32",
    )
    group.add_argument(
        "--bfloat16",
        type="bool",
        default=False,
        help="true: what --precision bf16 was called before",
    )
    group.add_argument(
        "--vocab-size",
        type=int,
        default=8000,
        help=f"Entries of the byte-level BPE learnt from the task for --encoder {SCRATCH}, at most",
    )
    for flag, default, what in (
        ("--n-layers", 2, "Transformer blocks"),
        ("--n-heads", 4, "Attention heads a block"),
        ("--embedding-size", 128, "Width d of a sentence vector"),
    ):
        group.add_argument(flag, type=int, default=default, help=f"{what} of --encoder {SCRATCH}")
    group.add_argument(
        "--dropout",
        type=float,
        default=0.1,
        help=f"Dropout probability of --encoder {SCRATCH}",
    )
    parser.set_defaults(**PAPER, **BEHAVIOUR)
    partial_opt = partial_opt or {}
    limits = (partial_opt.get("max_train_steps"), partial_opt.get("max_train_time"))
    if not any(limit and limit > 0 for limit in limits):
        parser.set_defaults(num_epochs=EPOCHS)


def check_options(opt: Opt) -> None:
    """:raises UsageError: for values that cannot work, naming the flag."""
    for name in ("tau_start", "tau_end", "softmax_temperature"):
        if opt[name] <= 0:
            raise UsageError(f"--{name.replace('_', '-')} {opt[name]} must be above 0")
    for name in ("margin", "beta"):
        if opt[name] < 0:
            raise UsageError(f"--{name} {opt[name]} is negative")
    for name in ("word_dropout", "one_sided_dropout"):
        if not 0 <= opt[name] < 1:
            raise UsageError(f"--{name.replace('_', '-')} {opt[name]} is not in [0, 1)")
    if (opt.get("text_truncate") or 0) < 3:
        raise UsageError("--text-truncate must be at least 3 tokens")
    if opt.get("fp16"):
        raise UsageError("--fp16 is not for the Receiver: use --precision bf16")
    precision_of(opt)


def precision_of(opt: Opt) -> str:
    """
    ``--precision``, or what ``--bfloat16`` says, which saved models may still have; what is
    given now counts before what was saved.
    """
    given = opt.get("override", {})
    if given.get("bfloat16") and given.get("precision") == "fp32":
        raise UsageError("--bfloat16 true and --precision fp32 contradict each other: drop one")
    if "precision" in given:
        return given["precision"]
    if "bfloat16" in given:
        return "bf16" if given["bfloat16"] else "fp32"
    # a file of a version without --precision has none
    return "bf16" if opt["bfloat16"] else opt.get("precision", "fp32")
