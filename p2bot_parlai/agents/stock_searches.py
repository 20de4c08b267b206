"""
ParlAI's searches, one object a row, with every ``--inference`` and every kind of blocking, and how
many hypotheses and tokens the options ask for.
"""

from collections.abc import Iterable, Sequence

import torch
from parlai.core import torch_generator_agent as stock
from parlai.core.opt import Opt
from parlai.core.torch_generator_agent import TreeSearch
from parlai.utils.io import PathManager
from torch import Tensor

from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.chance import Chance, held_by_each
from p2bot_parlai.method.searches import Advance, Hypothesis

BEAM_SEARCHES = ("beam", "delayedbeam", "delayednucleusbeam")


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
    """
    ParlAI's searches, as one.

    :param searches: one for each row. :param chances: see `held_by_each`.
    """

    def __init__(self, searches: Iterable[TreeSearch], chances: Sequence[Chance] = ()):
        self.searches, self.chances = list(searches), chances

    def advance(self, log_p: Tensor, rows: Tensor) -> Advance:
        running = [self.searches[row] for row in rows.tolist()]
        step = len(running[0].outputs) - 1
        if step == 0:
            log_p = log_p.repeat(1, running[0].beam_size, 1)
        chances = held_by_each(self.chances, rows)
        for search, own, chance in zip(running, log_p, chances, strict=False):
            with chance:
                search.advance(own, step)
        return Advance(
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
