"""
Export of a Transmitter as a transformers causal language model, or as PEFT's adapter of one, with
its [CLS] head.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, OpenAIGPTConfig, OpenAIGPTLMHeadModel

from p2bot_parlai.agents.options.folders import ANSWERING, READING
from p2bot_parlai.method.backbones.folders import describe
from p2bot_parlai.method.backbones.gpt import GPT
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import Transmitter
from p2bot_parlai.tools.export.chat_template import chat_tokenizer


def write_transmitter(
    network: Transmitter,
    tokenizer: P2botTokenizer,
    opt: dict,
    saved: dict,
    folder: Path,
    merge: bool,
) -> None:
    """
    :param opt: options of reading and decoding: ``inference``, ``beam_size`` and so on.
    :param saved: what the model file says of itself. :param merge: adapters become part of the
        weights.
    """
    backbone: Any = network.backbone
    exported = chat_tokenizer(tokenizer, backbone.max_positions)
    generation = generation_config(opt, tokenizer)
    about = {"options": {name: opt[name] for name in (*READING, *ANSWERING) if name in opt}}
    about |= {name: saved.get(name, {}) for name in ("spelling", "next_utterance")}
    if backbone.names and not merge:
        from p2bot_parlai.method.backbones.adapter_folder import write_adapter  # peft is an extra

        write_adapter(backbone, folder)
        generation.save_pretrained(folder)
        about["base"] = asdict(backbone.base)
    else:
        model = language_model(backbone.merged())
        model.config.pad_token_id = tokenizer.pad
        model.config.eos_token_id = tokenizer.eos
        model.config.bos_token_id = None
        model.generation_config = generation
        model.save_pretrained(folder)
    exported.save_pretrained(folder)
    describe(folder, about, network.next_utterance)


def language_model(backbone: nn.Module) -> nn.Module:
    """The backbone as a transformers model; our GPT becomes an OpenAIGPTLMHeadModel."""
    if not isinstance(backbone, GPT):
        return backbone.lm
    ours = backbone.config
    config = OpenAIGPTConfig(
        vocab_size=ours.vocab_size,
        n_positions=ours.n_positions,
        n_embd=ours.n_embd,
        n_layer=ours.n_layer,
        n_head=ours.n_head,
        afn="gelu",
        resid_pdrop=ours.dropout,
        embd_pdrop=ours.dropout,
        attn_pdrop=ours.dropout,
        layer_norm_epsilon=ours.layer_norm_epsilon,
        initializer_range=ours.initializer_range,
    )
    with torch.random.fork_rng():  # the initial weights are drawn only to be replaced
        model = OpenAIGPTLMHeadModel(config)
    model.transformer.load_state_dict(backbone.state_dict())
    return model.eval()


def generation_config(opt: dict, tokenizer: P2botTokenizer) -> GenerationConfig:
    """
    The closest match to the model's own decoding.

    transformers has neither re-ranking by Eq. 3 nor all of ParlAI's searches; an
    ``--inference`` without a counterpart becomes greedy decoding.
    """
    sampled = {
        "topk": {"top_k": opt.get("topk"), "top_p": 1.0},
        "nucleus": {"top_k": 0, "top_p": opt.get("topp")},
        "multinomial": {"top_k": 0, "top_p": 1.0},
    }
    if opt["inference"] in sampled:
        how = {"do_sample": True, "temperature": opt["temperature"], **sampled[opt["inference"]]}
    else:
        beams = opt["beam_size"] if opt["inference"] == "beam" else 1
        how = {"do_sample": False, "num_beams": beams}
    if opt.get("beam_block_ngram", -1) > 0:
        how["no_repeat_ngram_size"] = opt["beam_block_ngram"]
    return GenerationConfig(
        max_new_tokens=opt["label_truncate"],
        eos_token_id=tokenizer.eos,
        pad_token_id=tokenizer.pad,
        **how,
    )
