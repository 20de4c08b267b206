"""
A search that does not say again what the speaker said in earlier turns (``--block-said-before``).

ParlAI's ``--beam-context-block-ngram`` blocks n-grams of tokens of the whole context: also those of
the partner and of the persona, the end of a response behind words that ended another, and the rest
of a rare word that has many tokens. Here n-grams are of whole words, and the speaker's own.

B rows, b of them unfinished, K hypotheses each, M n-grams, P tokens of an n-gram before its last
word, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from p2bot_parlai.method.searches import DEAD, Advance, Hypothesis, Search
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.words import ngrams

ANY, NO = -1, -2  # stand for any token, and for none


class Unsaid:
    """
    Another search that may not begin the last word of an n-gram that was said.

    :param said: of each row what its speaker has said in earlier turns.
    :param order: n, in words, at least 2. :param size: K.
    """

    def __init__(
        self,
        search: Search,
        said: Sequence[Sequence[str]],
        order: int,
        size: int,
        tokenizer: P2botTokenizer,
        device: torch.device,
    ):
        self.search = search
        grams = [said_grams(texts, order, tokenizer) for texts in said]
        most = max(map(len, grams))
        longest = max((len(before) for row in grams for before, _ in row), default=0)
        filled = [row + [([NO] * longest, 0)] * (most - len(row)) for row in grams]
        whole = [[[ANY] * (longest - len(b)) + b + [last] for b, last in row] for row in filled]
        ids = torch.tensor(whole, dtype=torch.long).view(len(said), most, longest + 1).to(device)
        self.before, self.last = ids[..., :-1], ids[..., -1]  # (B, M, P), (B, M)
        self.newest = torch.full((len(said), size, longest), ANY, device=device)

    def advance(self, log_p: Tensor, rows: Tensor) -> Advance:
        before, newest = self.before[rows], self.newest[rows]
        spoken = newest[:, : log_p.shape[1], None]  # at first the K are one
        again = ((before[:, None] == spoken) | (before[:, None] == ANY)).all(dim=-1)  # (b, K, M)
        log_p.scatter_add_(2, self.last[rows, None].expand_as(again), again * DEAD)
        step = self.search.advance(log_p, rows)
        newest = newest.gather(1, step.parents[:, :, None].expand_as(newest))
        self.newest[rows] = torch.cat([newest, step.tokens[:, :, None]], dim=2)[..., 1:]
        return step

    def finished(self) -> list[list[Hypothesis]]:
        return self.search.finished()


def said_grams(
    texts: Sequence[str], order: int, tokenizer: P2botTokenizer
) -> list[tuple[list[int], int]]:
    """
    The n-grams of words of some texts: the tokens before the last word, and its first token. A
    word may have other tokens at the beginning of a response than behind a space: an n-gram comes
    in both forms.
    """
    found: dict[tuple[tuple[int, ...], int], None] = {}
    for gram in (gram for text in texts for gram in ngrams(text.split(), order)):
        for behind in ((), ("a",)):
            *before, last = tokenizer.encode_words([*behind, *gram])[len(behind) :]
            if last and all(before):  # some characters are no token of some tokenizers
                found[tuple(sum(before, [])), last[0]] = None
    return [(list(before), last) for before, last in found]
