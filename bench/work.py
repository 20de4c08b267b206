"""The four works that are timed: what a run is, and that both sides come to the same."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from ours import Ours
from released import Naive
from setting import Data, Size, build_agent

from p2bot_parlai.method.backbones.precision import set_computing

# both sides in fp32; where ours is in bf16 its results are checked before, in fp32
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@dataclass
class Work:
    """
    :param unit: what is counted, ``count`` of which a run does.
    :param tokens: of a run: those that are generated, or those of the examples, each with
        its whole context.
    :param run: by side, ``naive`` or ``ours``. :param check: raises where they differ.
    :param naive_share: of the work that the reference does in its run. It reads every row by
        itself, so its time is a sum over rows: a part of them is timed, and scaled.
    """

    name: str
    unit: str
    count: int
    tokens: int
    run: dict[str, Callable[[], object]]
    check: Callable[[], None]
    naive_share: float = 1.0


class Works:
    """Both sides at one size, and their works by name."""

    NAMES = ("training", "ranking", "beam", "self-play")

    def __init__(self, size: Size, precision: str = "fp32", naive_rows: int | None = None):
        """:param naive_rows: contexts decoded, dialogues played by the reference; None: all."""
        self.size, self.naive_rows = size, naive_rows
        agent = build_agent(size, precision)
        self.ours = Ours(agent)
        network = copy.deepcopy(self.ours.network)
        set_computing(network, "fp32")
        self.naive = Naive(network, self.ours.tokens, agent.opt["learningrate"])
        self.data = Data(size, self.ours.tokens)

    def get(self, name: str) -> Work:
        made = {
            "training": self._training,
            "ranking": self._ranking,
            "beam": self._beam,
            "self-play": self._selfplay,
        }
        return made[name]()

    def _training(self) -> Work:
        dialogues = [self.data.dialogue()]
        turns = [turn for turns in dialogues for turn in turns]

        def check():
            found = []
            for side in (self.naive, self.ours):
                side.network.zero_grad()
                loss = side.loss(dialogues)
                loss.backward()
                found.append([loss.detach(), *(p.grad for p in side.network.parameters())])
                side.network.zero_grad()
            _same(*found)

        return Work(
            "training",
            "examples",
            len(turns),
            sum(len(turn.context) + 1 + len(turn.response) for turn in turns),
            self._sides(lambda side: side.train(dialogues)),
            check,
        )

    def _ranking(self) -> Work:
        context = self.data.context()
        candidates = [self.data.response() for _ in range(self.size.candidates)]
        return Work(
            "ranking",
            "contexts",
            1,
            sum(len(context) + len(candidate) + 2 for candidate in candidates),
            self._sides(lambda side: side.rank(context, candidates)),
            lambda: _same(
                [self.naive.rank(context, candidates)], [self.ours.rank(context, candidates)]
            ),
        )

    def _beam(self) -> Work:
        contexts = [self.data.context() for _ in range(self.size.batch)]
        length = self.size.decoded
        some = contexts[: self.naive_rows]

        def check():
            naive, ours = self.naive.beam(some, length), self.ours.beam(contexts, length)
            ours = ours[: len(some)]
            if [ids[:-1] for ids in naive] != [ids[:-1] for ids in ours]:
                raise AssertionError("beam search found other responses")

        return Work(
            "beam",
            "responses",
            len(contexts),
            len(contexts) * length,
            {
                "naive": lambda: self.naive.beam(some, length),
                "ours": lambda: self.ours.beam(contexts, length),
            },
            check,
            len(some) / len(contexts),
        )

    def _selfplay(self) -> Work:
        """Sampling, and the gradient of what was sampled; rewards are given."""
        size = self.size
        heads, said = self.data.heads(), self.data.said()
        generator = torch.Generator().manual_seed(0)
        uniforms = torch.rand(size.turns, size.dialogues, size.decoded, generator=generator)
        rewards = torch.rand(size.turns, size.dialogues, generator=generator)

        rows = min(self.naive_rows or size.dialogues, size.dialogues)
        everything = heads, said, uniforms, rewards
        some = heads[:rows], [turn[:rows] for turn in said], uniforms[:, :rows], rewards[:, :rows]

        def run(side, heads, said, uniforms, rewards):
            side.policy_gradient(side.sample(heads, said, uniforms)[0], rewards)

        def check():
            """
            A token is drawn where a sum over the vocabulary reaches a number, so the last bit
            may decide: what both sides must agree on are the probabilities of what ours drew.
            """
            heads, said, uniforms, rewards = some
            played, scores = self.ours.sample(heads, said, uniforms)
            sampled = torch.stack([part.sum(dim=1) for part in scores])
            found = []
            for side in (self.naive, self.ours):
                log_p = side.policy_gradient(played, rewards)
                grads = [p.grad for p in side.network.backbone.parameters()]
                found.append([log_p, *grads])
            _same(*found)
            _same([found[0][0]], [sampled])
            played, scores = self.naive.sample(heads, said, uniforms)
            again = self.naive.policy_gradient(played, rewards)
            _same([again], [torch.stack([part.sum(dim=1) for part in scores])])

        return Work(
            "self-play",
            "turns of a dialogue",
            size.turns * size.dialogues,
            size.turns * size.dialogues * size.decoded,
            {"naive": lambda: run(self.naive, *some), "ours": lambda: run(self.ours, *everything)},
            check,
            rows / size.dialogues,
        )

    def _sides(self, run) -> dict[str, Callable[[], object]]:
        return {"naive": lambda: run(self.naive), "ours": lambda: run(self.ours)}


def _same(first, second) -> None:
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu(), **CLOSE)
