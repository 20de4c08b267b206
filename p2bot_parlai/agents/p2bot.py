"""``-m p2bot``: the Transmitter, trained supervised and by self-play."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from parlai.core.metrics import AverageMetric, GlobalAverageMetric
from parlai.core.opt import Opt
from parlai.utils import logging
from parlai.utils.distributed import is_primary_worker, num_workers
from torch import Tensor

from p2bot_parlai.agents.accumulation import Loss
from p2bot_parlai.agents.batches import P2botBatch, SelfPlayBatch
from p2bot_parlai.agents.learning import gather_from_processes, sum_over_processes
from p2bot_parlai.agents.options import adapters, selfplay
from p2bot_parlai.agents.policy_gradient import Compared, compare
from p2bot_parlai.agents.selfplay_setup import FrozenFiles, SelfPlaySetup
from p2bot_parlai.agents.selfplay_watch import dialogue_metrics, refuse_broken, save_rollouts
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.method.guards import Guard, distinct
from p2bot_parlai.method.layout import Layout, pack_in_pieces
from p2bot_parlai.method.rollouts import Opening, ScoredRollouts
from p2bot_parlai.method.selfplay import (
    CLIP,
    Reread,
    clipped_loss,
    policy_gradient_loss,
    reread,
)
from p2bot_parlai.method.transcript import as_text
from p2bot_parlai.parlai_support.batches import Batch

KL_EVERY = 10  # updates between two whole divergences, where the loss has none


class P2botAgent(TransmitterAgent):
    """
    P²Bot. From ordinary teachers it learns as `TransmitterAgent` does, from
    ``p2bot:selfplay`` by policy gradient (Eq. 4-5); a batch may hold examples of both.
    """

    OPTIONS = (*TransmitterAgent.OPTIONS, selfplay.add_selfplay_options)
    # of the update that is being learnt
    played: Sequence[ScoredRollouts] = ()
    compared: Compared | None = None
    guard: Guard | None = None
    selves: Sequence[dict[str, Tensor]] = ()  # of the run that is resumed, see `PastSelves`

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
        # of the user: supervised examples beside self-play train the agent's own
        has_head = bool(self.saved and self.saved.about["next_utterance"])
        about = (self.opt, self.network, self.precision, self.dict)
        return SelfPlaySetup(*about, has_head, FrozenFiles(files))

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
        self.selves = states.get("selves", [])
        if self.stacks_adapter():
            shape = adapters.shape_of(self.opt, adapters.SELFPLAY_RANK)
            self.network.backbone.add(*shape)
        return states

    def begin_training(self) -> None:
        """Load the frozen models before the first batch."""
        super().begin_training()
        if self.plays:
            seen = () if self.is_finetune else self.run_state.get("guard", ())
            self.guard = Guard(self.opt["stop_kl"], self.opt["stop_distinct"], seen)
            self.selfplay.begin_training()
            if self.selfplay.partner and self.selves and not self.is_finetune:
                self.selfplay.partner.selves = self.selves

    def describe(self) -> dict:
        return {**super().describe(), "selfplay": self.selfplay.files.to_json()}

    def state_dict(self) -> dict:
        """With the partner's past selves, which a checkpoint keeps."""
        selves = self.selfplay.learns and self.selfplay.partner
        return super().state_dict() | ({"selves": selves.selves} if selves else {})

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
        kl = self.reread(scored, "value").kl.view(scored.rollouts.shape).mean(dim=1)
        metrics = dialogue_metrics(scored, self.dict.p2bot.eos)
        for name, values in (metrics | {"kl": AverageMetric.many(kl.tolist())}).items():
            self.record_local_metric(name, values)
        return None

    # -------------------------------------------------------------------- the loss
    def play(self, openings: Sequence[Opening]) -> ScoredRollouts:
        """Dialogues with their rewards; the agent of the world is this one's network."""
        world, partner = self.selfplay.world, self.is_training and self.selfplay.partner
        scored = world.score(world.play(openings, partner.network if partner else None))
        refuse_broken(scored)
        return scored

    def reread(
        self, scored: ScoredRollouts, kl: str, piece: tuple[list[int], Layout] | None = None
    ) -> Reread:
        """Of every response; see `selfplay.reread`."""
        self.model.eval()
        return reread(self.model, self.selfplay.world.reading, scored.rollouts, kl, piece)

    def losses(self, batches: Sequence[Batch]) -> list[Loss]:
        """
        Terms of ordinary examples, then those of the dialogues, which are played here: the mean of
        Eq. 5's over the responses of all batches and processes, and the KL anchor's.
        """
        ordinary = super().losses(batches)
        if not self.plays:
            return ordinary
        updates = self.run_state.get("updates", 0)
        if self.selfplay.partner:
            self.selfplay.partner.be(random.Random(updates))
        openings = [b.p2bot.openings for b in batches if isinstance(b.p2bot, SelfPlayBatch)]
        self.played = [self.play(begun) for begun in openings]
        world, by_batch = self.selfplay.world, self.opt["reward_scale"] == "batch"
        scaled = [reward.name for reward in world.rewards if reward.scaled and by_batch]
        self.compared = compare(self.played, world.weights, self.opt["rl_baseline"], scaled)
        if self.compared is None:  # nobody has played
            return ordinary
        if self.opt["save_rollouts"]:
            save_rollouts(self.opt, updates, self.played)
        self.kl = self.full_kl(updates)
        self.global_metrics.add("advantage_var", GlobalAverageMetric(self.compared.variance))
        if self.opt["rollouts_per_opening"] > 1:
            self.global_metrics.add("flat_groups", GlobalAverageMetric(self.compared.flat))
        messages = len(batches[-1].valid_indices)
        terms: list[Loss] = []
        sizes = [len(scored.total) for scored in self.played]
        for scored, own in zip(self.played, self.compared.advantages.split(sizes), strict=True):
            metrics = dialogue_metrics(scored, self.dict.p2bot.eos)
            self.record_learnt(metrics, range(len(own)), messages)
            turns, marks = scored.rollouts.by_dialogue(), self.dict.p2bot.marks
            for piece in pack_in_pieces(turns, marks, self.budget):
                terms.append(partial(self._term, scored, own.flatten(), piece, messages, []))
        return [*ordinary, *terms]

    def _term(
        self,
        scored: ScoredRollouts,
        advantages: Tensor,
        piece: tuple[list[int], Layout],
        messages: int,
        begun: list[Tensor],
    ) -> Tensor:
        """
        The part of some turns in the loss. :param advantages: of all turns that were scored with
            them, (B * N,). :param messages: see `record_learnt`. :param begun: keeps their log p
            of the first epoch.
        """
        numbers, layout = piece
        log_p, log_q, kl = self.reread(scored, self.kl, (numbers, layout.to(self.device)))
        own = advantages[numbers].to(self.device)
        away = (log_p - log_q).detach()
        # over the whole vocabulary where that is known: sampled, a small divergence drowns in noise
        self.away += (away if kl is None else kl.detach()).sum()
        tokens = layout.target_mask.sum(dim=1).to(self.device)
        if self.opt["log_p_per_token"]:
            log_p = log_p / tokens
        metrics = {"kl_sampled": away, "kl_sampled_token": away / tokens}
        if kl is not None:
            metrics["kl"] = kl
        if self.opt["selfplay_epochs"] == 1:
            terms = policy_gradient_loss(log_p, own)
        else:
            # the weights that sampled, but not from the cache: in bf16 that gives other numbers,
            # and a ratio that does not begin at 1
            if not begun:
                begun.append(log_p.detach())
            terms = clipped_loss(log_p, begun[0], own)
            metrics["ratio_clipped"] = ((log_p - begun[0]).exp() - 1).abs() > CLIP
        if self.opt["kl_coef"]:
            terms = terms + self.opt["kl_coef"] * kl
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
        if not self.compared:  # nobody has played
            super().learn(losses)
            return
        every, partner = self.opt["show_dialogue_every"], self.selfplay.partner
        for _ in range(self.opt["selfplay_epochs"]):
            self.away = torch.zeros((), device=self.device)
            super().learn(losses)
            # ParlAI's own count begins anew in a resumed run
            updates = self.run_state["updates"] = self.run_state.get("updates", 0) + 1
            if self.played and every and updates % every == 0:
                logging.info("\n" + as_text(self.played[0].transcript(0)))
            if partner and updates % self.opt["partner_every"] == 0:
                partner.remember(self.network)
        self._watch()

    def full_kl(self, updates: int) -> str:
        """What `reread` shall say of the divergence, which costs a softmax or two more."""
        if self.opt["kl_coef"]:
            return "gradient"
        return "none" if updates % KL_EVERY else "value"

    def _watch(self) -> None:
        """Show the guard the update that was learnt from, as it is over all processes."""
        own = [text for s in self.played for turn in s.rollouts.agent_texts for text in turn]
        texts = [text for said in gather_from_processes(own) for text in said]
        away = sum_over_processes(self.away) / self.compared.responses
        self.guard.see(away.item(), distinct(texts))
        self.run_state["guard"] = self.guard.seen
        self._keep()

    def _keep(self) -> None:
        """``--save-at-kl``: a model file for each divergence that is reached for the first time."""
        kept = self.run_state.setdefault("kept_at_kl", [])
        kl, _ = self.guard.means() or (0.0, 0.0)
        for least in selfplay.kl_to_save_at(self.opt):
            if kl >= least and least not in kept:
                kept.append(least)
                path = f"{self.opt['model_file']}.kl{least:g}"
                logging.info(f"{kl:.3g} nats a response away from the supervised model: {path}")
                if is_primary_worker():
                    self.save(path)

    def reason_to_stop(self) -> str | None:
        return self.guard.reason() if self.guard else None
