"""
The released Receiver: one BERT that reads utterances as segment 0 and profile sentences as 1.

Our encoders read everything as segment 0. So the persona encoder gets the same weights with the
two segment embeddings swapped, and the two encoders give the vectors of the one BERT.

No released file was available: names and shapes are those of the released source
(agents/receiver/receiver.py). docs/method.md lists what is inferred from the source alone.
"""

from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.encoder import SentenceEncoder
from p2bot_parlai.method.receiver import Receiver
from p2bot_parlai.method.tokenizers import SentenceTokenizer
from p2bot_parlai.tools.original.reading import Weights

_BODY = "sent_encoder.bert_model."
_SEGMENTS = "embeddings.token_type_embeddings.weight"

# where Eq. 13 divides by tau, the source multiplies by a factor that grows to 1.5
TAU = 1 / 1.5


def to_receiver(weights: Weights, tokenizer: SentenceTokenizer, head_size: int) -> Receiver:
    """
    :param tokenizer: BERT's; see `without_separator`.
    :param head_size: width of an attention head, which the shapes do not reveal.
    :raises P2botError: if the file has another format or vocabulary.
    """
    if weights.take_below("sent_encoder.additional_linear_layer."):
        raise P2botError(
            f"{weights.where} has a layer above BERT (sent_hiddensize), which our Receiver lacks"
        )
    body = {_name(name): tensor for name, tensor in weights.take_below(_BODY).items()}
    body = {name: t for name, t in body.items() if not name.startswith("pooler.")}
    shapes = Weights(body, weights.where)
    words = shapes.take("embeddings.word_embeddings.weight", 2)
    positions = shapes.take("embeddings.position_embeddings.weight", 2)
    segments = shapes.take(_SEGMENTS, 2)
    inner = shapes.take("encoder.layer.0.intermediate.dense.weight", 2)
    layers = {name.split(".")[2] for name in body if name.startswith("encoder.layer.")}
    width = words.shape[1]
    if len(segments) != 2:
        raise P2botError(f"{weights.where} has {len(segments)} segments; BERT has 2")
    if len(words) != len(tokenizer):
        raise P2botError(
            f"{weights.where} has {len(words)} tokens, --encoder-tokenizer has {len(tokenizer)}: "
            "name the one it was trained with"
        )
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=len(layers),
        num_attention_heads=weights.heads(width, head_size),
        intermediate_size=len(inner),
        max_position_embeddings=len(positions),
        type_vocab_size=len(segments),
    )
    encoders = []
    for order in ([0, 1], [1, 0]):
        encoder = SentenceEncoder(BertModel(config, add_pooling_layer=False))
        weights.load_into(encoder.model, {**body, _SEGMENTS: segments[order]})
        encoders.append(encoder)
    # the matrix of bilinear scores, unused in the released settings
    weights.drop("START", "bilinear_weight")
    weights.finish()
    return Receiver(*encoders).eval()


def without_separator(tokenizer: SentenceTokenizer) -> SentenceTokenizer:
    """The released code reads ``[CLS] sentence``: splitting the text at [SEP] removes it."""
    cls = tokenizer.backend.token_to_id("[CLS]")
    if cls is None:
        raise P2botError("--encoder-tokenizer has no [CLS]: use BERT's, such as bert-base-uncased")
    tokenizer.backend.post_processor = TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", cls)]
    )
    return tokenizer


def _name(name: str) -> str:
    """Translate parameter names from before 2019."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )
