"""Responses in the order of their scores: label candidates, and the hypotheses of a beam."""

import torch
from torch import Tensor

from p2bot_parlai import transmitter
from p2bot_parlai.transmitter import spread

# candidates of a context that are ranked in one row: attention is quadratic in their tokens
RANKED_AT_ONCE = 32


class Ranking:
    """
    How `TransmitterAgent` scores responses (Eq. 2, Eq. 3, next utterance).

    To be named before ParlAI's TorchGeneratorAgent among the bases.
    """

    def score_responses(self, states, responses: list[list[list[int]]], rank_by: str):
        """
        Score responses to encoded contexts.

        :param states: ContextStates of B rows. :param responses: for each row, its own.
        :param rank_by: see ``--rank-by``.
        :return: for each row a float tensor, larger is better.
        """
        scores = [torch.empty(0) for _ in responses]
        longest = max(map(len, responses), default=0)
        for start in range(0, longest, RANKED_AT_ONCE):
            part = [row[start : start + RANKED_AT_ONCE] for row in responses]
            found = self._scores_of(states, self._lay_out(part), rank_by).float().cpu()
            for row, own in enumerate(found.split([len(row) for row in part])):
                scores[row] = torch.cat([scores[row], own])
        return scores

    def _scores_of(self, states, branches: transmitter.Branches, rank_by: str) -> Tensor:
        hidden, scores = self.network.read_branches(states, branches)
        log_p_next = transmitter.log_next_utterance(scores.float())
        if rank_by == "next-utterance":
            return log_p_next
        mask = branches.target_mask
        logits = self.network.output(hidden[branches.target_index[mask]])
        found = transmitter.token_log_likelihood(logits, branches.targets[mask])
        normalised = transmitter.length_normalised(spread(found, mask), mask)
        alpha = 1.0 if rank_by == "likelihood" else self.alpha
        return transmitter.joint_score(normalised, log_p_next, alpha)

    def rank_eval_label_candidates(self, batch, batchsize):
        if batch.candidate_vecs is None:
            return None, None
        responses = [list(vecs or ()) for vecs in batch.candidate_vecs]
        choices, choice_scores = [], []
        scores = self.score_responses(batch.context_states, responses, self.rank_by)
        for texts, own in zip(batch.candidates, scores, strict=True):
            ordered, indices = own.sort(descending=True, stable=True)
            choices.append([texts[i] for i in indices] if texts else None)
            choice_scores.append(ordered.tolist() if texts else None)
        return choices, choice_scores
