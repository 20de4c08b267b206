"""
The algorithm of the original release, written afresh, on the same network as ours.

Every context is read again for every generated token, every candidate and every turn; an
example is a row of its own; nothing is cached; every position gets its vocabulary logits.
It is fairer than the original in one way: layers and attention are our fused ones.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from p2bot_parlai.method.layout import Turn
from p2bot_parlai.method.speakers import draw
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import Transmitter


class Naive:
    """:param network: whose weights are used, and learnt."""

    def __init__(self, network: Transmitter, tokenizer: P2botTokenizer, learning_rate: float):
        self.network, self.tokens, self.device = network, tokenizer, network.device
        self.optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)

    def put(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, device=self.device)

    def read(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Hidden states (B, T, D) and logits (B, T, V) of rows, padded behind their ends."""
        ids = pad_sequence([self.put(row) for row in rows], batch_first=True)
        size, length = ids.shape
        causal = ids.new_ones(length, length, dtype=torch.bool).tril().expand(size, -1, -1)
        hidden = self.network.backbone(ids, self.put(range(length)).expand(size, -1), causal)
        return hidden, self.network.output(hidden)

    # ------------------------------------------------------------------------ training
    def loss(self, dialogues: list[list[Turn]]) -> Tensor:
        """Response and distractor of each turn in rows of their own."""
        turns = [turn for turns in dialogues for turn in turns]
        own, cls = self.tokens.self_, self.tokens.cls
        rows = [[*turn.context, own, *turn.response, cls] for turn in turns]
        rows += [[*turn.context, own, *turn.distractors[0], cls] for turn in turns]
        hidden, logits = self.read(rows)
        losses = []
        for row, turn in enumerate(turns):
            start = len(turn.context)
            predicted = logits[row, start : start + len(turn.response)]
            losses.append(
                functional.cross_entropy(predicted, self.put(turn.response), reduction="none")
            )
        ends = torch.tensor([len(row) - 1 for row in rows])
        scores = self.network.next_utterance(hidden[torch.arange(len(rows)), ends]).squeeze(-1)
        right = torch.cat([scores.new_ones(len(turns)), scores.new_zeros(len(turns))])
        next_utterance = functional.binary_cross_entropy_with_logits(scores, right)
        return torch.cat(losses).mean() + next_utterance

    def train(self, dialogues: list[list[Turn]]) -> None:
        self.optimizer.zero_grad()
        self.loss(dialogues).backward()
        self.step()

    def step(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()

    # ------------------------------------------------------------------------- ranking
    @torch.no_grad()
    def rank(self, context: list[int], candidates: list[list[int]]) -> Tensor:
        """log p(y = 1) of each candidate, behind a context of its own: (C,)."""
        own, cls = self.tokens.self_, self.tokens.cls
        hidden, _ = self.read([[*context, own, *candidate, cls] for candidate in candidates])
        ends = torch.tensor([len(context) + len(candidate) + 1 for candidate in candidates])
        scores = self.network.next_utterance(hidden[torch.arange(len(candidates)), ends])
        return functional.logsigmoid(scores.squeeze(-1))

    # ------------------------------------------------------------------------ decoding
    @torch.no_grad()
    def beam(self, contexts: list[list[int]], length: int, width: int = 2) -> list[list[int]]:
        """The likeliest of ``width`` hypotheses of ``length`` tokens, none of which ends."""
        rows = [[*context, self.tokens.self_] for context in contexts for _ in range(width)]
        start = len(contexts[0]) + 1  # all are of one length
        totals = torch.full((len(contexts), width), -torch.inf, device=self.device)
        totals[:, 0] = 0.0  # they are alike at the first step
        for _ in range(length):
            log_p = self.read(rows)[1][:, -1].log_softmax(dim=-1)
            log_p[:, self.tokens.eos] = -torch.inf
            vocabulary = log_p.shape[1]
            scores = (totals.view(-1, 1) + log_p).view(len(contexts), -1)
            totals, best = scores.topk(width, dim=1)
            rows = [
                [*rows[width * i + int(place) // vocabulary], int(place) % vocabulary]
                for i, places in enumerate(best)
                for place in places
            ]
        return [rows[width * i][start:] for i in range(len(contexts))]

    # ----------------------------------------------------------------------- self-play
    @torch.no_grad()
    def sample(
        self, heads: list[list[int]], said: list[list[list[int]]], uniforms: Tensor
    ) -> tuple[list[list[Turn]], list[Tensor]]:
        """
        Play the turns of B dialogues.

        :param heads: B personas. :param said: N turns of B utterances, as blocks of ids.
        :param uniforms: (N, B, R) in [0, 1).
        :return: N lists of B turns, and N tensors (B, R) of log-probabilities.
        """
        contexts, played, scores = list(heads), [], []
        for heard, numbers in zip(said, uniforms, strict=True):
            contexts = [[*context, *block] for context, block in zip(contexts, heard, strict=True)]
            responses = [[] for _ in contexts]
            found = torch.zeros(numbers.shape)
            for step in range(numbers.shape[1]):
                alive = [b for b, r in enumerate(responses) if self.tokens.eos not in r]
                if not alive:
                    break
                rows = [[*contexts[b], self.tokens.self_, *responses[b]] for b in alive]
                ends = torch.tensor([len(row) - 1 for row in rows])
                logits = self.read(rows)[1][torch.arange(len(rows)), ends]
                log_p = logits.log_softmax(dim=-1)
                tokens = draw(log_p, numbers[alive, step].to(self.device))
                found[alive, step] = log_p.gather(1, tokens[:, None]).squeeze(1).cpu()
                for b, token in zip(alive, tokens.tolist(), strict=True):
                    responses[b].append(token)
            played.append([Turn(*pair) for pair in zip(contexts, responses, strict=True)])
            scores.append(found)
            contexts = [
                [*c, self.tokens.self_, *r, *[self.tokens.eos] * (r[-1] != self.tokens.eos)]
                for c, r in zip(contexts, responses, strict=True)
            ]
        return played, scores

    def policy_gradient(self, played: list[list[Turn]], rewards: Tensor) -> Tensor:
        """
        Gradients of the mean of -(R - b) log p(a | s), turn by turn, left in the weights.

        :param rewards: (N, B). :return: log p(a | s), (N, B).
        """
        self.optimizer.zero_grad()
        advantages = (rewards - rewards.mean()).to(self.device)
        found = []
        for turns, advantage in zip(played, advantages, strict=True):
            rows = [[*turn.context, self.tokens.self_, *turn.response] for turn in turns]
            log_p = self.read(rows)[1].log_softmax(dim=-1)
            sums = []
            for row, turn in enumerate(turns):
                places = self.put(range(len(turn.response))) + len(turn.context)
                sums.append(log_p[row, places, self.put(turn.response)].sum())
            (-(advantage * torch.stack(sums)).sum() / rewards.numel()).backward()
            found.append(torch.stack(sums).detach())
        return torch.stack(found)
