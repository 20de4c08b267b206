"""
The released Transmitter: GPT with 38 extra tokens, and a next-utterance head of two rows.

Its parameters have the names and shapes of Hugging Face's 2019 GPT, as `backbones.gpt.GPT` has.
"""

import torch

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.gpt import GPT, GPTConfig
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import Transmitter
from p2bot_parlai.tools.original.reading import Weights

_BODY = "transformer_module.transformer."


def to_transmitter(weights: Weights, tokenizer: P2botTokenizer, head_size: int) -> Transmitter:
    """
    :param tokenizer: GPT's vocabulary plus the special tokens of the released code.
    :param head_size: width of an attention head, which the shapes do not reveal.
    :raises P2botError: if the file has another format or vocabulary.
    """
    body = weights.take_below(_BODY)
    shapes = Weights(body, weights.where)
    embedding = shapes.take("tokens_embed.weight", 2)
    positions = shapes.take("positions_embed.weight", 2)
    layers = {name.split(".")[1] for name in body if name.startswith("h.")}
    # the causal mask, a buffer in the old implementation
    body = {
        name: t for name, t in body.items() if not (name.endswith("attn.bias") and t.dim() == 4)
    }
    _check_vocabulary(weights, embedding, tokenizer)
    width = embedding.shape[1]
    config = GPTConfig(
        vocab_size=len(embedding),
        n_positions=len(positions),
        n_embd=width,
        n_layer=len(layers),
        n_head=weights.heads(width, head_size),
    )
    network = Transmitter(GPT(config))
    weights.load_into(network.backbone, body)

    output = weights.take("transformer_module.lm_head.decoder.weight", 2)
    if not torch.equal(output, embedding):
        raise P2botError(
            f"{weights.where}: the output matrix is not the token embedding, as in GPT"
        )
    head = weights.take("linear.weight", 2)
    if head.shape != (2, width):
        raise P2botError(f"{weights.where}: linear.weight has shape {tuple(head.shape)}")
    with torch.no_grad():
        # p(y = 1) is a softmax over two logits, which is the sigmoid of their difference
        network.next_utterance.weight.copy_(head[1:] - head[:1])
        network.next_utterance.bias.zero_()
    weights.drop("pred_turn_tensor")  # a distance token that the model never reads
    weights.finish()
    return network.eval()


def _check_vocabulary(weights: Weights, embedding, tokenizer: P2botTokenizer) -> None:
    start = weights.take("start_tensor", 1).tolist()
    if len(embedding) != len(tokenizer) or start != [tokenizer.self_]:
        raise P2botError(
            f"{weights.where} was not trained with the vocabulary of --tokenizer: it has "
            f"{len(embedding)} tokens with <start> at {start[0] if start else 'none'}, the "
            f"tokenizer {len(tokenizer)} with <start> at {tokenizer.self_}"
        )
