"""What is seen of self-play as it goes: metrics of its dialogues, files of them, a broken agent."""

import json
from collections.abc import Sequence

import torch
from parlai.core.metrics import AverageMetric, InterDistinctMetric, Metric
from parlai.core.opt import Opt
from parlai.utils.distributed import get_rank, is_distributed

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.rewards import repetition
from p2bot_parlai.method.rollouts import ScoredRollouts


def dialogue_metrics(scored: ScoredRollouts, eos: int) -> dict[str, list[Metric]]:
    """
    Values for the report, one per dialogue, of the agent's responses alone: the mean over its
    turns of each reward, raw and weighted, of its details and of their sum, also turn by turn;
    tokens and words of a response; the share of responses that end by themselves; the share of
    trigrams that the agent has said before; distinct-2; the entropy of the policy in nats a token,
    from the sampled tokens.
    """
    rollouts = scored.rollouts
    values = {"reward": scored.total}
    for name, raw in scored.raw.items():
        values[name] = raw
        values[f"weighted_{name}"] = scored.weights[name] * raw
    values |= scored.details
    (replies, _), _ = rollouts.speakers()
    words = [[text.split() for text in texts] for texts in replies]
    values["length"], values["ended"] = rollouts.lengths(), rollouts.ended(eos).float()
    values["words"] = torch.tensor([[float(len(said)) for said in row] for row in words])
    values["said_before"] = torch.tensor(
        [[-repetition(said, row[:n]) for n, said in enumerate(row)] for row in words]
    )
    values["entropy"] = -rollouts.log_p().cpu() / values["length"]
    metrics = {name: value.mean(dim=1).tolist() for name, value in values.items()}
    for name, value in {"reward": scored.total, **scored.raw, **scored.details}.items():
        for n in range(rollouts.shape[1]):
            metrics[f"{name}_turn{n + 1}"] = value[:, n].tolist()
    found: dict[str, list[Metric]] = {k: AverageMetric.many(v) for k, v in metrics.items()}
    pairs = [[InterDistinctMetric.compute(text, 2) for text in texts] for texts in replies]
    found["distinct_2"] = [sum(row[1:], start=row[0]) for row in pairs]
    return found


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


def save_rollouts(opt: Opt, update: int, played: Sequence[ScoredRollouts]) -> None:
    """
    ``--save-rollouts``: the dialogues of an update, one a line, as `ScoredRollouts.transcript`.

    :raises P2botError: where the file cannot be written.
    """
    path = f"{opt['save_rollouts']}.{get_rank()}" if is_distributed() else opt["save_rollouts"]
    lines = [
        json.dumps({"update": update, **scored.transcript(row)}, ensure_ascii=False)
        for scored in played
        for row in range(scored.rollouts.shape[0])
    ]
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise P2botError(f"--save-rollouts {path} cannot be written: {error.strerror}") from error
