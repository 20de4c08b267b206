"""Command-line options of the Transmitter, with the paper's values as defaults."""

import math

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.backbones.names import ALIASES, SCRATCH, SKETCH
from p2bot_parlai.method.backbones.packaged import LANGUAGE_MODELS
from p2bot_parlai.method.backbones.precision import PRECISIONS
from p2bot_parlai.method.context_style import APPEND, STYLES

# Section 5.1 of the paper; gradient clipping and the linear decay are those of
# TransferTransfo (Wolf et al., 2019b), whose recipe the paper follows.
PAPER = {
    "learningrate": 6.25e-5,
    "optimizer": "adam",
    "gradient_clip": 1.0,
    "lr_scheduler": "linear",
    "text_truncate": 256,
    "label_truncate": 32,
    "inference": "beam",
    "beam_size": 2,
}
# what a user of these agents wants and ParlAI's defaults are not
BEHAVIOUR = {
    "rank_candidates": True,
    "validation_metric": "ppl",
    "validation_metric_mode": "min",
    # a clone validates: with -bs 1 the dialogue being trained on would be lost otherwise
    "validation_share_agent": True,
}
PAPER_EPOCHS = 2


def add_transmitter_options(parser: ParlaiParser, partial_opt: Opt | None) -> None:
    group = parser.add_argument_group("P²Bot Transmitter")
    group.add_argument(
        "--backbone",
        type=str,
        default="openai-gpt",
        help="Language model to start from: "
        + ", ".join(sorted(ALIASES))
        + ", "
        + ", ".join(sorted(LANGUAGE_MODELS))
        + " (a pip package, no network), any causal language model by Hugging Face hub name or "
        f"folder; or random weights: '{SCRATCH}' for a GPT, '{SKETCH}' for a small Llama whose "
        "first weights can find and copy, so that it learns to use its persona in minutes",
    )
    group.add_argument(
        "--tokenizer",
        type=str,
        default=None,
        help=f"Folder with the vocabulary of --backbone {SCRATCH} or {SKETCH} (tokenizer.json, "
        "or vocab.json and merges.txt); without it a byte-level BPE is learnt from the task's text",
    )
    group.add_argument(
        "--context-style",
        choices=sorted(STYLES),
        default=APPEND.name,
        help="Form of the context: append is ours, which marks who speaks and never drops the "
        "persona; original is that of the released code (docs/method.md), for its models and for "
        "comparisons with them. A saved model keeps its own",
    )
    group.add_argument(
        "--vocab-size",
        type=int,
        default=8000,
        help="Entries of the byte-level BPE learnt from the task's text, at most",
    )
    for flag, default, what in (
        ("--n-layers", 12, "Transformer blocks"),
        ("--n-heads", 12, "Attention heads a block"),
        ("--embedding-size", 768, "Width of the model"),
    ):
        text = f"{what} of --backbone {SCRATCH} or {SKETCH}"
        group.add_argument(flag, type=int, default=default, help=text)
    group.add_argument(
        "--n-positions",
        type=int,
        default=512,
        help=f"Longest sequence of --backbone {SCRATCH} or {SKETCH}, in tokens",
    )
    group.add_argument(
        "--dropout",
        type=float,
        default=0.1,
        help=f"Dropout probability of --backbone {SCRATCH} or {SKETCH}",
    )
    group.add_argument(
        "--nup-coef",
        type=float,
        default=1.0,
        help="Weight of the next-utterance loss beside the language model's (section 3.1); "
        "0 trains no next-utterance head",
    )
    group.add_argument(
        "--num-distractors",
        type=int,
        default=1,
        help="Distractors a response that the next-utterance head learns from; more than the "
        "paper's 1 cost a few tokens each and help models that are trained from scratch",
    )
    group.add_argument(
        "--shuffle-persona",
        type="bool",
        default=False,
        help="Put the profile sentences of each training dialogue in random order, as "
        "TransferTransfo does (Wolf et al., 2019): they have none",
    )
    group.add_argument(
        "--packed",
        type="bool",
        default=True,
        help="Train on whole dialogues, all turns in one pass: the same examples and loss, "
        "several times faster; --batchsize then counts dialogues. false: turn by turn",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="bf16: matrix products in bfloat16 (torch.autocast) in training, evaluation, "
        "decoding and self-play, its frozen models too. Weights, optimizer, losses and rewards "
        "stay fp32. It pays where the processor has bfloat16: GPUs, CPUs with AVX512-BF16 or AMX",
    )
    group.add_argument(
        "--gradient-checkpointing",
        type="bool",
        default=False,
        help="Compute each layer again in the backward pass instead of keeping what it computed: "
        "the same gradient with less memory, a third slower",
    )
    group.add_argument(
        "--alpha",
        type=float,
        default=0.1,
        help="Weight of the length-normalised log-likelihood against the next-utterance "
        "log-probability where beam hypotheses or candidates are ranked (Eq. 3), 0 to 1",
    )
    group.add_argument(
        "--rank-by",
        choices=["next-utterance", "likelihood", "both"],
        default="next-utterance",
        help="What ranks label candidates: the next-utterance head, the length-normalised "
        "log-likelihood (Eq. 2), or both (Eq. 3)",
    )
    group.add_argument(
        "--persona",
        type=str,
        default=None,
        help='Persona of the bot in interactive and self_chat, sentences separated by "|", '
        'e.g. "i like tea.|i have two dogs."',
    )
    group.add_argument(
        "--partner-persona",
        type=str,
        default=None,
        help="The same for the human in interactive and the second bot in self_chat",
    )
    for action in parser._actions:
        if action.dest == "inference":
            action.choices = sorted({*action.choices, "multinomial"})
            action.help = "How a response is decoded; beam with --beam-size 2 is the paper's"
    parser.set_defaults(**PAPER, **BEHAVIOUR)
    partial_opt = partial_opt or {}
    limits = (partial_opt.get("max_train_steps"), partial_opt.get("max_train_time"))
    if not any(limit and limit > 0 for limit in limits):
        parser.set_defaults(num_epochs=PAPER_EPOCHS)


def check_options(opt: Opt) -> None:
    """:raises UsageError: for values that cannot work, naming the flag."""
    if not 0 <= opt["alpha"] <= 1:
        raise UsageError(f"--alpha {opt['alpha']} is not between 0 and 1")
    if not opt["nup_coef"] >= 0:
        raise UsageError(f"--nup-coef {opt['nup_coef']} is negative")
    if opt["num_distractors"] < 1:
        raise UsageError("--num-distractors must be at least 1 (--nup-coef 0 takes none)")
    if opt["beam_size"] < 1:
        raise UsageError(f"--beam-size {opt['beam_size']} is not at least 1")
    if not 0 < opt["temperature"] < math.inf:
        raise UsageError(f"--temperature {opt['temperature']} is not above 0, and finite")
    if opt["topk"] < 1:
        raise UsageError(f"--topk {opt['topk']} is not at least 1")
    if not 0 < opt["topp"] <= 1:
        raise UsageError(f"--topp {opt['topp']} is not above 0 and at most 1")
    if not abs(opt["beam_length_penalty"]) <= 100:
        raise UsageError(f"--beam-length-penalty {opt['beam_length_penalty']} is not -100 to 100")
    for name in ("n_layers", "n_heads", "embedding_size"):
        if opt[name] < 1:
            raise UsageError(f"--{name.replace('_', '-')} {opt[name]} is not at least 1")
    for name in ("person_tokens", "special_tok_lst", "history_reversed"):
        if opt.get(name):
            raise UsageError(
                f"--{name.replace('_', '-')} has no place in P²Bot's context, which marks "
                "speakers by tokens of its own: drop it"
            )
    for name in ("fp16", "force_fp16_tokens"):
        if opt.get(name):
            raise UsageError(
                f"--{name.replace('_', '-')} would halve the weights themselves, and without a GPU "
                "nothing: use --precision bf16"
            )
    if opt.get("gradient_checkpointing") and not opt["packed"]:
        raise UsageError(
            "--gradient-checkpointing true is for whole dialogues: drop --packed false, whose "
            "contexts are kept in a cache"
        )
    for name in ("text_truncate", "label_truncate"):
        if (opt.get(name) or 0) < 2:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 2 tokens")
    if opt["embedding_size"] % opt["n_heads"]:
        raise UsageError(
            f"--embedding-size {opt['embedding_size']} is no multiple of --n-heads {opt['n_heads']}"
        )


def computing_options(opt: Opt) -> tuple[str, bool]:
    """Precision and gradient checkpointing; the .opt of an older version has neither."""
    return opt.get("precision", "fp32"), opt.get("gradient_checkpointing", False)
