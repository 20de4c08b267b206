"""
Options of ParlAI's that agents of ours inherit: which of them do nothing here, and why.

`Learner` refuses them; docs/options.md lists them. tests/agents/test_inherited_options.py shows
of every other one that it does what its help says.
"""

from collections.abc import Iterable, Mapping

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.agents.options.common import flag
from p2bot_parlai.errors import UsageError


def _each(names: str, why: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), why)


# option: what an error says behind its name
WITHOUT_MEANING = {
    **_each(
        "delimiter split_lines person_tokens add_p1_after_newln history_reversed "
        "history_add_global_end_token special_tok_lst",
        "does not apply: the context marks personas and speakers by tokens of its own",
    ),
    **_each(
        "dict_initpath dict_language dict_max_ngram_size dict_minfreq dict_maxtokens dict_lower "
        "dict_nulltoken dict_starttoken dict_endtoken dict_unktoken dict_tokenizer bpe_debug "
        "dict_textfields bpe_vocab bpe_merge bpe_add_prefix_space bpe_dropout",
        "does not apply: the tokenizer is that of the pretrained network, or one of --vocab-size "
        "tokens that is learnt from the task",
    ),
    **_each(
        "embedding_type embedding_projection",
        "does not apply: tokens are pieces of words, which have no vectors elsewhere",
    ),
    **_each("fp16 fp16_impl force_fp16_tokens", "is not supported: use --precision bf16"),
    "gpu_beam_blocking": "is not supported: blocking runs on the CPU, with the same result",
    "compute_tokenized_bleu": "is not supported: it needs fairseq. BLEU is reported without it",
}
OF_BASELINES = {
    **WITHOUT_MEANING,
    **_each("fp16 fp16_impl force_fp16_tokens", "is not supported by the baselines"),
}
OF_SEQ2SEQ = {
    **OF_BASELINES,
    "input_dropout": "does not apply: no token is unknown to the tokenizer",
}
OF_KV_PROFILE_MEMORY = {
    **OF_BASELINES,
    "rank_candidates": "does not apply: this agent always ranks candidates",
    **_each(
        "encode_candidate_vecs encode_candidate_vecs_batchsize",
        "is not supported: a candidate is encoded by a sum of vectors, which is not worth a file",
    ),
}
OF_ENCODERS = {
    **WITHOUT_MEANING,
    **_each(
        "delimiter split_lines person_tokens add_p1_after_newln history_reversed history_size "
        "history_add_global_end_token use_reply special_tok_lst",
        "does not apply: a message holds all there is to read, and nothing is remembered",
    ),
    "label_truncate": "does not apply: labels are not tokenized; see --text-truncate",
}
OF_RECEIVER = {
    **OF_ENCODERS,
    "rank_candidates": "does not apply: this agent always ranks candidates",
}
OF_PERSONA_NLI = {
    **OF_ENCODERS,
    "rank_candidates": "does not apply: this agent names a class",
    **_each("classes classes_from_file", "does not apply: the classes are those of the method"),
    **_each("threshold ref_class", "does not apply: it is for two classes, and there are three"),
    "update_classifier_head_only": "is not supported: encoder and classifier learn together",
    "data_parallel": "is not supported: use parlai multiprocessing_train",
    "update_freq": "is not supported by persona_nli: raise --batchsize instead",
}

# option: another one, and the values of that with which it has an effect in training
ADAMS = ("adam", "sparseadam", "adamax")
DECAYING = ("reduceonplateau", "fixed")
NEEDS = {
    "betas": ("optimizer", (*ADAMS, "adafactor")),
    "adam_eps": ("optimizer", ADAMS),
    "adafactor_eps": ("optimizer", ("adafactor",)),
    "momentum": ("optimizer", ("sgd", "rmsprop")),
    "nesterov": ("optimizer", ("sgd",)),
    "nus": ("optimizer", ()),
    "lr_scheduler_patience": ("lr_scheduler", DECAYING),
    "lr_scheduler_decay": ("lr_scheduler", DECAYING),
    "invsqrt_lr_decay_gamma": ("lr_scheduler", ("invsqrt",)),
    **dict.fromkeys(
        ("warmup_updates", "warmup_rate"),
        ("lr_scheduler", ("linear", "cosine", "invsqrt", *DECAYING)),
    ),
}


def refuse(agent: type, opt: Opt, reasons: Mapping[str, str]) -> None:
    """
    :param agent: a class of ours. :param reasons: by option.
    :raises UsageError: for an option among them that the user gave another value than its default.
        What stands in a saved .opt is let pass.
    """
    for name in changed(agent, opt, reasons):
        raise UsageError(f"{flag(name)} {reasons[name]}. Drop it")


def refuse_unused(agent: type, opt: Opt) -> None:
    """:raises UsageError: for an option of training that the optimizer or the schedule ignores."""
    for name in changed(agent, opt, NEEDS):
        other, values = NEEDS[name]
        if opt[other] not in values:
            remedy = f", or choose {flag(other)} {' or '.join(values)}" if values else ""
            raise UsageError(
                f"{flag(name)} has no effect with {flag(other)} {opt[other]}: drop it{remedy}"
            )


def changed(agent: type, opt: Opt, names: Iterable[str]) -> list[str]:
    """Which of these options the user gave another value than the default."""
    given = opt.get("override", {})
    asked = [name for name in names if name in given]
    if not asked:
        return []
    parser = ParlaiParser(add_parlai_args=False)
    agent.add_cmdline_args(parser, opt)
    defaults = vars(parser.parse_known_args([])[0])
    return [name for name in asked if given[name] != defaults.get(name, given[name])]


def apply_truncate(opt: Opt) -> None:
    """As in ParlAI, ``--truncate`` is for texts and labels unless they have an own limit."""
    given = opt.get("override", {})
    if given.get("truncate", -1) >= 0:
        own = {name: given["truncate"] for name in ("text_truncate", "label_truncate")}
        opt.update({name: limit for name, limit in own.items() if name not in given})
