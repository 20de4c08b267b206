"""``-m p2bot``: the Transmitter, trained supervised and by self-play."""

from collections.abc import Sequence

import torch
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.utils import logging
from parlai.utils.distributed import num_workers
from torch import Tensor

from p2bot_parlai.agents.batches import P2botBatch, SelfPlayBatch
from p2bot_parlai.agents.learning import sum_over_processes
from p2bot_parlai.agents.options import adapters, selfplay
from p2bot_parlai.agents.selfplay_setup import FrozenFiles, SelfPlaySetup
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.advantages.batch_mean import mean_baseline
from p2bot_parlai.method.advantages.leave_one_out import leave_one_out_baseline
from p2bot_parlai.method.rewards import combine, standardise
from p2bot_parlai.method.rollouts import Opening, ScoredRollouts
from p2bot_parlai.method.selfplay import policy_gradient_loss, reread
from p2bot_parlai.method.transcript import as_text
from p2bot_parlai.parlai_support.batches import Batch


class P2botAgent(TransmitterAgent):
    """
    P²Bot. From ordinary teachers it learns as `TransmitterAgent` does, from
    ``p2bot:selfplay`` by policy gradient (Eq. 4-5); a batch may hold examples of both.
    """

    OPTIONS = (*TransmitterAgent.OPTIONS, selfplay.add_selfplay_options)

    # ----------------------------------------------------------------- construction
    @classmethod
    def check_training(cls, opt: Opt) -> None:
        super().check_training(opt)
        if selfplay.plays(opt):
            selfplay.find_in_zoo(opt)
            selfplay.check_selfplay_options(opt)

    def __init__(self, opt: Opt, shared=None):
        self.plays = selfplay.plays(opt)
        if self.plays:
            self.smaller = (*self.smaller, "selfplay_turns")
        if not shared:
            selfplay.find_in_zoo(opt)
        super().__init__(opt, shared)
        self.selfplay: SelfPlaySetup = shared["selfplay"] if shared else self._set_up()

    def _set_up(self) -> SelfPlaySetup:
        model, files = self.opt.get("model_file"), None
        # a run that starts from another model has frozen models of its own
        if self.saved and self.saved.path in (model, f"{model}.checkpoint"):
            files = self.saved.about.get("selfplay")
        return SelfPlaySetup(
            self.opt, self.network, self.dict, self.has_next_utterance, FrozenFiles(files)
        )

    @staticmethod
    def trains_head(opt: Opt) -> bool:
        """Self-play alone trains none."""
        return TransmitterAgent.trains_head(opt) and not selfplay.only_plays(opt)

    def stacks_adapter(self) -> bool:
        """Self-play that starts from a model of adapters leaves them to the user."""
        adapted = self.saved and self.saved.about["options"].get("adapter") == "lora"
        return bool(self.plays and self.is_finetune and adapted)

    def load(self, path: str) -> dict:
        states = super().load(path)
        if self.stacks_adapter():
            shape = adapters.shape_of(self.opt, adapters.SELFPLAY_RANK)
            self.network.backbone.add(*shape)
        return states

    def begin_training(self) -> None:
        """Called after the agent is built: load the frozen models before the first batch."""
        if self.plays:
            self.selfplay.begin_training()

    def describe(self) -> dict:
        return {**super().describe(), "selfplay": self.selfplay.files.to_json()}

    def share(self):
        return {**super().share(), "selfplay": self.selfplay}

    # ------------------------------------------------------ two kinds of examples
    def batchify(self, obs_batch, sort=False) -> Batch:
        plays = [i for i, obs in enumerate(obs_batch) if "opening" in obs]
        if not plays:
            return super().batchify(obs_batch, sort=sort)
        others = [i for i in range(len(obs_batch)) if i not in set(plays)]
        spoken = super().batchify([obs_batch[i] for i in others], sort=sort)
        rows = [others[i] for i in spoken.valid_indices] if spoken.batchsize else []
        return P2botBatch(
            batchsize=len(plays) + spoken.batchsize,
            is_training=any(obs_batch[i]["learn"] for i in plays),
            valid_indices=torch.tensor([*plays, *rows]),
            p2bot=SelfPlayBatch([Opening(**obs_batch[i]["opening"]) for i in plays], spoken),
        )

    def train_step(self, batch: Batch):
        own = batch.p2bot
        if not isinstance(own, SelfPlayBatch):
            if not self.plays:
                return super().train_step(batch)
            own = SelfPlayBatch([], batch)
        scored = self.play(own.openings) if own.openings else None
        self.zero_grad()
        loss = self._supervised_loss(own.spoken)
        # metrics of ordinary examples have no value for self-play rows
        for name, values in self._local_metrics.items():
            self._local_metrics[name] = [*[None] * len(own.openings), *values]
        ordinary = len(own.spoken.valid_indices) if own.spoken.batchsize else 0
        loss = loss + self.opt["rl_coef"] * self.selfplay_loss(scored, ordinary)
        self.backward(loss)
        self.update_params()
        every = self.opt["show_dialogue_every"]
        updated = self._number_grad_accum == 0  # --update-freq: every so many batches
        if scored and every and updated and self._number_training_updates % every == 0:
            logging.info("\n" + as_text(scored.transcript(0)))
        return None

    def eval_step(self, batch: Batch):
        """Play without learning: the rewards are the metrics."""
        if not isinstance(batch.get("p2bot"), SelfPlayBatch):
            return super().eval_step(batch)
        scored = self.play(batch.p2bot.openings)
        with torch.no_grad():
            _, divergence = self.reread(scored)
        self._record(dialogue_metrics(scored, divergence), 0)
        return None

    # -------------------------------------------------------------------- the loss
    def play(self, openings: Sequence[Opening]) -> ScoredRollouts:
        """Dialogues with their rewards; the agent of the world is this one's network."""
        world = self.selfplay.world
        scored = world.score(world.play(openings))
        refuse_broken(scored)
        return scored

    def returns(self, scored: ScoredRollouts | None) -> Tensor:
        """
        What is learnt from: R of every response (M,), of scaled rewards with ``--reward-scale``.

        :param scored: None where only other processes play.
        """
        if self.opt["reward_scale"] == "none":
            found = scored.total if scored else torch.zeros(0)
            return found.flatten().to(self.device)
        weights = self.selfplay.world.weights
        raw = scored.raw if scored else dict.fromkeys(weights, torch.zeros(0))
        scaled = {
            name: standardise(raw[name].to(self.device), sum_over_processes) for name in weights
        }
        return combine(scaled, weights).flatten()

    def reread(self, scored: ScoredRollouts) -> tuple[Tensor, Tensor]:
        """log p(a | s) and KL divergence of every response, each (M,); see `selfplay.reread`."""
        self.model.eval()
        reading = self.selfplay.world.reading
        return reread(self.model, reading, scored.rollouts, self.opt["kl_coef"] > 0)

    def _supervised_loss(self, spoken: Batch) -> Tensor:
        if spoken.batchsize:
            self.model.train()
            return self.compute_loss(spoken)
        nothing = torch.zeros((), device=self.device)
        # every process takes part in the sums, whatever its batch holds
        for _ in range(1 + (self.nup_coef > 0)):
            self._share_of_all(nothing)
        return nothing

    def selfplay_loss(self, scored: ScoredRollouts | None, ordinary: int = 0) -> Tensor:
        """
        Mean of Eq. 5's terms over the responses of all processes, and the KL anchor's.

        :param scored: None where only other processes play. :param ordinary: how many other
            examples the batch has.
        """
        rewards = self.returns(scored)
        total = sum_over_processes(rewards.sum())
        count = sum_over_processes(torch.tensor(float(len(rewards)), device=self.device))
        if scored is None:
            return torch.zeros((), device=self.device)
        if self.opt["rl_baseline"] == "mean":
            baseline = mean_baseline(total, count)
        else:
            baseline = leave_one_out_baseline(rewards, total, count)
        log_p, divergence = self.reread(scored)
        terms = policy_gradient_loss(log_p, rewards, baseline)
        terms = terms + self.opt["kl_coef"] * divergence
        metrics = dialogue_metrics(scored, divergence.detach())
        metrics["rl_loss"] = terms.detach().view(scored.rollouts.shape).mean(dim=1).tolist()
        self._record(metrics, ordinary)
        return terms.sum() / (count / num_workers())

    def _record(self, metrics: dict[str, list[float]], ordinary: int) -> None:
        """One entry per example: self-play first, then None for the others."""
        for name, values in metrics.items():
            own = AverageMetric.many(values)
            self.record_local_metric(name, [*own, *[None] * ordinary])


def dialogue_metrics(scored: ScoredRollouts, divergence: Tensor) -> dict[str, list[float]]:
    """
    Values for the report, one per dialogue: the mean over its turns of each reward, raw and
    weighted, of its details, of their sum and of the KL divergence, and each reward turn by turn.
    """
    rollouts = scored.rollouts
    size, turns = rollouts.shape
    values = {"reward": scored.total}
    for name, raw in scored.raw.items():
        values[name] = raw
        values[f"weighted_{name}"] = scored.weights[name] * raw
    values |= scored.details
    values["kl"] = divergence.view(size, turns)
    lengths = [[len(row[b].response) for row in rollouts.turns] for b in range(size)]
    values["length"] = torch.tensor(lengths, dtype=torch.float)
    metrics = {name: value.mean(dim=1).tolist() for name, value in values.items()}
    for name, value in {**scored.raw, **scored.details}.items():
        for n in range(turns):
            metrics[f"{name}_turn{n + 1}"] = value[:, n].tolist()
    return metrics


def refuse_broken(scored: ScoredRollouts) -> None:
    """:raises P2botError: if a reward or a sampled probability is not finite."""
    # the frozen models reward whatever a diverged agent says, so its probabilities count too
    values = {f"the reward {name} is": raw for name, raw in scored.raw.items()}
    sampled = {"the probabilities of the agent are": torch.cat(scored.rollouts.sampled_scores, 1)}
    for what, found in (sampled | values).items():
        if not found.isfinite().all():
            raise P2botError(
                f"{what} infinite or not a number. The weights were not updated: lower "
                "--learningrate, or check the models"
            )
