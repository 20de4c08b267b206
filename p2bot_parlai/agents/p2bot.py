"""``-m p2bot``: the Transmitter, trained supervised and by self-play."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from parlai.core.metrics import AverageMetric, GlobalAverageMetric
from parlai.core.opt import Opt
from parlai.utils import logging
from parlai.utils.distributed import num_workers
from torch import Tensor

from p2bot_parlai.agents.accumulation import Loss
from p2bot_parlai.agents.batches import P2botBatch, SelfPlayBatch
from p2bot_parlai.agents.options import adapters, selfplay
from p2bot_parlai.agents.policy_gradient import Compared, compare
from p2bot_parlai.agents.selfplay_setup import FrozenFiles, SelfPlaySetup
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.layout import Layout, pack_in_pieces
from p2bot_parlai.method.rollouts import Opening, ScoredRollouts
from p2bot_parlai.method.selfplay import CLIP, clipped_loss, policy_gradient_loss, reread
from p2bot_parlai.method.transcript import as_text
from p2bot_parlai.parlai_support.batches import Batch


class P2botAgent(TransmitterAgent):
    """
    P²Bot. From ordinary teachers it learns as `TransmitterAgent` does, from
    ``p2bot:selfplay`` by policy gradient (Eq. 4-5); a batch may hold examples of both.
    """

    OPTIONS = (*TransmitterAgent.OPTIONS, selfplay.add_selfplay_options)
    # of the update that is being learnt
    played: Sequence[ScoredRollouts] = ()
    compared: Compared | None = None

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
        adapted = self.saved and self.saved.about["options"].get("adapter", "none") != "none"
        return bool(self.plays and self.is_finetune and adapted)

    def load(self, path: str) -> dict:
        states = super().load(path)
        if self.stacks_adapter():
            shape = adapters.shape_of(self.opt, adapters.SELFPLAY_RANK)
            self.network.backbone.add(*shape)
        return states

    def begin_training(self) -> None:
        """Load the frozen models before the first batch."""
        super().begin_training()
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
        pieces = [
            replace(piece, messages=[len(plays) + message for message in piece.messages])
            for piece in (spoken.p2bot.pieces if spoken.batchsize else ())
        ]
        return P2botBatch(
            batchsize=len(plays) + spoken.batchsize,
            is_training=any(obs_batch[i]["learn"] for i in plays),
            valid_indices=torch.tensor([*plays, *rows]),
            p2bot=SelfPlayBatch(pieces, [Opening(**obs_batch[i]["opening"]) for i in plays]),
        )

    def eval_step(self, batch: Batch):
        """Play without learning: the rewards are the metrics."""
        if not isinstance(batch.get("p2bot"), SelfPlayBatch):
            return super().eval_step(batch)
        scored = self.play(batch.p2bot.openings)
        _, divergence = self.reread(scored)
        metrics = dialogue_metrics(scored)
        metrics["kl"] = divergence.view(scored.rollouts.shape).mean(dim=1).tolist()
        for name, values in metrics.items():
            self.record_local_metric(name, AverageMetric.many(values))
        return None

    # -------------------------------------------------------------------- the loss
    def play(self, openings: Sequence[Opening]) -> ScoredRollouts:
        """Dialogues with their rewards; the agent of the world is this one's network."""
        world = self.selfplay.world
        scored = world.score(world.play(openings))
        refuse_broken(scored)
        return scored

    def reread(
        self, scored: ScoredRollouts, piece: tuple[list[int], Layout] | None = None
    ) -> tuple[Tensor, Tensor]:
        """log p(a | s) and KL divergence of every response, each (M,); see `selfplay.reread`."""
        self.model.eval()
        reading = self.selfplay.world.reading
        return reread(self.model, reading, scored.rollouts, self.opt["kl_coef"] > 0, piece)

    def losses(self, batches: Sequence[Batch]) -> list[Loss]:
        """
        Terms of ordinary examples, then those of the dialogues, which are played here: the mean of
        Eq. 5's over the responses of all batches and processes, and the KL anchor's.
        """
        ordinary = super().losses(batches)
        if not self.plays:
            return ordinary
        openings = [b.p2bot.openings for b in batches if isinstance(b.p2bot, SelfPlayBatch)]
        self.played = [self.play(begun) for begun in openings]
        weights, scale = self.selfplay.world.weights, self.opt["reward_scale"] == "batch"
        self.compared = compare(self.played, weights, self.opt["rl_baseline"], scale)
        if self.compared is None:  # nobody has played
            return ordinary
        self.global_metrics.add("advantage_var", GlobalAverageMetric(self.compared.variance))
        if self.opt["rollouts_per_opening"] > 1:
            self.global_metrics.add("flat_groups", GlobalAverageMetric(self.compared.flat))
        messages = len(batches[-1].valid_indices)
        terms: list[Loss] = []
        sizes = [len(scored.total) for scored in self.played]
        for scored, own in zip(self.played, self.compared.advantages.split(sizes), strict=True):
            metrics = {k: AverageMetric.many(v) for k, v in dialogue_metrics(scored).items()}
            self.record_learnt(metrics, range(len(own)), messages)
            marks, budget = self.dict.p2bot.marks, self.opt["tokens_per_batch"]
            for piece in pack_in_pieces(scored.rollouts.by_dialogue(), marks, budget):
                terms.append(partial(self._term, scored, own.flatten(), piece, messages))
        return [*ordinary, *terms]

    def _term(
        self,
        scored: ScoredRollouts,
        advantages: Tensor,
        piece: tuple[list[int], Layout],
        messages: int,
    ) -> Tensor:
        """
        The part of some turns in the loss. :param advantages: of all turns that were scored with
            them, (B * N,). :param messages: see `record_learnt`.
        """
        numbers, layout = piece
        log_p, divergence = self.reread(scored, (numbers, layout.to(self.device)))
        own = advantages[numbers].to(self.device)
        metrics = {"kl": divergence}
        if self.opt["selfplay_epochs"] == 1:
            terms = policy_gradient_loss(log_p, own)
        else:
            sampled = scored.rollouts.log_p().flatten()[numbers].to(self.device)
            terms = clipped_loss(log_p, sampled, own)
            metrics["ratio_clipped"] = ((log_p - sampled).exp() - 1).abs() > CLIP
        terms = terms + self.opt["kl_coef"] * divergence
        metrics["rl_loss"] = terms
        turns = scored.rollouts.shape[1]
        self.record_learnt(
            {name: AverageMetric.many(value.tolist()) for name, value in metrics.items()},
            [number // turns for number in numbers],
            messages,
        )
        return self.opt["rl_coef"] * terms.sum() / (self.compared.responses / num_workers())

    def learn(self, losses: Sequence[Loss]) -> None:
        """An update; with ``--selfplay-epochs`` several, from the same examples."""
        every = self.opt["show_dialogue_every"]
        for _ in range(self.opt["selfplay_epochs"] if self.compared else 1):
            super().learn(losses)
            if self.played and every and self._number_training_updates % every == 0:
                logging.info("\n" + as_text(self.played[0].transcript(0)))


def dialogue_metrics(scored: ScoredRollouts) -> dict[str, list[float]]:
    """
    Values for the report, one per dialogue: the mean over its turns of each reward, raw and
    weighted, of its details and of their sum, and each reward turn by turn.
    """
    rollouts = scored.rollouts
    size, turns = rollouts.shape
    values = {"reward": scored.total}
    for name, raw in scored.raw.items():
        values[name] = raw
        values[f"weighted_{name}"] = scored.weights[name] * raw
    values |= scored.details
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
