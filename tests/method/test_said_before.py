"""What a speaker has said is not said again: n-grams of words, and a search that blocks them."""

import pytest
import torch
from original_files import write_vocabulary
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from p2bot_parlai.method.context_style import ORIGINAL
from p2bot_parlai.method.said_before import Unsaid, said_grams
from p2bot_parlai.method.searches import TensorSearch, beam, greedy, top_k
from p2bot_parlai.method.tokenizers import P2botTokenizer

CPU = torch.device("cpu")
WORDS = ["w0", "w1", "w2", "w3", "w4"]


def byte_level():
    """As SmolLM2's: a word has another token at the beginning of a text than behind a space."""
    merges = [
        ("Ġ", "a"),
        ("Ġ", "d"),
        ("Ġd", "o"),
        ("Ġdo", "g"),
        ("Ġ", "o"),
        ("Ġo", "n"),
        ("Ġo", "k"),
    ]
    letters = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {t: i for i, t in enumerate([*letters, *("".join(pair) for pair in merges)])}
    backend = Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return P2botTokenizer(backend)


def word_level():
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["a", *WORDS])}, "a"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return P2botTokenizer(backend)


@pytest.mark.parametrize("text", ["", "a dog", "a big dog .", "no dog , no", "Don't I have 22 ?"])
def test_words_and_their_tokens(text, tmp_path):
    gpt = P2botTokenizer.from_pretrained(str(write_vocabulary(tmp_path / "gpt")), ORIGINAL)
    learnt = P2botTokenizer.train(["a big dog .", "i don't"], vocab_size=300)
    for tokenizer in (gpt, learnt, byte_level()):
        ids = tokenizer.encode_words(text.split())
        assert sum(ids, []) == tokenizer.encode(text)
    for tokenizer, said in ((gpt, text.lower()), (learnt, text)):
        words = tokenizer.encode_words(text.split())
        assert [tokenizer.decode(ids) for ids in words] == said.split()


def test_n_grams_of_words():
    """Whole words, as a response begins and behind a space, then what the last one begins with."""
    tokenizer = byte_level()
    found = said_grams(["on a dog ok", "a dog"], 3, tokenizer)
    spelt = tokenizer.backend.id_to_token
    assert [("".join(map(spelt, before)), spelt(last)) for before, last in found] == [
        ("onĠa", "Ġdog"),
        ("ĠonĠa", "Ġdog"),
        ("aĠdog", "Ġok"),
        ("ĠaĠdog", "Ġok"),
    ]


def naive(before: list[int], said: list[list[int]], order: int) -> set[int]:
    """The words that complete an n-gram that was said."""
    tail = before[len(before) - order + 1 :] if len(before) >= order - 1 else None
    grams = [turn[i : i + order] for turn in said for i in range(len(turn) - order + 1)]
    return {gram[-1] for gram in grams if gram[:-1] == tail}


class NaiveUnsaid:
    """Word by word, hypothesis by hypothesis."""

    def __init__(self, search, said, order, size):
        self.search, self.said, self.order = search, said, order
        self.spoken = [[[] for _ in range(size)] for _ in said]

    def advance(self, log_p, rows):
        for i, row in enumerate(rows.tolist()):
            for k in range(log_p.shape[1]):
                for word in naive(self.spoken[row][k], self.said[row], self.order):
                    log_p[i, k, word] = -torch.inf
        step = self.search.advance(log_p, rows)
        for i, row in enumerate(rows.tolist()):
            came = zip(step.parents[i].tolist(), step.tokens[i].tolist(), strict=True)
            self.spoken[row] = [[*self.spoken[row][parent], token] for parent, token in came]
        return step

    def finished(self):
        return self.search.finished()


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("way", [greedy, beam, lambda *given: top_k(*given, k=4)])
def test_the_same_as_word_by_word(way, order):
    tokenizer, changed = word_level(), 0
    for seed in range(12):
        torch.manual_seed(seed)
        size, longest = 1 if way is greedy else 3, 7
        said = [torch.randint(1, 6, (turns, 6)).tolist() for turns in (0, 1, 3)]
        texts = [[" ".join(f"w{word - 1}" for word in turn) for turn in row] for row in said]
        predicted = torch.randn(longest, 3, size, len(tokenizer)) * 2
        predicted[..., list(tokenizer.special_ids)] = -30.0
        predicted[..., tokenizer.eos] = -1.0
        found = []
        for kind in (Unsaid, NaiveUnsaid, None):
            shape = (longest, 3, size)
            search = TensorSearch(way, shape, tokenizer.self_, tokenizer.eos, 0, 0.65, CPU)
            if kind is Unsaid:
                search = Unsaid(search, texts, order, size, tokenizer, CPU)
            elif kind:
                search = NaiveUnsaid(search, said, order, size)
            torch.manual_seed(seed)
            rows = torch.arange(3)
            for step, log_p in enumerate(predicted.log_softmax(dim=-1)):
                log_p = log_p[rows] if step else log_p[rows, :1]
                rows = rows[~search.advance(log_p.clone(), rows).done]
                if not len(rows):
                    break
            found.append(
                [[(h.tokens.tolist(), float(h.score)) for h in row] for row in search.finished()]
            )
        assert found[0] == found[1]
        changed += found[0] != found[2]
    assert changed > 1
