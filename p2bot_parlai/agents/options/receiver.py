"""Command-line options of the Receiver, with the paper's values as defaults."""

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.agents.options.common import (
    ABOVE_0,
    BELOW_1,
    NOT_NEGATIVE,
    add_options,
    check_bounds,
    check_tokens,
    encoder_options,
    refuse,
    set_epochs,
    sizes,
)
from p2bot_parlai.agents.options.paper import PAPER
from p2bot_parlai.method.backbones.encoder import SCRATCH

# the paper names no schedule of the learning rate, no batch size and no number of epochs
OURS = {
    "lr_scheduler": "none",
    "batchsize": 16,
    "validation_metric": "hits@1",
    "text_truncate": 128,
    "gradient_clip": 1.0,
}
EPOCHS = 3
BOUNDS = {
    **dict.fromkeys(("tau_start", "tau_end", "softmax_temperature"), ABOVE_0),
    **dict.fromkeys(("margin", "beta"), NOT_NEGATIVE),
    **dict.fromkeys(("word_dropout", "one_sided_dropout"), BELOW_1),
}
OPTIONS = {
    **encoder_options(
        "bert-base-uncased", "Encoder that impression and persona encoder start from"
    ),
    "--share-encoders": (
        False,
        "One encoder for utterances and profile sentences instead of two (section 4.1)",
    ),
    "--tau-start": (
        PAPER["tau_start"],
        "Temperature of the aggregate function (Eq. 13) when training begins",
    ),
    "--tau-end": (PAPER["tau_end"], "The same when training ends; it falls linearly in between"),
    "--margin": (PAPER["margin"], "Margin m of the loss (Eq. 12)"),
    "--beta": (PAPER["beta"], "Weight of the L1 norm of the relevance matrices (Eq. 12)"),
    "--negatives": (
        "one",
        "Distractors of a dialogue in training: the one that the task draws (the paper), or all "
        "personas of other people in the batch, with the mean of their losses",
        ["one", "batch"],
    ),
    "--loss": (
        "margin",
        "What separates the true persona from distractors: the margin of Eq. 12 (the paper), or "
        "the log-softmax over the true persona and its distractors",
        ["margin", "softmax"],
    ),
    "--softmax-temperature": (0.1, "Scores are divided by this in --loss softmax"),
    "--word-dropout": (0.0, "Probability with which training leaves out a token"),
    "--one-sided-dropout": (
        0.0,
        "Probability with which a word is left out of all utterances or of all profile sentences "
        "of a training batch, so that they cannot be matched by it",
    ),
    **sizes(f"--encoder {SCRATCH}", 2, 4, 128, 8000),
}


def add_receiver_options(parser: ParlaiParser, partial_opt: Opt | None) -> None:
    add_options(parser, "P²Bot Receiver", OPTIONS)
    parser.set_defaults(learningrate=PAPER["learningrate"], optimizer=PAPER["optimizer"], **OURS)
    set_epochs(parser, partial_opt, EPOCHS)


def check_options(opt: Opt) -> None:
    """:raises UsageError: for values that cannot work, naming the flag."""
    check_bounds(opt, BOUNDS)
    check_tokens(opt, "text_truncate", 3)
    refuse(opt, "fp16", "is not for the Receiver: use --precision bf16")
