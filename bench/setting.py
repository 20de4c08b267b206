"""What the speed measurements work on: sizes, a P²Bot agent of random weights, made-up turns."""

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from parlai.core.agents import create_agent
from parlai.scripts.train_model import setup_args
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from p2bot_parlai import plugin
from p2bot_parlai.method.context_style import SPECIAL_TOKENS
from p2bot_parlai.method.layout import Turn


@dataclass(frozen=True)
class Size:
    """
    A network, and how much work it gets.

    :param backbone: ``llama`` is one of SmolLM2's kind, with random weights.
    :param context: tokens of a context; where a dialogue has several turns, their mean.
    :param response: tokens of a response, distractor or candidate, [EOS] included.
    :param heard: tokens of what the partner says.
    :param batch: contexts that are decoded together. :param dialogues: played together.
    :param turns: of a played dialogue. :param training_turns: of one that is learnt from.
    """

    backbone: str
    n_layers: int
    embedding_size: int
    n_heads: int
    vocabulary: int
    context: int = 150
    response: int = 16
    heard: int = 11
    candidates: int = 20
    batch: int = 8
    decoded: int = 32
    dialogues: int = 6
    turns: int = 3
    training_turns: int = 7

    def having(self, **changes) -> "Size":
        return replace(self, **changes)


SIZES = {
    # of `make demo`, and of the paper
    "sketch": Size("sketch", 2, 128, 2, 2000),
    "gpt": Size("scratch", 12, 768, 12, 40478),
    # its shape: three query heads share a key
    "smollm2": Size("llama", 30, 576, 9, 49159),
    # for the test of this benchmark
    "tiny": Size("scratch", 1, 16, 2, 50, 40, 4, 3, 3, 2, 4, 2, 2, 3),
}


def build_agent(size: Size, precision: str):
    """A P²Bot agent in training, dropout off: both sides must compute the same."""
    plugin.register()
    # the words are w7, w8, ...: one token each, so that lengths are what they are meant to be
    words = [*SPECIAL_TOKENS, *(f"w{i}" for i in range(len(SPECIAL_TOKENS), size.vocabulary))]
    vocabulary = {word: number for number, word in enumerate(words)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[0]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with TemporaryDirectory() as folder:
        Path(folder, "tokenizer.json").write_text(
            json.dumps(json.loads(backend.to_str())), encoding="utf-8"
        )
        torch.manual_seed(0)
        if size.backbone == "llama":
            LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=size.vocabulary,
                    hidden_size=size.embedding_size,
                    intermediate_size=8 * size.embedding_size // 3,
                    num_hidden_layers=size.n_layers,
                    num_attention_heads=size.n_heads,
                    num_key_value_heads=size.n_heads // 3,
                    max_position_embeddings=1024,
                    tie_word_embeddings=True,
                    bos_token_id=None,
                    eos_token_id=None,
                )
            ).save_pretrained(folder)
        agent = create_agent(
            setup_args().parse_kwargs(
                model="p2bot",
                backbone=folder if size.backbone == "llama" else size.backbone,
                tokenizer=folder,
                n_layers=size.n_layers,
                n_heads=size.n_heads,
                embedding_size=size.embedding_size,
                n_positions=1024,
                dropout=0.0,
                text_truncate=900,
                label_truncate=size.decoded,
                beam_min_length=size.decoded,  # nothing ends early: the work is always the same
                beam_size=2,
                lr_scheduler="none",
                precision=precision,
                loglevel="error",
            )
        )
    agent.is_training = True
    if size.backbone == "scratch":
        # as they are drawn, layers are so small beside the residual that every token predicts
        # itself, which would hide a difference between the sides
        for name, weight in agent.network.backbone.named_parameters():
            if weight.dim() == 2 and "embed" not in name:
                weight.data.mul_(1.5 / (0.02 * size.embedding_size**0.5))
    return agent


class Data:
    """Random tokens. :param seed: the same for both sides."""

    def __init__(self, size: Size, tokenizer, seed: int = 0):
        self.size, self.tokenizer, self.random = size, tokenizer, random.Random(seed)

    def words(self, count: int) -> list[int]:
        first = len(SPECIAL_TOKENS)
        return [self.random.randrange(first, self.size.vocabulary) for _ in range(count)]

    def response(self) -> list[int]:
        return [*self.words(self.size.response - 1), self.tokenizer.eos]

    def head(self, turns: int, spoken: int) -> list[int]:
        """
        A persona, of the length that gives the turns the requested mean context.

        :param spoken: tokens of a response in the context.
        """
        turn = 1 + self.size.heard + 1 + spoken
        length = self.size.context - (1 + self.size.heard) - turn * (turns - 1) // 2
        tokens = self.tokenizer
        return [tokens.persona_start, *self.words(max(1, length - 2)), tokens.persona_end]

    def context(self) -> list[int]:
        return [*self.head(1, 0), *self.heard()]

    def heard(self) -> list[int]:
        return [self.tokenizer.partner, *self.words(self.size.heard)]

    def dialogue(self) -> list[Turn]:
        """Turns to learn from, each context going on where the last one ended."""
        context, turns = self.head(self.size.training_turns, self.size.response), []
        for _ in range(self.size.training_turns):
            context = [*context, *self.heard()]
            turns.append(Turn(context, self.response(), [self.response()]))
            context = [*context, self.tokenizer.self_, *turns[-1].response]
        return turns

    def heads(self) -> list[list[int]]:
        """Personas of dialogues that are played."""
        size = self.size
        return [self.head(size.turns, size.decoded + 1) for _ in range(size.dialogues)]

    def said(self) -> list[list[list[int]]]:
        """What the user says: at each turn, in each dialogue."""
        size = self.size
        return [[self.heard() for _ in range(size.dialogues)] for _ in range(size.turns)]
