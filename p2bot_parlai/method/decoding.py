"""
The loop over the tokens of a response. B rows, b of them unfinished, K hypotheses each, S cached
slots.

- Finished rows leave the batch.
- The hypotheses of a row share one cache. What tells them apart is a mask: each sees its
  context and the tokens that it descends from. So no cache is multiplied by the beam size,
  and none is reordered when hypotheses change places.
- The first token is predicted once per row: all its hypotheses begin alike.
- The device is waited for once a token: which rows are done.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from p2bot_parlai.method.devices import moved
from p2bot_parlai.method.kv_cache import ContextStates
from p2bot_parlai.method.searches import Search
from p2bot_parlai.method.transmitter import Transmitter


@torch.no_grad()
def decode(
    network: Transmitter,
    states: ContextStates,
    search: Search,
    start: int,
    longest: int,
    log_p: Callable[[Tensor], Tensor],
) -> Iterator[tuple[Tensor, Tensor]]:
    """
    Advance a search until every row is done, ``longest`` tokens at most.

    :param states: B encoded contexts. :param start: the token before a response.
    :param log_p: from hidden states (b, K, D) to log-probabilities (b, K, V).
    :return: of each step its rows (b,), on the CPU, and their tokens (b, K).
    """
    going = torch.arange(len(states.valid), device=states.valid.device)  # rows that are not done
    rows = torch.arange(len(going))  # the same, on the CPU
    tokens = torch.full_like(going, start)[:, None]
    seen = states.valid[:, None]
    for _ in range(longest):
        hidden, states = network.step(states, tokens, seen)
        itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=going.device)
        seen = torch.cat([seen, itself.expand(len(going), -1, -1)], dim=2)
        tokens, parents, done = search.advance(log_p(hidden), going)
        yield rows, tokens
        left = (~done.cpu()).nonzero()[:, 0]
        if not len(left):
            return
        if len(left) < len(going):
            rows, states = rows[left], states.select(left)
            left = moved(left, going.device)
            going, tokens, parents, seen = (x[left] for x in (going, tokens, parents, seen))
        # each hypothesis sees what the one that it goes on from has seen
        seen = seen.expand(-1, tokens.shape[1], -1)
        seen = seen.gather(1, parents[:, :, None].expand(-1, -1, seen.shape[2]))
