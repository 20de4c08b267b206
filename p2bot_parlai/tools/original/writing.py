"""Write imported networks in our format: weights, ``.dict`` and ``.opt``."""

import torch
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai import __version__
from p2bot_parlai.agents.dictionary import write_tokenizer
from p2bot_parlai.agents.receiver import ReceiverAgent
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.method.model_files import FORMAT
from p2bot_parlai.method.receiver import Receiver
from p2bot_parlai.method.tokenizers import P2botTokenizer, SentenceTokenizer
from p2bot_parlai.method.transmitter import Transmitter
from p2bot_parlai.parlai_support.files import make_folder, whole
from p2bot_parlai.parlai_support.provenance import of_file
from p2bot_parlai.tools.original.receiver import TAU

# the released Transmitter was trained with these, as in section 5.1
TEXT_TRUNCATE, LABEL_TRUNCATE = 256, 32
# belong to this machine and run, not to the model
_LOCAL = ("datapath", "init_model", "model_file", "override", "parlai_home", "starttime")


def write_transmitter(
    path: str, network: Transmitter, tokenizer: P2botTokenizer, source: str
) -> None:
    """
    Write a ``-m p2bot`` model.

    :param path: its ``--model-file``. :param source: the file that was converted.
    """
    sizes = network.backbone.config
    room = sizes.n_positions - LABEL_TRUNCATE - 2
    opt = _options(
        model="p2bot",
        backbone="openai-gpt",
        context_style=tokenizer.style.name,
        n_layers=sizes.n_layer,
        n_heads=sizes.n_head,
        embedding_size=sizes.n_embd,
        n_positions=sizes.n_positions,
        text_truncate=min(TEXT_TRUNCATE, room),
        label_truncate=LABEL_TRUNCATE,
    )
    shape = {name: opt[name] for name in TransmitterAgent.SHAPE_OPTIONS}
    saved = {
        "format": FORMAT,
        "backbone": network.backbone.to_json(),
        "options": {**shape, "context_style": tokenizer.style.name},
        "tokenizer": tokenizer.fingerprint(),
        "next_utterance": True,
        "run": {},
        "provenance": {"version": __version__, "started_from": of_file(source)},
    }
    _write(path, network, saved, opt, tokenizer)


def write_receiver(path: str, network: Receiver, tokenizer: SentenceTokenizer, source: str) -> None:
    """Write a ``-m p2bot/receiver`` model, likewise."""
    sizes = network.impression.model.config
    opt = _options(
        model="p2bot/receiver",
        encoder="bert-base-uncased",
        share_encoders=False,
        n_layers=sizes.num_hidden_layers,
        n_heads=sizes.num_attention_heads,
        embedding_size=sizes.hidden_size,
        tau_start=TAU,
        tau_end=TAU,
    )
    saved = {
        "format": FORMAT,
        "kind": "receiver",
        "encoder": network.impression.to_json(),
        "options": {name: opt[name] for name in ReceiverAgent.SHAPE_OPTIONS},
        "tokenizer": tokenizer.fingerprint(),
        "tau": TAU,
        "text_truncate": opt["text_truncate"],
        "run": {},
        "provenance": {"version": __version__, "started_from": of_file(source)},
    }
    _write(path, network, saved, opt, tokenizer)


def _options(**given) -> Opt:
    """All options of an agent, as a training run would save them."""
    opt = ParlaiParser(True, True).parse_kwargs(**given)
    for name in _LOCAL:
        opt.pop(name, None)
    return opt


def _write(path: str, network, saved: dict, opt: Opt, tokenizer) -> None:
    """The weights come last: a model that is there is whole."""
    make_folder(path)
    with whole(path) as temporary:
        write_tokenizer(tokenizer, f"{path}.dict")
        opt.save(f"{path}.opt")
        torch.save({"model": network.state_dict(), "p2bot": saved}, temporary)
