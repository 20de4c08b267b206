"""Export of a Receiver as a sentence-transformers bi-encoder."""

import json
from pathlib import Path

from tokenizers import Tokenizer
from torch import nn
from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, PreTrainedTokenizerFast

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.encoder import SentenceEncoder
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.method.tokenizers import SentenceTokenizer

# encoders that are not shared become two models, each in its own folder
IMPRESSION, PERSONA = "impression", "persona"

_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def write_receiver(perceiver: Perceiver, limit: int, folder: Path) -> None:
    """
    :param limit: maximum sentence length in tokens.
    """
    network, tokenizer = perceiver.network.merged(), perceiver.tokenizer
    if network.impression is network.persona:
        write_encoder(network.impression, tokenizer, limit, folder)
        return
    for name, encoder in ((IMPRESSION, network.impression), (PERSONA, network.persona)):
        write_encoder(encoder, tokenizer, limit, folder / name)


def write_encoder(
    encoder: SentenceEncoder, tokenizer: SentenceTokenizer, limit: int, folder: Path
) -> None:
    """The encoder, followed by a module that averages its token vectors."""
    _whole_model(encoder.model).save_pretrained(folder)
    data = {**tokenizer.to_json(), "truncation": None, "padding": None}
    backend = Tokenizer.from_str(json.dumps(data))
    # Any token can pad, as the mean ignores masked tokens; but some models derive positions from
    # the padding token they were trained with.
    pad = encoder.model.config.pad_token_id
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=backend.id_to_token(0 if pad is None else pad),
        model_max_length=limit,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    pooling = {
        "word_embedding_dimension": encoder.hidden_size,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    _write(folder / "modules.json", _MODULES)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": limit, "do_lower_case": False})
    # Eq. 11 is the dot product over sqrt(d)
    _write(folder / "config_sentence_transformers.json", {"similarity_fn_name": "dot"})
    (folder / "1_Pooling").mkdir()
    _write(folder / "1_Pooling" / "config.json", pooling)


def _whole_model(model: nn.Module) -> nn.Module:
    """
    What a folder is read as: the encoder half of an encoder-decoder becomes the family's model
    without a decoder, under whose names its weights are found again.
    """
    config = model.config
    if not config.is_encoder_decoder:
        return model
    whole = MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None)
    if whole is None:
        raise P2botError(
            f"a Receiver on {config.model_type!r} cannot be exported: transformers has no model of "
            "its encoder alone. Train one on another --encoder, such as T5 or BERT"
        )
    made = whole(config)
    made.get_encoder().load_state_dict(model.state_dict())
    made.config.is_encoder_decoder = True  # as in the family's own files
    return made


def _write(path: Path, data) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
