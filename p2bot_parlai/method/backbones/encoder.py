"""Sentence encoders, for the Receiver's impression and persona encoder."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import agreement, hub, packaged
from p2bot_parlai.method.backbones.adapters import as_now
from p2bot_parlai.method.backbones.precision import Computing
from p2bot_parlai.method.devices import moved
from p2bot_parlai.method.padding import pad
from p2bot_parlai.method.pieces import pieces

SCRATCH = "scratch"
# Padded tokens per pass, of sentences of similar length: activations stay in the cache of a
# processor, twice as fast as all at once (docs/log.md).
TOKENS_AT_ONCE = 1024
FEWEST_TOKENS = 16  # that an encoder must read: cut shorter, different sentences become equal


def encoder_path(name: str) -> str:
    """The hub name or folder of an ``--encoder``, which may be a preset."""
    return packaged.folder_of(name) if name in packaged.ENCODERS else name


def load_encoder(name: str) -> "SentenceEncoder":
    """
    A pretrained encoder.

    :param name: a preset of `packaged`, a hub name, or a folder in Hugging Face form.
    :raises P2botError: if it cannot be loaded; the message says what to do.
    """
    return SentenceEncoder(hub.fetch_weights(encoder_path(name), "AutoModel", used=sentence_part))


def random_encoder(
    vocab_size: int, width: int, layers: int, heads: int, dropout: float
) -> "SentenceEncoder":
    """A small BERT with random weights."""
    from transformers import BertConfig, BertModel

    if width % heads:
        raise P2botError(f"--embedding-size {width} is not a multiple of --n-heads {heads}")
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    return SentenceEncoder(BertModel(config, add_pooling_layer=False))


def from_json(config: dict[str, Any], like: Any = None) -> Any:
    """
    Rebuild an encoder, with fresh weights, from its ``to_json()``: works offline, unless it is one
    of adapters.

    :param like: another encoder, whose base it shares where both are adapters of the same.
    """
    if config.get("kind") == "adapted":
        from p2bot_parlai.method.backbones import adapted  # peft is an extra

        return adapted.from_json(load_encoder, config, like)
    return SentenceEncoder(hub.build(config, "AutoModel"))


def sentence_part(model: Any) -> Any:
    """
    What encodes sentences in a model, itself changed: of an encoder-decoder the encoder, of
    others all that their hidden states need. Poolers and the like would never learn.

    :raises P2botError: for families whose sentences depend on those beside them.
    """
    if model.config.is_encoder_decoder:
        kind, model = model.config.model_type, model.get_encoder()
        if not isinstance(model, PreTrainedModel):
            raise P2botError(
                f"models of type {kind!r} cannot be an encoder: theirs does not stand alone"
            )
    for name in agreement.check_encoder(model, _knows_segments(model.config))[0]:
        setattr(model, name, None)
    return model


def _knows_segments(config: Any) -> bool:
    return (getattr(config.get_text_config(), "type_vocab_size", 0) or 0) > 1


class SentenceEncoder(Computing):
    """
    A Hugging Face encoder whose token vectors are averaged into one for each sentence.

    [CLS] and [SEP] count as tokens, padding does not.

    :param model: any model that takes ``input_ids`` and ``attention_mask`` and returns a
        ``last_hidden_state``.
    :param budget: tokens that are encoded at once, `TOKENS_AT_ONCE` at most. Of more than these a
        pass with gradients keeps no activations: the backward pass computes them again, piece by
        piece (`pieces`), and the gradient is the same. 0: no limit.
    """

    budget = 0
    model: Any  # transformers' classes have no common type

    def __init__(self, model: Any):
        super().__init__()
        self.model = sentence_part(model)
        if self.max_tokens < FEWEST_TOKENS:
            raise P2botError(
                f"the encoder reads {self.max_tokens} tokens, too few to tell sentences apart "
                f"({FEWEST_TOKENS}): choose another --encoder"
            )

    def layers(self) -> list[nn.Module]:
        return hub.marked_layers(self.model)

    @property
    def hidden_size(self) -> int:
        return self.model.config.get_text_config().hidden_size

    @property
    def max_tokens(self) -> int:
        """Longest sentence in tokens: those of its table of positions, or of its configuration."""
        limit = agreement.check_encoder(self.model, self.knows_segments)[1]
        said = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 0
        return limit or (said if said > 0 else 512)

    @property
    def knows_segments(self) -> bool:
        """Whether the model has embeddings for the two texts of a pair."""
        return _knows_segments(self.model.config)

    def forward(
        self, sentences: Sequence[Sequence[int]], segments: Sequence[Sequence[int]] | None = None
    ) -> Tensor:
        """
        Vectors of sentences, in the order given; encoded by length, so that little is padded.

        :param sentences: token ids, one list each. :param segments: of pairs, 0 or 1 for each
            token; ignored by models without them. :return: (S, d)
        """
        device = self.model.get_input_embeddings().weight.device
        lengths = [len(ids) for ids in sentences]
        chunks = pieces(lengths, min(self.budget or TOKENS_AT_ONCE, TOKENS_AT_ONCE))
        again = 0 < self.budget < sum(lengths) and torch.is_grad_enabled()
        parts = [
            self._encode(
                [sentences[i] for i in chunk],
                device,
                again,
                [segments[i] for i in chunk] if segments and self.knows_segments else None,
            )
            for chunk in chunks
        ]
        if not parts:
            return torch.zeros(0, self.hidden_size, device=device)
        order = torch.tensor([i for chunk in chunks for i in chunk])
        return torch.cat(parts)[moved(order.argsort(), device)]

    def _encode(
        self,
        sentences: Sequence[Sequence[int]],
        device: torch.device,
        again: bool,
        segments: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """:param again: whether the backward pass shall compute it again."""
        ids, mask = pad(sentences, device)
        more = {"token_type_ids": pad(segments, device)[0]} if segments else {}
        if again:
            # with the same adapters, and the same dropout: of the device that the tensors are on
            return checkpoint(as_now(self._read), ids, mask, more, use_reentrant=False)
        return self._read(ids, mask, more)

    def _read(self, ids: Tensor, mask: Tensor, more: dict[str, Tensor]) -> Tensor:
        with self.autocast(ids.device):
            states = self.model(input_ids=ids, attention_mask=mask.long(), **more)
        return mean_pool(states.last_hidden_state.float(), mask)

    def to_json(self) -> dict[str, Any]:
        config = self.model.config.to_dict()
        return {k: v for k, v in config.items() if not k.startswith("_")}


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """
    One vector per sentence: the mean over its real tokens.

    :param states: (S, T, d). :param mask: bool (S, T). :return: (S, d)
    """
    total = states.masked_fill(~mask[..., None], 0.0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)
