"""
Responses scored and found by one network: ranking (Eq. 2, Eq. 3, next utterance) and decoding.

The usual searches are those of `p2bot_parlai.method.searches`; ParlAI's do what these do not:
delayed beams, factual nucleus sampling, blocking, and details of tokens.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from parlai.core import torch_generator_agent as stock
from parlai.core.opt import Opt
from torch import Tensor

from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.agents.stock_searches import (
    BEAM_SEARCHES,
    RowByRow,
    hypotheses,
    min_length,
    tree_search,
)
from p2bot_parlai.method import searches, transmitter
from p2bot_parlai.method.chance import Chance
from p2bot_parlai.method.decoding import decode
from p2bot_parlai.method.kv_cache import ContextStates
from p2bot_parlai.method.layout import lay_out
from p2bot_parlai.method.pieces import pieces
from p2bot_parlai.method.read_alone import ReadAlone
from p2bot_parlai.method.said_before import Unsaid
from p2bot_parlai.method.searches import Hypothesis, Search, TensorSearch
from p2bot_parlai.method.transmitter import Transmitter, scatter_to_mask

# candidates of a context that are ranked in one row: attention is quadratic in their tokens
RANKED_AT_ONCE = 32


class Responder:
    """
    :param opt: options of ranking and decoding: ``alpha``, ``rank_by``, ``mutual_information`` and
        ParlAI's.
    :param blocked: phrases that no response may contain.

    ``budget``: tokens of responses that are scored at once, padding included; 0: no limit.
    """

    budget = 0

    def __init__(
        self,
        network: Transmitter,
        dictionary: P2botDictionary,
        opt: Opt,
        blocked: stock.SearchBlocklist | None = None,
    ):
        self.network, self.dictionary, self.opt, self.blocked = network, dictionary, opt, blocked
        self.tokens = dictionary.p2bot
        self.alone = ReadAlone(network, self.tokens.marks)
        self.beam_size = hypotheses(opt)
        self.longest = opt["label_truncate"]

    # ----------------------------------------------------------------------------- scores
    def score(
        self, states: ContextStates, responses: list[list[list[int]]], rank_by: str | None = None
    ) -> list[Tensor]:
        """
        Score responses to encoded contexts.

        :param states: of B rows. :param responses: for each row, its own, as ids.
        :param rank_by: as ``--rank-by``, which is the default.
        :return: for each row a float tensor, larger is better.
        """
        rank_by = rank_by or self.opt["rank_by"]
        scores = [torch.empty(0) for _ in responses]
        longest = max(map(len, responses), default=0)
        for start in range(0, longest, RANKED_AT_ONCE):
            part = [row[start : start + RANKED_AT_ONCE] for row in responses]
            there = [row for row, own in enumerate(part) if own]
            tokens = [sum(len(self.tokens.marks.candidate(r)) for r in part[row]) for row in there]
            for piece in pieces(tokens, self.budget):
                rows = [there[i] for i in piece]
                own = [part[row] for row in rows]
                found = self._scores_of(states.select(torch.tensor(rows)), own, rank_by)
                by_row = found.float().cpu().split([len(row) for row in own])
                for row, values in zip(rows, by_row, strict=True):
                    scores[row] = torch.cat([scores[row], values])
        return scores

    def _scores_of(self, states, responses: list[list[list[int]]], rank_by: str) -> Tensor:
        branches = lay_out(responses, self.tokens.marks).to(self.network.device)
        hidden, scores = self.network.read(branches, states)
        log_p_next = transmitter.log_next_utterance(scores.float())
        if rank_by == "next-utterance":
            return log_p_next
        mask = branches.target_mask
        logits = self.network.output(hidden[branches.target_index[mask]])
        found = transmitter.token_log_likelihood(logits, branches.targets[mask])
        token_scores = scatter_to_mask(found, mask)
        normalised = transmitter.length_normalised(token_scores, mask)
        if rank_by == "likelihood":
            return normalised
        joint = transmitter.joint_score(normalised, log_p_next, self.opt["alpha"])
        weight = self.opt["mutual_information"]
        if rank_by == "both" and not weight:
            return joint
        alone = self.alone([response for row in responses for response in row])
        information = transmitter.log_likelihood(token_scores, mask) - alone
        return information if rank_by == "mutual-information" else joint + weight * information

    # --------------------------------------------------------------------------- decoding
    @torch.no_grad()
    def respond(
        self,
        states: ContextStates,
        contexts: Tensor,
        said: Sequence[Sequence[str]],
        verbose: bool = False,
    ) -> tuple[list[Hypothesis], list[list[Hypothesis]]]:
        """
        :param states: B encoded contexts. :param contexts: int (B, T), padded: what
            ``--beam-context-block-ngram`` looks at.
        :param said: of each row what its speaker has said in earlier turns: what
            ``--block-said-before`` looks at.
        :param verbose: whether hypotheses come with details of each token.
        :return: of each row its best hypothesis, and all finished ones, by the search's score.
        """
        search = self._search(contexts, said, verbose)
        for _ in self._steps(states, search):
            pass
        finished = search.finished()
        return self._best(states, finished), finished

    @torch.no_grad()
    def grow(
        self,
        states: ContextStates,
        contexts: Tensor,
        said: Sequence[Sequence[str]],
        chances: Sequence[Chance] = (),
    ) -> Iterator[dict[int, list[int]]]:
        """
        The responses to B contexts as they grow, token by token.

        :param contexts: as in `respond`, also for ``said``. :param chances: see `held_by_each`.
        :return: at each token the ids so far, with [EOS], of the rows that were unfinished before
            it; at last those of all rows, the same as `respond` finds. Of several hypotheses none
            is the response before all are finished: then there is only that last step.
        """
        search = self._search(contexts, said, chances=chances)
        grown: list[list[int]] = [[] for _ in contexts]
        for step, (rows, newest) in enumerate(self._steps(states, search)):
            # a response that is too long is ended in place of its last token
            if self.beam_size == 1 and step + 1 < self.longest:
                for row, token in zip(rows.tolist(), newest[:, 0].tolist(), strict=True):
                    grown[row].append(token)
                yield {row: list(grown[row]) for row in rows.tolist()}
        best = self._best(states, search.finished())
        yield {row: one.tokens[1:].tolist() for row, one in enumerate(best)}

    def _search(
        self,
        contexts: Tensor,
        said: Sequence[Sequence[str]],
        verbose: bool = False,
        chances: Sequence[Chance] = (),
    ) -> Search:
        """At its start."""
        search, order = self._free_search(contexts, verbose, chances), self.opt["block_said_before"]
        if not order or not any(said):
            return search
        size, device = self.beam_size, self.network.device
        return Unsaid(search, said, order, size, self.tokens, device)

    def _free_search(self, contexts: Tensor, verbose: bool, chances: Sequence[Chance]) -> Search:
        opt, device = self.opt, self.network.device
        ways: dict[str, searches.Choose] = {
            "greedy": searches.greedy,
            "beam": searches.beam,
            "topk": partial(searches.top_k, k=opt["topk"]),
            "multinomial": partial(searches.top_k, k=len(self.dictionary)),
            "nucleus": partial(searches.nucleus, p=opt["topp"]),
        }
        blocks = opt["beam_block_ngram"] > 0 or opt["beam_context_block_ngram"] > 0 or self.blocked
        if opt["inference"] in ways and not blocks and not verbose:
            return TensorSearch(
                ways[opt["inference"]],
                (self.longest, len(contexts), self.beam_size),
                self.tokens.self_,
                self.tokens.eos,
                min_length(opt),
                opt["beam_length_penalty"],
                device,
                chances,
            )
        rows = (
            tree_search(opt, self.beam_size, self.dictionary, device, verbose)
            .set_batch_context(contexts, row, False)
            .set_block_list(self.blocked)
            for row in range(len(contexts))
        )
        return RowByRow(rows, chances)

    def _steps(self, states: ContextStates, search: Search) -> Iterator[tuple[Tensor, Tensor]]:
        start = self.tokens.self_
        return decode(self.network, states, search, start, self.longest, self._log_p)

    def _log_p(self, hidden: Tensor) -> Tensor:
        """Log-probabilities of the next token under ``--temperature``: (..., D) -> (..., V)."""
        logits = self.network.output(hidden) / self.opt["temperature"]
        return logits.log_softmax(dim=-1, dtype=torch.float32)

    def _best(self, states: ContextStates, finished: list[list[Hypothesis]]) -> list[Hypothesis]:
        """
        Of each row; in beam search by Eq. 3, which is Eq. 2 where --alpha is 1, and the term of
        --mutual-information.
        """
        if self.opt["inference"] not in BEAM_SEARCHES:
            return [found[0] for found in finished]
        responses = [[one.tokens[1:].tolist() for one in found] for found in finished]
        best = []
        for found, scores in zip(finished, self.score(states, responses, "both"), strict=True):
            first = int(scores.argsort(descending=True, stable=True)[0])
            best.append(found[first]._replace(score=scores[first]))
        return best
