"""Each reward on made-up dialogues: whose words it scores, and against which persona."""

import copy
import math
import weakref

import naive
import pytest
import torch

from p2bot_parlai.errors import UsageError
from p2bot_parlai.method import reward_models, rewards
from p2bot_parlai.method.backbones import from_json
from p2bot_parlai.method.layout import Turn
from p2bot_parlai.method.reward_models import (
    Coverage,
    DiscourseCoherence,
    LanguageStyle,
    Overlong,
    PersonaPerception,
    Repetition,
    SupervisedReading,
    style_prefix,
)
from p2bot_parlai.method.rollouts import Opening, Rollouts
from p2bot_parlai.method.tokenizers import P2botTokenizer


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=0)


AGENT = [["hi", "i own a cat", "i own a cat"], ["no", "yes", "i live in Bern with six hens"]]
USER = [["hello", "who ?", "why ?"], ["what ?", "really", "and you ?"]]


@pytest.fixture
def rollouts(bot) -> Rollouts:
    """Two dialogues of three turns; every other response was cut, without [EOS]."""
    tokens = bot.dict.p2bot
    openings = [Opening([f"user {b}"], [f"agent {b}"], USER[b][0], b) for b in range(2)]
    found = Rollouts(openings)
    contexts = [[tokens.persona_start, tokens.persona_end] for _ in range(2)]
    for n in range(3):
        turns = []
        for b in range(2):
            contexts[b] = [*contexts[b], tokens.partner, *tokens.encode(USER[b][n])]
            words = tokens.encode(AGENT[b][n])
            response = [*words, tokens.eos] if n % 2 else words
            turns.append(Turn(contexts[b], response))
            contexts[b] = [*contexts[b], tokens.self_, *words, tokens.eos]
        found.turns.append(turns)
        found.agent_texts.append([AGENT[b][n] for b in range(2)])
        found.user_texts.append([USER[b][n] for b in range(2)])
    return found


@torch.no_grad()
def test_style_is_of_the_words_alone(bot, rollouts, monkeypatch):
    """
    Behind [SELF], which is given; [EOS] is no word. One by one, and in several parts, where no
    logits are of padding.
    """
    network, tokens = bot.network.eval(), bot.dict.p2bot
    expected = torch.zeros(2, 3)
    for b in range(2):
        for n in range(3):
            words = tokens.encode(AGENT[b][n])
            expected[b, n] = naive.log_p(network, [tokens.self_], words).mean()
    style = LanguageStyle(network.backbone, [tokens.self_], tokens)
    torch.testing.assert_close(style(rollouts), expected, atol=1e-5, rtol=0)
    output, computed = network.backbone.logits, []
    monkeypatch.setattr(reward_models, "TOKENS_AT_ONCE", 12)
    monkeypatch.setattr(network.backbone, "logits", lambda h: computed.append(len(h)) or output(h))
    torch.testing.assert_close(style(rollouts), expected, atol=1e-5, rtol=0)
    real = sum(len(tokens.encode(text)) for texts in AGENT for text in texts)
    assert sum(computed) == real and len(computed) > 1


@torch.no_grad()
def test_responses_without_words_have_a_style(bot):
    """That of a uniform guess, in bf16 too, where a product of no rows might not be possible."""
    backbone = from_json(bot.network.backbone.to_json()).eval()
    style = LanguageStyle(backbone, [1], bot.dict.p2bot)
    for backbone.precision in ("fp32", "bf16"):
        close(style.score([[], []]), [-math.log(len(bot.dict.p2bot))] * 2)


@torch.no_grad()
def test_a_response_of_one_token_is_scored_by_it(bot):
    """And a longer one from its first token on, behind a prefix of any length."""
    network, tokens = bot.network.eval(), bot.dict.p2bot
    words = tokens.encode("i live in Bern with six hens")
    prefix = style_prefix(tokenizer=tokens, start=None, text=None)
    assert prefix == tokens.encode(".")
    found = LanguageStyle(network.backbone, [*prefix, *prefix], tokens).score([words[:1], words])
    expected = [naive.log_p(network, prefix * 2, part).mean() for part in (words[:1], words)]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)
    assert found[0] != -math.log(len(tokens))  # a uniform guess


def test_what_stands_before_a_response():
    """A chat model's start token opens a message; special tokens in --style-prefix are such."""
    backend = P2botTokenizer.train(["hi there user ."], 300).backend
    backend.add_special_tokens(["<|im_start|>", "<s>"])
    tokens = P2botTokenizer(backend)
    chat, start = map(backend.token_to_id, ("<|im_start|>", "<s>"))
    assert style_prefix(tokens, start, None) == [start]
    header = style_prefix(tokens, chat, None)
    assert header[0] == chat and tokens.decode(header[1:]) == "user"
    assert style_prefix(tokens, start, "<s> hi")[0] == start
    assert start not in tokens.encode("<s> hi")


def test_a_prefix_that_the_language_model_does_not_know(bot):
    for prefix in ([], [len(bot.dict.p2bot)]):
        with pytest.raises(UsageError, match="--style-prefix"):
            LanguageStyle(bot.network.backbone, prefix, bot.dict.p2bot)


@torch.no_grad()
def test_coherence_is_eq_7_of_each_turn(bot, rollouts):
    network, tokens = bot.network.eval(), bot.dict.p2bot
    found = DiscourseCoherence(SupervisedReading(network, tokens))(rollouts)
    for n, row in enumerate(rollouts.turns):
        for b, turn in enumerate(row):
            score = naive.next_score(network, tokens, turn.context, turn.response)
            expected = score.sigmoid().log()
            torch.testing.assert_close(found[b, n], expected, atol=1e-5, rtol=0)


def test_several_batches_of_an_update_are_read_once_each(bot, rollouts, monkeypatch):
    """However often they are learnt from; then they are forgotten."""
    reading = SupervisedReading(bot.network.eval(), bot.dict.p2bot)
    read, given = bot.network.read, []
    monkeypatch.setattr(bot.network, "read", lambda packed: given.append(packed) or read(packed))
    batches = [copy.copy(rollouts) for _ in range(2)]
    first = [reading(batch) for batch in batches]
    assert all(reading(b) is f for b, f in zip(batches, first, strict=True)) and len(given) == 2
    hidden = weakref.ref(first[0][1])
    del first, batches
    assert hidden() is None


def test_each_speaker_is_held_to_its_own_persona(rollouts):
    class Table:
        """Scores by what was said and whose persona it was held against."""

        asked = 0

        def score(self, said, personas):
            self.asked += 1
            return torch.tensor([self.of(u, p) for u, p in zip(said, personas, strict=True)])

        @staticmethod
        def of(utterance, persona) -> float:
            return float(sum(map(ord, utterance)) + 10_000 * sum(map(ord, persona[0])))

    agent = torch.tensor([[Table.of(u, [f"agent {b}"]) for u in AGENT[b]] for b in range(2)])
    user = torch.tensor([[Table.of(u, [f"user {b}"]) for u in USER[b]] for b in range(2)])
    table = Table()
    reward = PersonaPerception(table, 0.25)
    found = reward.details(rollouts)
    assert torch.equal(found["perception"], agent) and torch.equal(found["user_perception"], user)
    assert torch.equal(reward(rollouts), rewards.persona_perception(agent, user, 0.25))
    assert table.asked == 2  # of either speaker once: the reward and what it is made of are one


def test_a_fact_is_covered_once(rollouts):
    """Probabilities by hand, of two profile sentences each: what is said again adds nothing."""

    class Table:
        calibration = (1.0, 0.0)

        @staticmethod
        def probability(said, persona):
            known = {"i own a cat": [0.8, 0.2], "hi": [0.0, 0.2], "yes": [0.4, 0.0]}
            return torch.tensor([known.get(text, [0.0, 0.0]) for text in said])

    reward = Coverage(Table(), 0.5)
    # agent 0: "hi" 0.1, "i own a cat" (0.8 + 0.2) / 2 = 0.5, the same again 0.5; agent 1: "no" 0,
    # "yes" 0.2, 0.2. The user says nothing of either
    found = reward.details(rollouts)
    close(found["covered"], [[0.1, 0.5, 0.5], [0.0, 0.2, 0.2]])
    close(found["user_covered"], [[0.0] * 3] * 2)
    close(found["told_again"], [[0.0, 0.0, 1.0], [0.0] * 3])
    # gains 0.1, 0.4, 0 and 0, 0.2, 0; the agent's next turn counts gamma^2 = 1/4:
    # 0.1 + 0.4 / 4 = 0.2 and 0 + 0.2 / 4 = 0.05
    close(reward(rollouts), [[0.2, 0.4, 0.0], [0.05, 0.2, 0.0]])


def test_only_what_was_said_earlier_is_a_repetition(rollouts):
    assert Repetition()(rollouts).tolist() == [[0, 0, -1], [0, 0, 0]]


def test_overlong_counts_tokens_and_ends(bot, rollouts):
    """The second turn alone ends by itself; 'six hens' and its like make the last one long."""
    lengths = torch.tensor(
        [[float(len(row[b].response)) for row in rollouts.turns] for b in (0, 1)]
    )
    expected = rewards.overlong(lengths, torch.tensor([[False, True, False]] * 2))
    found = Overlong(bot.dict.p2bot.eos)(rollouts)
    assert torch.equal(found, expected) and found[0].tolist() == [-1, 0, -1] and found[1, 2] < -1


def test_the_style_model_may_be_on_another_device(bot, monkeypatch):
    """As a Transmitter's backbone is on a GPU when the reward is made."""
    backbone = from_json(bot.network.backbone.to_json()).to("meta")
    logits, given = backbone.logits, []
    monkeypatch.setattr(backbone, "logits", lambda h: given.append(h.device) or logits(h))
    assert LanguageStyle(backbone, [1], bot.dict.p2bot).vocabulary == len(bot.dict.p2bot)
    assert given == [torch.device("meta")]
