"""The same work as `released.Naive`, as the agent of the package does it."""

import torch
from parlai.core.opt import Opt
from parlai.core.torch_agent import Batch
from torch import Tensor

from p2bot_parlai.agents.scoring import Responder
from p2bot_parlai.agents.whole_dialogues import ReadTurn
from p2bot_parlai.method.advantages import ESTIMATORS
from p2bot_parlai.method.backbones.precision import keep_casts
from p2bot_parlai.method.layout import Turn, pack
from p2bot_parlai.method.selfplay import policy_gradient_loss
from p2bot_parlai.method.speakers import Speakers
from p2bot_parlai.method.transmitter import log_likelihood, scatter_to_mask, token_log_likelihood


class Ours:
    """:param agent: from `setting.build_agent`."""

    def __init__(self, agent):
        self.agent, self.network, self.tokens = agent, agent.network, agent.dict.p2bot

    # ------------------------------------------------------------------------ training
    def batch(self, dialogues: list[list[Turn]]) -> Batch:
        self.agent._local_metrics.clear()
        rows = [[ReadTurn(turn, len(turn.response)) for turn in turns] for turns in dialogues]
        batch = self.agent.reader.batch(rows, list(range(len(rows))))
        return batch.to(self.network.device) if self.agent.use_cuda else batch

    def loss(self, dialogues: list[list[Turn]]) -> Tensor:
        return self.agent.compute_loss(self.batch(dialogues))

    def train(self, dialogues: list[list[Turn]]) -> None:
        """Batch, metrics, clipping and update included."""
        self.agent.train_step(self.batch(dialogues))

    # ------------------------------------------------------------------------- ranking
    @torch.no_grad()
    def rank(self, context: list[int], candidates: list[list[int]]) -> Tensor:
        ids = torch.tensor([context], device=self.network.device)
        states = self.network.encode_context(ids, torch.ones_like(ids, dtype=torch.bool))
        return self.agent.responder.score(states, [candidates], "next-utterance")[0]

    # ------------------------------------------------------------------------ decoding
    @torch.no_grad()
    def beam(self, contexts: list[list[int]], length: int, width: int = 2) -> list[list[int]]:
        """Re-ranking by Eq. 3 included. The last token, where nothing ended, is [EOS]."""
        ids = torch.tensor(contexts, device=self.network.device)
        with keep_casts(ids.device):
            states = self.network.eval().encode_context(ids, torch.ones_like(ids, dtype=torch.bool))
            opt = Opt({**self.agent.opt, "beam_size": width, "label_truncate": length})
            said = [[] for _ in contexts]
            best, _ = Responder(self.network, self.agent.dict, opt).respond(states, ids, said)
        return [tokens.tolist()[1:] for tokens, *_ in best]

    # ----------------------------------------------------------------------- self-play
    @torch.no_grad()
    def sample(
        self, heads: list[list[int]], said: list[list[list[int]]], uniforms: Tensor
    ) -> tuple[list[list[Turn]], list[Tensor]]:
        """As `released.Naive.sample`: only what is new is read."""
        limit = self.agent.text_truncate
        speakers = Speakers(self.network.eval(), self.tokens, heads, limit)
        played, scores = [], []
        with keep_casts(speakers.network.device):
            for heard, numbers in zip(said, uniforms, strict=True):
                speakers.hear([self.tokens.decode(block) for block in heard])
                contexts = speakers.contexts()
                responses, found = speakers.sample(numbers)
                played.append([Turn(*pair) for pair in zip(contexts, responses, strict=True)])
                scores.append(found)
        return played, scores

    def policy_gradient(self, played: list[list[Turn]], rewards: Tensor) -> Tensor:
        """As `released.Naive.policy_gradient`: all turns of a dialogue in one row."""
        self.agent.zero_grad()
        turns = [turn for dialogue in zip(*played, strict=True) for turn in dialogue]
        packed = pack(turns, self.tokens.marks).to(self.network.device)
        logits, _ = self.network(packed)
        mask = packed.target_mask
        scores = scatter_to_mask(token_log_likelihood(logits, packed.targets[mask]), mask)
        log_p = log_likelihood(scores, mask)
        advantages = ESTIMATORS["mean"](rewards.T, torch.arange(rewards.shape[1]))  # (B, N)
        # turn n of dialogue b is b * N + n
        advantages = advantages.flatten().to(log_p.device)
        policy_gradient_loss(log_p, advantages).mean().backward()
        return log_p.detach().view(rewards.shape[1], rewards.shape[0]).T
