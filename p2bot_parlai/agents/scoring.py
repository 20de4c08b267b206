"""
Responses scored and found by one network: ranking (Eq. 2, Eq. 3, next utterance) and decoding.

The searches are ParlAI's, with every ``--inference`` and every kind of blocking. The loop around
them is ours: the same results with less computation.

- Finished rows leave the batch.
- The hypotheses of a row share one cache. What tells them apart is a mask: each sees its
  context and the tokens that it descends from. So no cache is multiplied by the beam size,
  and none is reordered when hypotheses change places.
- The first token is predicted once per row: all its hypotheses begin alike.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from parlai.core import torch_generator_agent as stock
from parlai.core.opt import Opt
from parlai.core.torch_generator_agent import TreeSearch
from parlai.utils.io import PathManager
from torch import Tensor

from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.errors import UsageError
from p2bot_parlai.method import transmitter
from p2bot_parlai.method.kv_cache import ContextStates
from p2bot_parlai.method.layout import lay_out
from p2bot_parlai.method.read_alone import ReadAlone
from p2bot_parlai.method.transmitter import Transmitter, scatter_to_mask

BEAM_SEARCHES = ("beam", "delayedbeam", "delayednucleusbeam")
# candidates of a context that are ranked in one row: attention is quadratic in their tokens
RANKED_AT_ONCE = 32

# tokens, score and details of a hypothesis, as ParlAI's searches give them
Hypothesis = tuple[Tensor, Tensor, list | None]


class Responder:
    """
    :param opt: options of ranking and decoding: ``alpha``, ``rank_by``, ``mutual_information`` and
        ParlAI's.
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
        verbose: bool = False,
    ) -> tuple[list[Hypothesis], list[TreeSearch]]:
        """
        :param states: B encoded contexts. :param contexts: int (B, T), padded: what
            ``--beam-context-block-ngram`` looks at.
        :param verbose: whether the searches note details of each token.
        :return: the best hypothesis of each row, and the searches.
        """
        searches = self._searches(contexts, verbose)
        for _ in self._steps(states, searches):
            pass
        return self._best(states, searches), searches

    @torch.no_grad()
    def grow(self, states: ContextStates, contexts: Tensor) -> Iterator[str]:
        """
        The response to one context as it grows, token by token, as text.

        The last text is the response, the same as `respond` finds. Of several hypotheses
        none is the response before all are finished: then it is the only one.
        """
        searches, said = self._searches(contexts), []
        for step in self._steps(states, searches):
            # a response that is too long is ended in place of its last token
            if self.beam_size == 1 and step + 1 < self.longest:
                said.append(int(searches[0].get_output_from_current_step()[0]))
                yield self.tokens.decode(said)
        yield self.tokens.decode(self._best(states, searches)[0][0].tolist())

    def _searches(self, contexts: Tensor, verbose: bool = False) -> list[TreeSearch]:
        """One for each row, at its start."""
        return [
            tree_search(self.opt, self.beam_size, self.dictionary, self.network.device, verbose)
            .set_batch_context(contexts, row, False)
            .set_block_list(self.blocked)
            for row in range(len(contexts))
        ]

    def _steps(self, states, searches) -> Iterator[int]:
        start = self.tokens.self_
        return decode(self.network, states, searches, start, self.longest, self._log_p)

    def _log_p(self, hidden: Tensor) -> Tensor:
        """Log-probabilities of the next token under ``--temperature``: (..., D) -> (..., V)."""
        logits = self.network.output(hidden) / self.opt["temperature"]
        return logits.log_softmax(dim=-1, dtype=torch.float32)

    def _best(self, states: ContextStates, searches: list[TreeSearch]) -> list[Hypothesis]:
        """
        Of each row; in beam search by Eq. 3, which is Eq. 2 where --alpha is 1, and the term of
        --mutual-information.
        """
        finished = [search.get_rescored_finished() for search in searches]
        if self.opt["inference"] not in BEAM_SEARCHES:
            return [found[0] for found in finished]
        responses = [[tokens[1:].tolist() for tokens, _, _ in found] for found in finished]
        best = []
        for found, scores in zip(finished, self.score(states, responses, "both"), strict=True):
            first = int(scores.argsort(descending=True, stable=True)[0])
            tokens, _, details = found[first]
            best.append((tokens, scores[first], details))
        return best


def hypotheses(opt: Opt) -> int:
    """Hypotheses per response: several in beam search, elsewhere if --beam-size is given."""
    if opt["inference"] in ("greedy", "multinomial"):
        return 1
    if opt["inference"] in BEAM_SEARCHES:
        return opt["beam_size"]
    return int(opt.get("override", {}).get("beam_size", 1))


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
    # as in ParlAI, these two may say nothing, unless the user asks for a length
    least = 0 if way in ("greedy", "multinomial") else opt["beam_min_length"]
    if way == "multinomial":
        kind, own = stock.TopKSampling, [len(dictionary)]
    else:
        kind, names = ways[way]
        own = [opt[name] for name in names]
    return kind(
        *own,
        beam_size,
        min_length=opt.get("override", {}).get("beam_min_length", least),
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


@torch.no_grad()
def decode(
    network: Transmitter,
    states: ContextStates,
    searches: Sequence[TreeSearch],
    start: int,
    longest: int,
    log_p: Callable[[Tensor], Tensor],
) -> Iterator[int]:
    """
    Advance every search until it is done, ``longest`` tokens at most.

    :param states: B encoded contexts. :param searches: one per row, of K hypotheses each.
    :param start: the token before a response.
    :param log_p: from hidden states (B, K, D) to log-probabilities (B, K, V).
    :return: the number of each step, from 0, once all unfinished searches have taken it.
    """
    going = torch.arange(len(searches), device=states.valid.device)  # rows that are not done
    tokens = torch.full_like(going, start)[:, None]
    seen = states.valid[:, None]
    for step in range(longest):
        hidden, states = network.step(states, tokens, seen)
        scores = log_p(hidden)
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
