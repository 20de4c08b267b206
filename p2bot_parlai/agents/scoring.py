"""Responses in the order of their scores: label candidates, and the hypotheses of a beam.

Token by token through the network, as ParlAI's tree searches choose.

The searches are ParlAI's, so every ``--inference`` and every kind of blocking is; the loop
around them is ours. It differs from the stock one in what is computed, not in what is found:

- A row leaves the batch when its search is done.
- The hypotheses of a row share one cache. What tells them apart is a mask: each sees its
  context and the tokens that it descends from. So no cache is multiplied by the beam size,
  and none is reordered when hypotheses change places.
- The first token is predicted once a row: all its hypotheses begin alike.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from parlai.core.opt import Opt
from parlai.core.torch_generator_agent import TopKSampling, TreeSearch
from parlai.utils.torch import neginf
from torch import Tensor

from p2bot_parlai.method import transmitter
from p2bot_parlai.method.kv_cache import ContextStates
from p2bot_parlai.method.transmitter import Transmitter, scatter_to_mask

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
        normalised = transmitter.length_normalised(scatter_to_mask(found, mask), mask)
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


BEAM_SEARCHES = ("beam", "delayedbeam")


class Decoding:
    """
    How `TransmitterAgent` finds its responses.

    To be named before ParlAI's TorchGeneratorAgent among the bases.
    """

    def _generate(self, batch, beam_size, max_ts, prefix_tokens=None):
        """
        As the stock method, by our own loop; see `agents.decoding`.

        :param prefix_tokens: int (B, P), tokens that each row's response begins with.
        :return: (tokens, score, details) of the best hypothesis of each row, and the searches.
        """
        searches = self._searches(batch)
        decode(
            self.network,
            batch.context_states,
            searches,
            self.START_IDX,
            max_ts,
            self._log_p,
            prefix_tokens,
        )
        found = self._finished(batch, searches)
        batch["response_scores"] = [float(score) for _, score, _ in found]
        return found, searches

    @torch.no_grad()
    def grow(self, batch) -> Iterator[str]:
        """
        The response to one context as it grows, token by token, as text.

        The last text is the response, the same as `_generate` finds. Of several hypotheses
        none is the response before all are finished: then it is the only one.

        :param batch: one row: ``context_states``, and ``text_vec`` and ``full_text_vec``
            for ``--beam-context-block-ngram``.
        """
        longest = self.label_truncate or 256
        searches = self._searches(batch)
        steps = decoding_steps(
            self.network, batch.context_states, searches, self.START_IDX, longest, self._log_p
        )
        said = []
        for step in steps:
            # a response that is too long is ended in place of its last token
            if self.beam_size == 1 and step + 1 < longest:
                said.append(int(searches[0].get_output_from_current_step()[0]))
                yield self._v2t(said)
        yield self._v2t(self._finished(batch, searches)[0][0])

    def _searches(self, batch) -> list[TreeSearch]:
        """One for each row, at its start."""
        contexts = self._get_batch_context(batch)
        on_gpu = self.opt.get("gpu_beam_blocking", False)
        return [
            self._treesearch_factory(self.device, verbose=self.show_token_details)
            .set_batch_context(contexts, row, on_gpu)
            .set_block_list(self.beam_block_list)
            for row in range(batch.batchsize)
        ]

    def _finished(self, batch, searches: list[TreeSearch]) -> list:
        """(tokens, score, details) of the best hypothesis of each row."""
        found = self._rerank_beams(batch, [search.get_rescored_finished() for search in searches])
        return [hypotheses[0] for hypotheses in found]

    def _log_p(self, hidden: Tensor) -> Tensor:
        """Log-probabilities of the next token under ``--temperature``: (..., D) -> (..., V)."""
        return self._generation_activation(self.network.output(hidden) / self.temperature)

    def _rerank_beams(self, batch, n_best):
        """The best finished hypothesis by Eq. 3 (Eq. 2 where --alpha is 1)."""
        if self.opt["inference"] not in BEAM_SEARCHES:
            return n_best
        responses = [[tokens[1:].tolist() for tokens, _, _ in hyps] for hyps in n_best]
        reranked = []
        for hypotheses, scores in zip(
            n_best, self.score_responses(batch.context_states, responses, "both"), strict=True
        ):
            best_first = scores.argsort(descending=True, stable=True)
            reranked.append([(hypotheses[i][0], scores[i], hypotheses[i][2]) for i in best_first])
        return reranked

    def _treesearch_factory(self, device, verbose=False):
        sizes = {**self.opt, "beam_size": self.beam_size}
        saved, self.opt = self.opt, Opt(sizes)
        try:
            if sizes["inference"] != "multinomial":
                return super()._treesearch_factory(device, verbose)
            return TopKSampling(
                len(self.dict),
                1,
                min_length=0,
                block_ngram=self.beam_block_ngram,
                context_block_ngram=self.beam_context_block_ngram,
                padding_token=self.NULL_IDX,
                bos_token=self.START_IDX,
                eos_token=self.END_IDX,
                device=device,
                verbose=verbose,
            )
        finally:
            self.opt = saved


def decode(
    network: Transmitter,
    states: ContextStates,
    searches: Sequence[TreeSearch],
    start: int,
    longest: int,
    log_p: Callable[[Tensor], Tensor],
    prefix: Tensor | None = None,
) -> None:
    """Advance every search until it is done; see `decoding_steps`."""
    for _ in decoding_steps(network, states, searches, start, longest, log_p, prefix):
        pass


@torch.no_grad()
def decoding_steps(
    network: Transmitter,
    states: ContextStates,
    searches: Sequence[TreeSearch],
    start: int,
    longest: int,
    log_p: Callable[[Tensor], Tensor],
    prefix: Tensor | None = None,
) -> Iterator[int]:
    """
    Advance every search until it is done, ``longest`` tokens at most.

    :param states: B encoded contexts. :param searches: one a row, of K hypotheses each.
    :param start: the token before a response.
    :param log_p: from hidden states (B, K, D) to log-probabilities (B, K, V).
    :param prefix: int (B, P), tokens that the response of each row begins with.
    :return: the number of each step, from 0, when all searches that it concerns have taken it.
    """
    going = torch.arange(len(searches), device=states.valid.device)  # rows that are not done
    tokens = torch.full_like(going, start)[:, None]
    seen = states.valid[:, None]
    for step in range(longest):
        hidden, states = network.step(states, tokens, seen)
        scores = log_p(hidden)
        if prefix is not None and step < prefix.shape[1]:
            scores = _only(scores, prefix.to(going.device)[going, step])
        running = [searches[row] for row in going.tolist()]
        if step == 0:
            scores = scores.repeat(1, running[0].beam_size, 1)
        for search, own in zip(running, scores, strict=True):
            search.advance(own, step)
        yield step
        left = [i for i, search in enumerate(running) if not search.is_done()]
        if not left:
            return
        running = [running[i] for i in left]
        kept = torch.tensor(left, device=going.device)
        itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=going.device)
        seen = torch.cat([seen, itself.expand(len(going), -1, -1)], dim=2)[kept]
        states, going = states.select(kept), going[kept]
        if step == 0:
            seen = seen.expand(-1, running[0].beam_size, -1)
        # each hypothesis sees what the one that it goes on from has seen
        parents = torch.stack([search.get_backtrack_from_current_step() for search in running])
        seen = seen.gather(1, parents.long()[:, :, None].expand(-1, -1, seen.shape[2]))
        tokens = torch.stack([search.get_output_from_current_step() for search in running])


def _only(scores: Tensor, tokens: Tensor) -> Tensor:
    """
    Rule out all other tokens. :param scores: (B, K, V). :param tokens: int (B,), one a row.
    """
    index = tokens[:, None, None].expand(-1, scores.shape[1], 1)
    forced = torch.full_like(scores, neginf(scores.dtype))
    return forced.scatter(2, index, scores.gather(2, index))
