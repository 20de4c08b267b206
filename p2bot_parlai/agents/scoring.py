"""
Responses scored and found by one network: ranking (Eq. 2, Eq. 3, next utterance) and decoding.

The loop over tokens and the usual searches are those of `p2bot_parlai.method.decoding`. ParlAI's
searches, one object a row, do what these do not: delayed beams, factual nucleus sampling,
blocking, and details of tokens.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from parlai.core import torch_generator_agent as stock
from parlai.core.opt import Opt
from parlai.core.torch_generator_agent import TreeSearch
from parlai.utils.io import PathManager
from torch import Tensor

from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.errors import UsageError
from p2bot_parlai.method import decoding, transmitter
from p2bot_parlai.method.decoding import Hypothesis
from p2bot_parlai.method.kv_cache import ContextStates
from p2bot_parlai.method.layout import lay_out
from p2bot_parlai.method.transmitter import Transmitter, scatter_to_mask

BEAM_SEARCHES = ("beam", "delayedbeam", "delayednucleusbeam")
# candidates of a context that are ranked in one row: attention is quadratic in their tokens
RANKED_AT_ONCE = 32


class Responder:
    """
    :param opt: options of ranking and decoding: ``alpha``, ``rank_by`` and ParlAI's.
    :param blocked: phrases that no response may contain.
    """

    def __init__(
        self,
        network: Transmitter,
        dictionary: P2botDictionary,
        opt: Opt,
        blocked: stock.SearchBlocklist | None = None,
    ):
        self.network, self.dictionary, self.opt, self.blocked = network, dictionary, opt, blocked
        self.tokens = dictionary.p2bot
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
            found = self._scores_of(states, part, rank_by).float().cpu()
            for row, own in enumerate(found.split([len(row) for row in part])):
                scores[row] = torch.cat([scores[row], own])
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
        normalised = transmitter.length_normalised(scatter_to_mask(found, mask), mask)
        alpha = 1.0 if rank_by == "likelihood" else self.opt["alpha"]
        return transmitter.joint_score(normalised, log_p_next, alpha)

    # --------------------------------------------------------------------------- decoding
    @torch.no_grad()
    def respond(
        self,
        states: ContextStates,
        contexts: Tensor,
        verbose: bool = False,
    ) -> tuple[list[Hypothesis], list[list[Hypothesis]]]:
        """
        :param states: B encoded contexts. :param contexts: int (B, T), padded: what
            ``--beam-context-block-ngram`` looks at.
        :param verbose: whether hypotheses come with details of each token.
        :return: of each row its best hypothesis, and all finished ones, by the search's score.
        """
        search = self._search(contexts, verbose)
        for _ in self._steps(states, search):
            pass
        finished = search.finished()
        return self._best(states, finished), finished

    @torch.no_grad()
    def grow(self, states: ContextStates, contexts: Tensor) -> Iterator[str]:
        """
        The response to one context as it grows, token by token, as text.

        The last text is the response, the same as `respond` finds. Of several hypotheses
        none is the response before all are finished: then it is the only one.
        """
        search, said = self._search(contexts), []
        for newest in self._steps(states, search):
            said.append(int(newest[0, 0]))
            # a response that is too long is ended in place of its last token
            if self.beam_size == 1 and len(said) < self.longest:
                yield self.tokens.decode(said)
        yield self.tokens.decode(self._best(states, search.finished())[0].tokens.tolist())

    def _search(self, contexts: Tensor, verbose: bool = False) -> decoding.Search:
        """At its start."""
        opt, device = self.opt, self.network.device
        ways: dict[str, decoding.Choose] = {
            "greedy": decoding.greedy,
            "beam": decoding.beam,
            "topk": partial(decoding.top_k, k=opt["topk"]),
            "multinomial": partial(decoding.top_k, k=len(self.dictionary)),
            "nucleus": partial(decoding.nucleus, p=opt["topp"]),
        }
        blocks = opt["beam_block_ngram"] > 0 or opt["beam_context_block_ngram"] > 0 or self.blocked
        if opt["inference"] in ways and not blocks and not verbose:
            return decoding.TensorSearch(
                ways[opt["inference"]],
                (self.longest, len(contexts), self.beam_size),
                self.tokens.self_,
                self.tokens.eos,
                min_length(opt),
                opt["beam_length_penalty"],
                device,
            )
        return RowByRow(
            tree_search(opt, self.beam_size, self.dictionary, device, verbose)
            .set_batch_context(contexts, row, False)
            .set_block_list(self.blocked)
            for row in range(len(contexts))
        )

    def _steps(self, states: ContextStates, search: decoding.Search) -> Iterator[Tensor]:
        start = self.tokens.self_
        return decoding.decode(self.network, states, search, start, self.longest, self._log_p)

    def _log_p(self, hidden: Tensor) -> Tensor:
        """Log-probabilities of the next token under ``--temperature``: (..., D) -> (..., V)."""
        logits = self.network.output(hidden) / self.opt["temperature"]
        return logits.log_softmax(dim=-1, dtype=torch.float32)

    def _best(self, states: ContextStates, finished: list[list[Hypothesis]]) -> list[Hypothesis]:
        """Of each row; in beam search by Eq. 3, which is Eq. 2 where --alpha is 1."""
        if self.opt["inference"] not in BEAM_SEARCHES:
            return [found[0] for found in finished]
        responses = [[one.tokens[1:].tolist() for one in found] for found in finished]
        best = []
        for found, scores in zip(finished, self.score(states, responses, "both"), strict=True):
            first = int(scores.argsort(descending=True, stable=True)[0])
            best.append(found[first]._replace(score=scores[first]))
        return best


def hypotheses(opt: Opt) -> int:
    """Hypotheses per response: several in beam search, elsewhere if --beam-size is given."""
    if opt["inference"] in ("greedy", "multinomial"):
        return 1
    if opt["inference"] in BEAM_SEARCHES:
        return opt["beam_size"]
    return int(opt.get("override", {}).get("beam_size", 1))


def min_length(opt: Opt) -> int:
    """As in ParlAI, greedy and multinomial may say nothing, unless the user asks for a length."""
    least = 0 if opt["inference"] in ("greedy", "multinomial") else opt["beam_min_length"]
    return opt.get("override", {}).get("beam_min_length", least)


class Finished(list[Hypothesis]):
    """Those of one row, as ParlAI asks a search for them."""

    def get_rescored_finished(self) -> list[Hypothesis]:
        return self


class RowByRow:
    """ParlAI's searches, as one. :param searches: one for each row."""

    def __init__(self, searches: Iterable[TreeSearch]):
        self.searches = list(searches)

    def advance(self, log_p: Tensor, rows: Tensor) -> decoding.Advance:
        running = [self.searches[row] for row in rows.tolist()]
        step = len(running[0].outputs) - 1
        if step == 0:
            log_p = log_p.repeat(1, running[0].beam_size, 1)
        for search, own in zip(running, log_p, strict=True):
            search.advance(own, step)
        return decoding.Advance(
            torch.stack([search.get_output_from_current_step() for search in running]),
            torch.stack([search.get_backtrack_from_current_step() for search in running]).long(),
            torch.tensor([search.is_done() for search in running], device=rows.device),
        )

    def finished(self) -> list[list[Hypothesis]]:
        return [
            [Hypothesis(*one) for one in search.get_rescored_finished()] for search in self.searches
        ]


class DelayedNucleusBeamSearch(stock.DelayedNucleusBeamSearch):
    """ParlAI's borrows a method of nucleus sampling, which calls two more that it lacks."""

    get_mask = stock.NucleusSampling.get_mask
    update_p = stock.NucleusSampling.update_p


class FactualNucleusSampling(stock.FactualNucleusSampling):
    """ParlAI's resets p at full stops whatever ``--p-reset`` says."""

    def update_p(self, tokens: Tensor) -> None:
        if not self.p_reset:
            self.full_stop_list = self.full_stop_list[:0]
        super().update_p(tokens)


class PhraseBlocklist(stock.SearchBlocklist):
    """
    ParlAI's blocks the tokens of a phrase at the start of a text. Most tokenizers write a word
    with other tokens behind a space, so those are blocked too.
    """

    def _add_literal(self, phrase_literal: str):
        super()._add_literal(phrase_literal)
        if not phrase_literal.startswith(" "):
            super()._add_literal(f" {phrase_literal}")


def block_list(opt: Opt, dictionary: P2botDictionary) -> PhraseBlocklist:
    """
    The phrases of ``--beam-block-list-filename``, one a line.

    :raises P2botError: where the file cannot be read.
    """
    blocked, path = PhraseBlocklist(dictionary), opt["beam_block_list_filename"]
    if path:
        try:
            with PathManager.open(path) as file:
                for line in file:
                    blocked.add(line)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"--beam-block-list-filename {path} cannot be read: {error}"
            ) from error
    return blocked


class LastToken:
    """What factual nucleus sampling asks for its full stops: it expects one token each."""

    def __init__(self, dictionary: P2botDictionary):
        self.dictionary = dictionary

    def txt2vec(self, text: str) -> list[int]:
        return self.dictionary.txt2vec(text)[-1:]


def tree_search(
    opt: Opt, beam_size: int, dictionary: P2botDictionary, device, verbose: bool = False
) -> TreeSearch:
    """ParlAI's search of ``--inference``; ``multinomial`` is top-k over the whole vocabulary."""
    ways = {
        "greedy": (stock.GreedySearch, ()),
        "beam": (stock.BeamSearch, ()),
        "delayedbeam": (stock.DelayedBeamSearch, ("topk", "beam_delay")),
        "delayednucleusbeam": (DelayedNucleusBeamSearch, ("topp", "beam_delay")),
        "topk": (stock.TopKSampling, ("topk",)),
        "nucleus": (stock.NucleusSampling, ("topp",)),
        "factual_nucleus": (
            FactualNucleusSampling,
            ("topp", "lambda_decay", "omega_bound", "p_reset"),
        ),
    }
    way, tokens = opt["inference"], dictionary.p2bot
    if way == "multinomial":
        kind, own = stock.TopKSampling, [len(dictionary)]
    else:
        kind, names = ways[way]
        own = [opt[name] for name in names]
    return kind(
        *own,
        beam_size,
        min_length=min_length(opt),
        block_ngram=opt["beam_block_ngram"],
        context_block_ngram=opt["beam_context_block_ngram"],
        length_penalty=opt["beam_length_penalty"],
        padding_token=tokens.pad,
        bos_token=tokens.self_,
        eos_token=tokens.eos,
        device=device,
        verbose=verbose,
        dict=LastToken(dictionary) if way == "factual_nucleus" else dictionary,
    )
