"""Command-line options of the Receiver, with the paper's values as defaults."""

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.agents.options.common import (
    ABOVE_0,
    BELOW_1,
    NOT_NEGATIVE,
    TOKENS_OR_AUTO,
    TOKENS_PER_BATCH,
    add_options,
    check_bounds,
    set_epochs,
    sizes,
)
from p2bot_parlai.agents.options.encoder import check_encoder, encoder_options
from p2bot_parlai.agents.options.paper import PAPER
from p2bot_parlai.method.backbones.names import SCRATCH

# the paper gives no learning-rate schedule, batch size or number of epochs
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
    "tokens_per_batch": TOKENS_OR_AUTO,
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
        "Temperature of the aggregate function (Eq. 13) at the start of training",
    ),
    "--tau-end": (
        PAPER["tau_end"],
        "The same at the end of training; it falls linearly in between",
    ),
    "--margin": (PAPER["margin"], "Margin m of the loss (Eq. 12)"),
    "--beta": (PAPER["beta"], "Weight of the L1 norm of the relevance matrices (Eq. 12)"),
    "--negatives": (
        "one",
        "Distractors per dialogue in training: the one that the task draws (the paper), or the "
        "personas of all other people in the batch, averaging their losses. With --update-freq "
        "that is each batch of --batchsize",
        ["one", "batch"],
    ),
    "--loss": (
        "margin",
        "Loss: the margin of Eq. 12 (the paper), or the log-softmax over the true persona and its "
        "distractors",
        ["margin", "softmax"],
    ),
    "--softmax-temperature": (0.1, "Divides the scores in --loss softmax"),
    "--word-dropout": (0.0, "Probability of dropping a token in training"),
    "--one-sided-dropout": (
        0.0,
        "Probability of dropping a word from all utterances, or from all profile sentences, of a "
        "training batch, so that it cannot match the two",
    ),
    "--tokens-per-batch": (
        -1,
        f"{TOKENS_PER_BATCH}. The sentences of a larger batch are encoded twice",
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
    check_encoder(opt)
