"""``-m p2bot``: the Transmitter, to be trained supervised and by self-play."""

from collections.abc import Sequence

import torch
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.utils import logging
from torch import Tensor

from p2bot_parlai.agents.frozen import FrozenFiles
from p2bot_parlai.agents.options import selfplay
from p2bot_parlai.agents.selfplay_setup import (
    build_world,
    dialogue_metrics,
    inherit_context_options,
    refuse_broken,
)
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.method.advantages.batch_mean import mean_baseline
from p2bot_parlai.method.advantages.leave_one_out import leave_one_out_baseline
from p2bot_parlai.method.rollouts import Opening, ScoredRollouts
from p2bot_parlai.method.selfplay import SelfPlay, kl_divergence, policy_gradient_loss
from p2bot_parlai.method.transcript import as_text
from p2bot_parlai.method.transmitter import log_likelihood, scatter_to_mask, token_log_likelihood
from p2bot_parlai.parlai_support.batches import Batch


class P2botAgent(TransmitterAgent):
    """
    P²Bot. From ordinary teachers it learns as `TransmitterAgent` does, from
    ``p2bot:selfplay`` by policy gradient (Eq. 4-5); a batch may hold examples of both.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        selfplay.add_selfplay_options(parser, partial_opt)
        return parser

    # ----------------------------------------------------------------- construction
    @staticmethod
    def check_training(opt: Opt) -> None:
        TransmitterAgent.check_training(opt)
        if selfplay.plays(opt):
            selfplay.find_in_zoo(opt)
            selfplay.check_selfplay_options(opt)

    def __init__(self, opt: Opt, shared=None):
        self.playing = selfplay.plays(opt)
        if not shared:
            selfplay.find_in_zoo(opt)
        if self.playing:
            self.smaller = (*self.smaller, "selfplay_turns")
            if not shared:
                inherit_context_options(opt)
        self.world: SelfPlay | None = shared["world"] if shared else None
        self.files: FrozenFiles = shared["files"] if shared else FrozenFiles()
        self._head_was_trained = False
        super().__init__(opt, shared)
        if shared:
            self.has_next_utterance = shared["has_next_utterance"]
        elif self.playing and all(map(selfplay.is_selfplay, opt["task"].split(","))):
            self.has_next_utterance = self._head_was_trained  # it learns from others alone

    def begin_training(self) -> None:
        """Called when the agent is built: load the frozen models now, not at the first batch."""
        if self.playing:
            self.world = build_world(self, learning=True)

    def set_stage(self) -> None:
        """
        Load what self-play needs, where it is not there yet: a model file does not say what
        it will be used for, and in evaluation its options are still those of training.
        """
        if self.world is None:
            selfplay.check_rewards(self.opt)
            self.world = build_world(self, learning=False)

    def load(self, path: str) -> dict:
        states = super().load(path)
        self._head_was_trained = states["p2bot"].get("next_utterance", True)
        # another model's self-play is over: a run that begins here has frozen models of its own
        resumed = path in (self.opt.get("model_file"), f"{self.opt.get('model_file')}.checkpoint")
        self.files = FrozenFiles(states["p2bot"].get("selfplay") if resumed else None)
        return states

    def state_dict(self) -> dict:
        states = super().state_dict()
        states["p2bot"]["selfplay"] = self.files.to_json()
        return states

    def share(self):
        own = {"world": self.world, "files": self.files}
        return {**super().share(), **own, "has_next_utterance": self.has_next_utterance}

    # ------------------------------------------------------ two kinds of examples
    def batchify(self, obs_batch, sort=False) -> Batch:
        """
        Self-play apart from ordinary examples: ``openings`` of the batch come first, then
        the rows of ``spoken``, a batch of the others.
        """
        plays = [i for i, obs in enumerate(obs_batch) if "opening" in obs]
        if not plays:
            return super().batchify(obs_batch, sort=sort)
        self.set_stage()
        others = [i for i in range(len(obs_batch)) if i not in set(plays)]
        spoken = super().batchify([obs_batch[i] for i in others], sort=sort)
        rows = [others[i] for i in spoken.valid_indices] if spoken.batchsize else []
        batch = Batch(
            batchsize=len(plays) + spoken.batchsize,
            is_training=any(obs_batch[i]["learn"] for i in plays),
            valid_indices=torch.tensor([*plays, *rows]),
        )
        batch["openings"] = [Opening(**obs_batch[i]["opening"]) for i in plays]
        batch["spoken"] = spoken
        return batch

    def train_step(self, batch: Batch):
        if "openings" not in batch:
            if not self.playing:
                return super().train_step(batch)
            batch = Batch(batchsize=batch.batchsize, openings=[], spoken=batch)
        judged = self.play(batch.openings) if batch.openings else None
        self.zero_grad()
        loss = self._supervised_loss(batch.spoken)
        self._pad_metrics(len(batch.openings))
        ordinary = len(batch.spoken.valid_indices) if batch.spoken.batchsize else 0
        loss = loss + self.opt["rl_coef"] * self._selfplay_loss(judged, ordinary)
        self.backward(loss)
        self.update_params()
        every = self.opt["show_dialogue_every"]
        updated = self._number_grad_accum == 0  # --update-freq: every so many batches
        if judged and every and updated and self._number_training_updates % every == 0:
            logging.info("\n" + as_text(judged.transcript(0)))
        return None

    def eval_step(self, batch: Batch):
        """Play without learning: the rewards are the metrics."""
        if "openings" not in batch:
            return super().eval_step(batch)
        if batch.spoken.batchsize:
            raise RuntimeError("ParlAI never evaluates two tasks in one batch")
        judged = self.play(batch.openings)
        with torch.no_grad():
            _, divergence = self._score(judged)
        self._record(dialogue_metrics(judged, divergence), 0)
        return None

    # -------------------------------------------------------------------- the loss
    def play(self, openings: Sequence[Opening]) -> ScoredRollouts:
        """Dialogues with their rewards; the agent of the world is this one's network."""
        judged = self.world.score(self.world.play(openings))
        refuse_broken(judged, self.opt.get("model_file"))
        return judged

    def _supervised_loss(self, spoken: Batch) -> Tensor:
        if spoken.batchsize:
            self.model.train()
            return self.compute_loss(spoken)
        # every process takes part in the sums over all, whatever its batch holds
        for _ in range(1 + (self.nup_coef > 0)):
            self._share_of_all(torch.zeros((), device=self.device))
        return torch.zeros((), device=self.device)

    def _selfplay_loss(self, judged: ScoredRollouts | None, ordinary: int) -> Tensor:
        """Mean of Eq. 5's terms over the responses of all processes, and the KL anchor's."""
        rewards = judged.total.flatten() if judged else torch.zeros(0)
        rewards = rewards.to(self.device)
        total = self._sum_of_all(rewards.sum())
        count = self._sum_of_all(torch.tensor(float(len(rewards)), device=self.device))
        share = self._share_of_all(torch.tensor(float(len(rewards)), device=self.device))
        if judged is None:
            return torch.zeros((), device=self.device)
        if self.opt["rl_baseline"] == "mean":
            baseline = mean_baseline(total, count)
        else:
            baseline = leave_one_out_baseline(rewards, total, count)
        log_p, divergence = self._score(judged)
        terms = policy_gradient_loss(log_p, rewards, baseline)
        terms = terms + self.opt["kl_coef"] * divergence
        metrics = dialogue_metrics(judged, divergence.detach())
        metrics["rl_loss"] = terms.detach().view(judged.played.shape).mean(dim=1).tolist()
        self._record(metrics, ordinary)
        return terms.sum() / share

    def _score(self, judged: ScoredRollouts) -> tuple[Tensor, Tensor]:
        """
        log p(a | s) of every sampled response (M,), with gradients, and its KL divergence
        from the supervised model (M,), summed over tokens.

        Contexts, masks and the missing dropout are those of sampling.
        """
        self.model.eval()
        packed, hidden, _ = self.world.reading(judged.played)
        logits, cls_scores = self.model(packed)
        mask = packed.target_mask
        scores = scatter_to_mask(token_log_likelihood(logits, packed.targets[mask]), mask)
        with torch.no_grad():
            reference = self.world.user.output(hidden[packed.target_index[mask]])
        # most of the vocabulary's memory: where it is only reported no gradients are kept
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.opt["kl_coef"] > 0):
            divergence = kl_divergence(
                logits.float().log_softmax(dim=-1), reference.float().log_softmax(dim=-1)
            )
        # 0 times the head's scores keeps it in the graph of every worker
        log_p = log_likelihood(scores, mask) + 0 * cls_scores
        return log_p, scatter_to_mask(divergence, mask).sum(dim=-1)

    def _sum_of_all(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            value = value.clone()
            torch.distributed.all_reduce(value)
        return value

    # --------------------------------------------------------------------- metrics
    def _record(self, metrics: dict[str, list[float]], ordinary: int) -> None:
        """One entry an example: the plays come first, then nothing for the others."""
        for name, values in metrics.items():
            own = AverageMetric.many(values)
            self.record_local_metric(name, [*own, *[None] * ordinary])

    def _pad_metrics(self, plays: int) -> None:
        """What was measured on the ordinary examples gets nothing for the plays."""
        for name, values in self._local_metrics.items():
            self._local_metrics[name] = [*[None] * plays, *values]
