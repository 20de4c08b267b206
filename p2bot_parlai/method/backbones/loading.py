"""Pretrained language models by name."""

from p2bot_parlai.method.backbones import hub, packaged
from p2bot_parlai.method.backbones.gpt import GPT
from p2bot_parlai.method.backbones.names import ALIASES

Backbone = GPT | hub.CausalLM


def backbone_path(name: str) -> str:
    """The hub name or folder of a ``--backbone``, which may be a preset."""
    if name in packaged.LANGUAGE_MODELS:
        return packaged.folder_of(name)
    return ALIASES.get(name, name)


def load_backbone(name: str) -> Backbone:
    """
    A pretrained backbone.

    :param name: a preset, a hub name, or a folder in Hugging Face form. GPT (of 2018)
        gets our own implementation, everything else transformers'.
    :raises P2botError: if it cannot be loaded; the message says what to do.
    """
    path = backbone_path(name)
    config = hub.fetch(path, "AutoConfig")
    if config.model_type == "openai-gpt":
        # transformers has no other attention for it
        given = {"config": config, "attn_implementation": "eager"}
        return GPT.from_hugging_face(
            hub.fetch_weights(path, "AutoModel", used=lambda lm: lm, **given)
        )
    return hub.CausalLM.from_pretrained(path)
