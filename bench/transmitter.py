"""
What reading the context once saves, against reading it again for everything.

    python bench/transmitter.py [--layers 4 --width 256] [--pairs 5]

Ranking: 20 candidates of 16 tokens behind a context of 150. Decoding: 32 tokens, greedy.
Both sides are the same network on the same input, timed in turns; the figure is the median
ratio of the pairs.
"""

import argparse
import statistics
import time

import torch

from p2bot_parlai.backbones import GPT, GPTConfig
from p2bot_parlai.transmitter import Transmitter, lay_out

CONTEXT, RESPONSE, CANDIDATES, DECODED = 150, 16, 20, 32
SELF, EOS, CLS, PAD = 1, 2, 3, 0


def plain_hidden(model: Transmitter, ids: torch.Tensor) -> torch.Tensor:
    """Everything at once, nothing cached."""
    rows, length = ids.shape
    mask = torch.ones(length, length, dtype=torch.bool).tril().expand(rows, -1, -1)
    return model.backbone(ids, torch.arange(length).expand(rows, -1), mask)


def rank_plain(model, context, responses):
    """Each candidate behind a context of its own."""
    scores = []
    for response in responses:
        ids = torch.tensor([[*context, SELF, *response, CLS]])
        scores.append(model.next_utterance(plain_hidden(model, ids)[0, -1]))
    return torch.cat(scores)


def rank_shared(model, context, responses):
    ids = torch.tensor([context])
    states = model.encode_context(ids, torch.ones_like(ids, dtype=torch.bool))
    return model.read_branches(states, lay_out([responses], SELF, CLS, PAD))[1]


def decode_plain(model, context):
    ids = [*context, SELF]
    for _ in range(DECODED):
        hidden = plain_hidden(model, torch.tensor([ids]))[0, -1]
        ids.append(int(model.output(hidden).argmax()))
    return ids[len(context) + 1 :]


def decode_cached(model, context):
    ids = torch.tensor([context])
    states = model.encode_context(ids, torch.ones_like(ids, dtype=torch.bool))
    token, decoded = torch.tensor([[SELF]]), []
    for _ in range(DECODED):
        hidden, states = model.extend(states, token, torch.ones_like(token, dtype=torch.bool))
        token = model.output(hidden[:, -1]).argmax(-1, keepdim=True)
        decoded.append(int(token))
    return decoded


def ratio(slow, fast, pairs: int) -> float:
    """Median of slow / fast over runs in turns, after one unmeasured pair."""

    def seconds(function):
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    slow(), fast()
    return statistics.median(seconds(slow) / seconds(fast) for _ in range(pairs))


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=8000, n_embd=args.width, n_layer=args.layers, n_head=4)
    model = Transmitter(GPT(config)).eval()
    context = torch.randint(4, 8000, (CONTEXT,)).tolist()
    responses = [
        [*torch.randint(4, 8000, (RESPONSE - 1,)).tolist(), EOS] for _ in range(CANDIDATES)
    ]
    torch.testing.assert_close(
        rank_plain(model, context, responses),
        rank_shared(model, context, responses),
        atol=1e-4,
        rtol=0,
    )
    assert decode_plain(model, context) == decode_cached(model, context)
    ranking = ratio(
        lambda: rank_plain(model, context, responses),
        lambda: rank_shared(model, context, responses),
        args.pairs,
    )
    decoding = ratio(
        lambda: decode_plain(model, context), lambda: decode_cached(model, context), args.pairs
    )
    print(f"{args.layers} layers, width {args.width}, {torch.get_num_threads()} threads, fp32")
    print(f"ranking {CANDIDATES} candidates: {ranking:5.1f} times the plain speed")
    print(f"decoding {DECODED} tokens:       {decoding:5.1f} times the plain speed")


if __name__ == "__main__":
    main()
