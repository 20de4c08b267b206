"""Each reward on made-up dialogues: whose words it scores, and against which persona."""

import naive
import pytest
import torch

from p2bot_parlai.method import reward_models, rewards
from p2bot_parlai.method.backbones import from_json
from p2bot_parlai.method.layout import Turn
from p2bot_parlai.method.reward_models import (
    DiscourseCoherence,
    LanguageStyle,
    PersonaPerception,
    Repetition,
    SupervisedReading,
)
from p2bot_parlai.method.rollouts import Opening, Rollouts

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
    """Behind [SELF], which is given; [EOS] is no word. One by one, and in several parts."""
    network, tokens = bot.network.eval(), bot.dict.p2bot
    expected = torch.zeros(2, 3)
    for b in range(2):
        for n in range(3):
            words = tokens.encode(AGENT[b][n])
            expected[b, n] = naive.log_p(network, [tokens.self_], words).mean()
    style = LanguageStyle(network.backbone, [tokens.self_], tokens)
    torch.testing.assert_close(style(rollouts), expected, atol=1e-5, rtol=0)
    monkeypatch.setattr(reward_models, "ROWS_AT_ONCE", 4)
    torch.testing.assert_close(style(rollouts), expected, atol=1e-5, rtol=0)


def test_style_without_a_token_before_the_words(bot, rollouts):
    """The first word is given then; it is not scored and does not count."""
    tokens = bot.dict.p2bot
    backbone = bot.network.eval().backbone
    words = tokens.encode("i live in Bern with six hens")
    given = LanguageStyle(backbone, words[:1], tokens).score([words[1:]])
    assert torch.equal(LanguageStyle(backbone, [], tokens).score([words]), given)


@torch.no_grad()
def test_coherence_is_eq_7_of_each_turn(bot, rollouts):
    network, tokens = bot.network.eval(), bot.dict.p2bot
    found = DiscourseCoherence(SupervisedReading(network, tokens))(rollouts)
    for n, row in enumerate(rollouts.turns):
        for b, turn in enumerate(row):
            score = naive.next_score(network, tokens, turn.context, turn.response)
            expected = score.sigmoid().log()
            torch.testing.assert_close(found[b, n], expected, atol=1e-5, rtol=0)


def test_each_speaker_is_held_to_its_own_persona(rollouts):
    class Table:
        """Scores by what was said and whose persona it was held against."""

        def score(self, said, personas):
            return torch.tensor([self.of(u, p) for u, p in zip(said, personas, strict=True)])

        @staticmethod
        def of(utterance, persona) -> float:
            return float(sum(map(ord, utterance)) + 10_000 * sum(map(ord, persona[0])))

    agent = torch.tensor([[Table.of(u, [f"agent {b}"]) for u in AGENT[b]] for b in range(2)])
    user = torch.tensor([[Table.of(u, [f"user {b}"]) for u in USER[b]] for b in range(2)])
    reward = PersonaPerception(Table(), 0.25)
    found = reward.perceptions(rollouts)
    assert torch.equal(found[0], agent) and torch.equal(found[1], user)
    assert torch.equal(reward(rollouts), rewards.persona_perception(agent, user, 0.25))


def test_only_what_was_said_earlier_is_a_repetition(rollouts):
    assert Repetition()(rollouts).tolist() == [[0, 0, -1], [0, 0, 0]]


def test_the_style_model_may_be_on_another_device(bot, monkeypatch):
    """As a Transmitter's backbone is on a GPU when the reward is made."""
    backbone = from_json(bot.network.backbone.to_json()).to("meta")
    logits, given = backbone.logits, []
    monkeypatch.setattr(backbone, "logits", lambda h: given.append(h.device) or logits(h))
    assert LanguageStyle(backbone, [], bot.dict.p2bot).vocabulary == len(bot.dict.p2bot)
    assert given == [torch.device("meta")]
