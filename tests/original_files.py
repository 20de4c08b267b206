"""
Small model files in exactly the form of the released code's, and what that code made of them.

The reference reads ``context <start> response <end>`` anew for everything, through
transformers' GPT and BERT, whose parameters have the same names.
"""

import json
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertModel,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
    OpenAIGPTTokenizer,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'"
SPECIAL = ["<t1start>", "<t1end>", "<pstart>", "<pend>", "<nofact>", "<start>", "<end>"]
DISTANCES = 30
WIDTH, HEAD_SIZE, LAYERS, POSITIONS = 16, 8, 2, 320


def write_vocabulary(folder: Path) -> Path:
    """GPT's form: letters, letters that end a word, and a few merges."""
    folder.mkdir(parents=True)
    tokens = ["<unk>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    merges = [("t", "h"), ("th", "e</w>"), ("i", "n"), ("o", "u</w>"), ("a", "r")]
    tokens += [a + b for a, b in merges]
    ids = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    return folder


class Reference:
    """:param folder: the vocabulary. :param seed: of the random weights."""

    def __init__(self, folder: Path, seed: int = 0):
        self.tokenizer = OpenAIGPTTokenizer.from_pretrained(str(folder))
        words = len(json.loads((folder / "vocab.json").read_text()))
        self.ids = {token: words + place for place, token in enumerate(SPECIAL)}
        config = OpenAIGPTConfig(
            vocab_size=words + len(SPECIAL) + 1 + DISTANCES,
            n_positions=POSITIONS,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=WIDTH // HEAD_SIZE,
            initializer_range=0.3,  # so that answers differ
        )
        torch.manual_seed(seed)
        self.model = OpenAIGPTLMHeadModel(config).eval()
        self.head = torch.randn(2, WIDTH)

    def words(self, text: str) -> list[int]:
        return self.tokenizer(text.lower(), add_special_tokens=False)["input_ids"]

    def context(self, persona: list[str], turns: list[tuple[bool, str]], limit=256) -> list[int]:
        ids = self.ids
        line = [ids["<pstart>"], *self.words(" ".join(persona)), ids["<pend>"]]
        for own, text in turns:
            said = self.words(text)
            line += said if own else [ids["<t1start>"], *said, ids["<t1end>"]]
        return line[-limit:]

    def response(self, text: str, limit=32) -> list[int]:
        return [*self.words(text)[: limit - 1], self.ids["<end>"]]

    @torch.no_grad()
    def read(self, context: list[int], response: list[int]):
        """Losses of the response's tokens, and p(y = 1)."""
        line = torch.tensor([[*context, self.ids["<start>"], *response]])
        hidden = self.model.transformer(line).last_hidden_state[0]
        logits = self.model.lm_head(hidden[len(context) : -1])
        losses = torch.nn.functional.cross_entropy(logits, torch.tensor(response), reduction="none")
        return losses, (self.head @ hidden[-1]).softmax(dim=0)[1].item()

    @torch.no_grad()
    def greedy(self, context: list[int], longest=32) -> list[int]:
        line = [*context, self.ids["<start>"]]
        for _ in range(longest):
            line.append(int(self.model(torch.tensor([line])).logits[0, -1].argmax()))
            if line[-1] == self.ids["<end>"]:
                break
        return line[len(context) + 1 :]

    def states(self) -> dict:
        """``model`` of the file."""
        body = self.model.transformer.state_dict()
        weights = OrderedDict(
            start_tensor=torch.tensor([self.ids["<start>"]]),
            pred_turn_tensor=torch.tensor([len(self.model.transformer.tokens_embed.weight)]),
        )
        for name, tensor in body.items():
            weights[f"transformer_module.transformer.{name}"] = tensor
        mask = torch.ones(POSITIONS, POSITIONS).tril().view(1, 1, POSITIONS, POSITIONS)
        for layer in range(LAYERS):
            weights[f"transformer_module.transformer.h.{layer}.attn.bias"] = mask
        weights["transformer_module.lm_head.decoder.weight"] = body["tokens_embed.weight"]
        weights["linear.weight"] = self.head
        return weights


@contextmanager
def old_module(path: str, **members):
    """A module that is there while a file is written, and gone when it is read."""
    parts = path.split(".")
    names = [".".join(parts[: end + 1]) for end in range(len(parts))]
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[path]).update(members)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def write_file(path: Path, weights: dict, **more) -> str:
    """As torch 1.0 wrote it, with an optimizer that holds an object of its library."""
    name, module = "WarmupLinearSchedule", "pytorch_pretrained_bert.optimization"
    schedule = type(name, (), {"__module__": module})
    group = {"lr": 6.25e-5, "schedule": schedule(), "params": [0, 1]}
    group["schedule"].warmup = 0.002
    states = {
        "model": weights,
        "longest_label": 32,
        "optimizer": {"optimizer": {"state": {0: {"step": 3}}, "param_groups": [group]}},
        "optimizer_type": "gpt_custom",
        "opt": {"lr": 1e-4, "task": "convai2"},
        **more,
    }
    with old_module(module, **{name: schedule}):
        torch.save(states, path, _use_new_zipfile_serialization=False)
    return str(path)


# --------------------------------------------------------------------------- the Receiver
def write_bert_vocabulary(folder: Path) -> Path:
    from tokenizers import BertWordPieceTokenizer

    folder.mkdir(parents=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    made = BertWordPieceTokenizer(str(folder / "vocab.txt"))
    made.save(str(folder / "tokenizer.json"))
    return folder


def a_bert(folder: Path, seed: int = 0) -> BertModel:
    words = len((folder / "vocab.txt").read_text().split("\n"))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // HEAD_SIZE,
        intermediate_size=24,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    return BertModel(config).eval()


def bert_states(model: BertModel) -> dict:
    weights = OrderedDict(START=torch.tensor([2]), bilinear_weight=torch.zeros(WIDTH, WIDTH))
    for name, tensor in model.state_dict().items():
        weights[f"sent_encoder.bert_model.{name}"] = tensor
    return weights
