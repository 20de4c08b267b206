"""
One side of a batch of dialogues in self-play (paper, section 3.2, Figure 4).

`Speakers` keep what each speaker has read and said, as ids and as cached states of the
Transmitter: a turn reads only what is new.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from p2bot_parlai.method.context import fit_context
from p2bot_parlai.method.devices import moved
from p2bot_parlai.method.kv_cache import ContextMemory, ContextStates
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import Transmitter


class Speakers:
    """
    The same speaker of B dialogues that are played together.

    :param network: the Transmitter that reads and speaks.
    :param tokenizer: its tokenizer.
    :param heads: B personas as ids, see `p2bot_parlai.method.context.persona_tokens`.
    :param limit: of a context in tokens (``--text-truncate``).
    :param history_size: newest turns that it keeps (``--history-size``); all if below 1.
    """

    def __init__(
        self,
        network: Transmitter,
        tokenizer: P2botTokenizer,
        heads: Sequence[list[int]],
        limit: int,
        history_size: int = -1,
    ):
        self.network, self.tokenizer = network, tokenizer
        self.heads, self.limit, self.history_size = heads, limit, history_size
        self.blocks: list[list[list[int]]] = [[] for _ in heads]
        self.said: list[list[list[int]]] = [[] for _ in heads]  # own responses alone, without [EOS]
        self._memory = ContextMemory()

    def hear(self, utterances: Sequence[str]) -> None:
        """The partner's utterances, one per dialogue; an empty one is none, as in a chat."""
        for blocks, text in zip(self.blocks, utterances, strict=True):
            if text:
                blocks.append(self.tokenizer.marks.partner_turn(self.tokenizer.encode(text)))

    def say(self, responses: Sequence[list[int]]) -> None:
        """The speaker's responses: ids, with or without [EOS] at their end."""
        marks = self.tokenizer.marks
        for blocks, said, ids in zip(self.blocks, self.said, responses, strict=True):
            said.append(marks.words(ids))
            blocks.append(marks.own_turn(said[-1]))

    def contexts(self, whole: bool = False) -> list[list[int]]:
        """
        The state s_n of each dialogue, as ids: the same as in a chat.

        :param whole: without the limit.
        """
        newest = slice(-self.history_size, None) if self.history_size > 0 else slice(None)
        return [
            fit_context(head, blocks[newest], None if whole else self.limit, self.tokenizer).ids
            for head, blocks in zip(self.heads, self.blocks, strict=True)
        ]

    def states(self) -> ContextStates:
        """The encoded contexts; what an earlier turn has read is not read again."""
        return self._memory.read(self.network, dict(enumerate(self.contexts())))

    @torch.no_grad()
    def sample(self, uniforms: Tensor) -> tuple[list[list[int]], Tensor]:
        """
        Respond, token by token, by multinomial sampling over the full softmax.

        :param uniforms: random numbers (B, R) in [0, 1), one per token, so that a dialogue does
            not depend on the rest of the batch. R is the limit of a response.
        :return: ids of each response, with [EOS] if it was sampled, and the sampled tokens'
            log-probabilities (B, R), 0 after the end.
        """
        size, longest = uniforms.shape
        contexts, states = self.contexts(), self.states()
        device = self.network.device
        uniforms = moved(uniforms, device)
        newest = torch.full((size, 1), self.tokenizer.self_, device=device)
        speaking = torch.arange(size)  # the unfinished rows
        rows = moved(speaking, device)
        ended: list[tuple[torch.Tensor, ContextStates]] = []
        responses: list[list[int]] = [[] for _ in range(size)]
        scores = []
        for step in range(longest):
            there = torch.ones_like(newest, dtype=torch.bool)
            hidden, states = self.network.extend(states, newest, there)
            log_p = self.network.output(hidden[:, -1]).float().log_softmax(dim=-1)
            token = draw(log_p, uniforms[rows, step])
            own = log_p.gather(1, token[:, None]).squeeze(1)
            scores.append(own.new_zeros(size).index_copy(0, rows, own))
            words = token.cpu()  # all that is waited for
            for row, word in zip(speaking.tolist(), words.tolist(), strict=True):
                responses[row].append(word)
            going = words != self.tokenizer.eos
            if not going.all():  # finished rows leave the batch, with their states
                gone, left = (~going).nonzero()[:, 0], going.nonzero()[:, 0]
                ended.append((speaking[gone], states.select(gone)))
                states, speaking = states.select(left), speaking[left]
                left = moved(left, device)
                rows, token = rows[left], token[left]
            if len(speaking) == 0:
                break
            newest = token[:, None]
        ended.append((speaking, states))
        order = torch.cat([rows for rows, _ in ended])
        states = ContextStates.join([part for _, part in ended]).select(order.argsort())
        # the newest token of each row, [EOS] or the last within the limit, was not read
        read = [
            [*context, self.tokenizer.self_, *response[:-1]]
            for context, response in zip(contexts, responses, strict=True)
        ]
        self._memory.remember(self.network, dict(enumerate(read)), states)
        self.say(responses)
        return responses, torch.stack(scores, dim=1)


def draw(log_p: Tensor, uniform: Tensor) -> Tensor:
    """
    Sample by inverting the cumulative distribution.

    :param log_p: (B, V). :param uniform: (B,) in [0, 1). :return: int (B,)
    """
    cumulative = log_p.double().exp().cumsum(dim=-1)
    wanted = uniform.double()[:, None] * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, wanted, right=True).squeeze(1)
    return index.clamp(max=log_p.shape[1] - 1)
