"""Command-line options of the Transmitter, with the paper's values as defaults."""

import math

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.utils import logging

from p2bot_parlai.agents.options.common import (
    A_SHARE,
    AT_LEAST_1,
    NOT_NEGATIVE,
    TOKENS_OR_AUTO,
    TOKENS_PER_BATCH,
    add_options,
    check_bounds,
    check_tokens,
    set_epochs,
    sizes,
)
from p2bot_parlai.agents.options.paper import PAPER
from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.backbones.names import ALIASES, SCRATCH, SKETCH
from p2bot_parlai.method.backbones.packaged import LANGUAGE_MODELS
from p2bot_parlai.method.backbones.precision import PRECISIONS
from p2bot_parlai.method.backbones.quantised import BASE_DTYPES
from p2bot_parlai.method.context_style import APPEND, STYLES

# Gradient clipping and the linear decay are those of TransferTransfo (Wolf et al., 2019b), whose
# recipe the paper follows.
DEFAULTS = {
    **{name: PAPER[name] for name in ("learningrate", "optimizer", "label_truncate", "beam_size")},
    "gradient_clip": 1.0,
    "lr_scheduler": "linear",
    "text_truncate": 256,
    "inference": "beam",
    # differ from ParlAI's defaults
    "rank_candidates": True,
    "validation_metric": "ppl",
    "validation_metric_mode": "min",
    # a clone validates: with -bs 1 the dialogue being trained on would be lost otherwise
    "validation_share_agent": True,
}
BOUNDS = {
    "alpha": A_SHARE,
    "mutual_information": ("finite", math.isfinite),
    "nup_coef": NOT_NEGATIVE,
    "tokens_per_batch": TOKENS_OR_AUTO,
    **dict.fromkeys(("num_distractors", "beam_size", "topk"), AT_LEAST_1),
    **dict.fromkeys(("n_layers", "n_heads", "embedding_size"), AT_LEAST_1),
    "block_said_before": ("0 or at least 2", lambda value: value == 0 or value >= 2),
    "temperature": ("above 0, and finite", lambda value: 0 < value < math.inf),
    "topp": ("above 0 and at most 1", lambda value: 0 < value <= 1),
    "beam_length_penalty": ("between -100 and 100", lambda value: abs(value) <= 100),
}
# options of ParlAI's that training has no use for
IN_TRAINING = {
    "use_reply": "is for evaluation: training reads whole dialogues, with the labels as replies",
}
# metrics of validation: the option that they need
NEEDS = {
    **dict.fromkeys(("f1", "bleu-4", "accuracy"), ("skip_generation", False)),
    **dict.fromkeys(("hits@1", "hits@5", "hits@10"), ("rank_candidates", True)),
}
OF_HEAD = ("next-utterance", "both")  # values of --rank-by
UNTRAINED = f"--backbone {SCRATCH} or {SKETCH}"
OPTIONS = {
    "--backbone": (
        "openai-gpt",
        f"Language model to start from: {', '.join(sorted(ALIASES))}, "
        f"{', '.join(sorted(LANGUAGE_MODELS))} (a pip package, no network), any causal language "
        f"model by Hugging Face hub name or folder; or random weights: '{SCRATCH}' for a GPT, "
        f"'{SKETCH}' for a small Llama whose first weights can find and copy, so that it learns "
        "to use its persona in minutes",
    ),
    "--tokenizer": (
        None,
        f"Folder with the vocabulary of {UNTRAINED} (tokenizer.json, or vocab.json and "
        "merges.txt); without it a byte-level BPE is learnt from the task's text",
    ),
    "--context-style": (
        APPEND.name,
        "Format of the context: append marks who speaks and never drops the persona; original is "
        "that of the released code (docs/method.md), for its models and comparisons with them; "
        "chatml is that of instruct models, which answer in it without training. "
        "A saved model keeps its own",
        sorted(STYLES),
    ),
    **sizes(UNTRAINED, 12, 12, 768, 8000),
    "--n-positions": (512, f"Longest sequence of {UNTRAINED}, in tokens"),
    "--nup-coef": (
        1.0,
        "Weight of the next-utterance loss beside the language model's (section 3.1); "
        "0 trains no next-utterance head",
    ),
    "--num-distractors": (
        PAPER["num_distractors"],
        "Distractors per response for the next-utterance head; more than the paper's 1 cost a "
        "few tokens each and help models trained from scratch",
    ),
    "--shuffle-persona": (
        False,
        "Shuffle the profile sentences of each training dialogue, whose order means nothing, as "
        "TransferTransfo does (Wolf et al., 2019)",
    ),
    "--precision": (
        "auto",
        "bf16: matrix products in bfloat16 (torch.autocast) in training, evaluation, "
        "decoding and self-play, frozen models included. Weights, optimizer, losses and rewards "
        "stay fp32. Faster on processors with bfloat16: GPUs, CPUs with AVX512-BF16 or AMX. "
        "auto: bf16 on a GPU that has it, else fp32, which is exact on a GPU too",
        PRECISIONS,
    ),
    "--base-dtype": (
        "none",
        "With --adapter: hold the frozen blocks in 8 bits a weight, or in 4 (NF4 of QLoRA, "
        "Dettmers et al., 2023), which takes less memory and more time, and is not quite the "
        "pretrained model. A saved model is loaded as it was trained unless you say otherwise. "
        "none: as --precision says",
        BASE_DTYPES,
    ),
    "--gradient-checkpointing": (
        False,
        "Recompute the activations of each layer in the backward pass instead of storing them: "
        "the same gradient with less memory, a third slower",
    ),
    "--tokens-per-batch": (-1, TOKENS_PER_BATCH),
    "--alpha": (
        PAPER["alpha"],
        "Weight of the length-normalised log-likelihood against the next-utterance "
        "log-probability when ranking beam hypotheses or candidates (Eq. 3), 0 to 1",
    ),
    "--rank-by": (
        "next-utterance",
        "What ranks label candidates: the next-utterance head, the length-normalised "
        "log-likelihood (Eq. 2), both (Eq. 3), or the mutual information with the context, "
        "log p(x | s) - log p(x), which asks for no head (Li et al., 2016)",
        ["next-utterance", "likelihood", "both", "mutual-information"],
    ),
    "--mutual-information": (
        0.0,
        "Add this times log p(x | s) - log p(x) to Eq. 3, where beam hypotheses or candidates are "
        "ranked by it: a response that fits any context counts less",
    ),
    "--block-said-before": (
        0,
        "So many words in a row that the speaker has said in earlier turns are not said again "
        "(--beam-context-block-ngram counts tokens, and blocks what the partner and the persona "
        "say too); 0: off",
    ),
    "--persona": (
        None,
        'Persona of the bot in interactive and self_chat, sentences separated by "|", '
        'e.g. "i like tea.|i have two dogs."',
    ),
    "--partner-persona": (
        None,
        "The same for the human in interactive and the second bot in self_chat",
    ),
}


def add_transmitter_options(parser: ParlaiParser, partial_opt: Opt | None) -> None:
    add_options(parser, "P²Bot Transmitter", OPTIONS)
    for action in parser._actions:
        if action.dest == "inference":
            action.choices = sorted({*action.choices, "multinomial"})
            action.help = "How a response is decoded; beam with --beam-size 2 is the paper's"
    parser.set_defaults(**DEFAULTS)
    set_epochs(parser, partial_opt, PAPER["transmitter_epochs"])


def rank_without_head(opt: Opt) -> None:
    """
    Of a model whose next-utterance head nobody has trained: its scores mean nothing.

    :raises UsageError: where the command line asks for them.
    """
    if opt.get("override", {}).get("rank_by") in OF_HEAD:
        raise UsageError(
            f"--rank-by {opt['rank_by']} asks for a next-utterance head, and this model has none "
            "that was trained: choose likelihood or mutual-information"
        )
    if opt["rank_by"] in OF_HEAD or opt["alpha"] < 1:
        logging.warning("there is no trained next-utterance head: responses are ranked without it")
        opt["alpha"] = 1.0
        if opt["rank_by"] in OF_HEAD:
            opt["rank_by"] = "likelihood"


def check_options(opt: Opt) -> None:
    """:raises UsageError: for values that cannot work, naming the flag."""
    check_bounds(opt, BOUNDS)
    for name in ("text_truncate", "label_truncate"):
        check_tokens(opt, name, 2)
    if opt["embedding_size"] % opt["n_heads"]:
        raise UsageError(
            f"--embedding-size {opt['embedding_size']} is not a multiple of "
            f"--n-heads {opt['n_heads']}"
        )
