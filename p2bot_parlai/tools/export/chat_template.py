"""
Our context format for plain transformers: a tokenizer with a chat template.

The persona is the system message, one sentence per line; the partner is the user, the bot the
assistant. The template renders ``[PS] persona [PE]``, ``[PARTNER] utterance`` and
``[SELF] response [EOS]``, and the generation prompt is ``[SELF]``; or their counterparts in
the context style of the model. The caller has to truncate contexts that are too long.
"""

import json

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import Dialogue, build_context
from p2bot_parlai.method.context_style import ContextStyle
from p2bot_parlai.method.tokenizers import P2botTokenizer

# Profile sentences are tokenized one by one, but a template renders one text. This character,
# Unicode's line separator, marks their boundaries, and the exported tokenizer drops it.
BOUNDARY = "\u2028"
_SPLIT = {"type": "Split", "pattern": {"String": BOUNDARY}, "behavior": "Removed", "invert": False}


def template(style: ContextStyle) -> str:
    """The jinja template of a context style."""
    # a special token in a message is text; plain transformers would read it as the token
    plain = "".join(
        f" | replace('{mark}', '{mark[0]} {mark[1:-1]} {mark[-1]}')"
        for mark in style.special_tokens
    )
    lower = " | lower" if style.lower else ""
    own = (style.self_, style.eos) if style.predicts_in_place else ("", "")
    return f"""\
{{%- macro plain(text) -%}}
{{{{- text{lower}{plain} | replace('{BOUNDARY}', ' ') | trim -}}}}
{{%- endmacro -%}}
{{%- macro joined(text, between) -%}}
{{{{- plain(text).split('\n') | map('trim') | select | join(between) -}}}}
{{%- endmacro -%}}
{{%- for message in messages -%}}
{{%- if message['role'] == 'system' -%}}
{{%- set persona = joined(message['content'], '{BOUNDARY}') -%}}
{{%- if persona -%}}
{{{{- '{style.persona_start}' + persona + '{style.persona_end}' -}}}}
{{%- endif -%}}
{{%- elif message['role'] == 'user' -%}}
{{{{- '{style.partner}' + joined(message['content'], ' ') + '{style.partner_end or ""}' -}}}}
{{%- elif message['role'] == 'assistant' -%}}
{{{{- '{own[0]}' + plain(message['content']) + '{own[1]}' -}}}}
{{%- else -%}}
{{{{- raise_exception('roles are system (the persona), user and assistant') -}}}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}{{{{- '{style.self_}' -}}}}{{%- endif -%}}
"""


# rendered and tokenized once, to check that the ids are those of training
_PROBE = Dialogue(
    ["i like tea", "We have 22 dogs."],
    turns=[(False, "hi there , don't you ?"), (True, "Yes !"), (False, "say [CLS not")],
)


def messages_of(dialogue: Dialogue) -> list[dict[str, str]]:
    """A dialogue as messages for a chat template."""
    persona = [{"role": "system", "content": "\n".join(dialogue.persona)}]
    return (persona if dialogue.persona else []) + [
        {"role": "assistant" if own else "user", "content": text} for own, text in dialogue.turns
    ]


def chat_tokenizer(tokenizer: P2botTokenizer, longest: int | None) -> PreTrainedTokenizerFast:
    """
    :param longest: maximum input length of the model, in tokens.
    :raises P2botError: for a tokenizer that gives a rendered text other ids than its parts.
    """
    data = tokenizer.to_json()
    own = data["pre_tokenizer"]
    steps = own["pretokenizers"] if own and own["type"] == "Sequence" else [own] if own else []
    if _SPLIT not in steps:  # a model trained from an export has it already
        data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [_SPLIT, *steps]}
    data["post_processor"] = None  # the template adds all special tokens
    style = tokenizer.style
    named = {style.pad, style.eos, style.cls}
    exported = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(data)),
        pad_token=style.pad,
        eos_token=style.eos,
        **({"cls_token": style.cls} if style.cls else {}),
        extra_special_tokens=[token for token in style.special_tokens if token not in named],
        clean_up_tokenization_spaces=False,
        padding_side="left",
        **({"model_max_length": longest} if longest else {}),
    )
    exported.chat_template = template(style)
    if rendered_ids(exported, _PROBE) != build_context(_PROBE, tokenizer).ids:
        raise P2botError(
            "this model's tokenizer splits a whole dialogue differently from its single sentences, "
            "so no chat template can render its context"
        )
    return exported


def rendered_ids(exported: PreTrainedTokenizerFast, dialogue: Dialogue) -> list[int]:
    """The ids of a dialogue under the chat template, without the generation prompt."""
    return exported.apply_chat_template(messages_of(dialogue), tokenize=True, return_dict=False)
