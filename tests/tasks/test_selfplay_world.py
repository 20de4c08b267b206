"""Self-play as a world of ParlAI: what the batched engine plays, exchange by exchange."""

import pytest
from parlai.utils.conversations import Conversations
from parlai.utils.world_logging import WorldLogger
from playing import agent_for, opening

from p2bot_parlai.method.rollouts import Opening
from p2bot_parlai.method.words import ngrams
from p2bot_parlai.tasks.selfplay.worlds import SelfPlayWorld


@pytest.fixture(params=["multinomial", "beam"])
def learner(request, convai2, tmp_path, playing):
    changes = {"user_inference": request.param, "beam_context_block_ngram": 1}
    changes |= {"selfplay_dialogues": 3, "log_keep_fields": "all"}
    return agent_for(convai2, tmp_path / "model", {**playing, **changes})


def test_what_the_user_may_not_say_again(convai2, tmp_path, playing):
    """A token of a turn that the context has no room for counts with the full context alone."""
    changes = {"user_inference": "beam", "beam_context_block_ngram": 1, "text_truncate": 30}

    def answer(full: bool, earlier: list[int]) -> list[int]:
        path = tmp_path / str(full) / "model"
        agent = agent_for(convai2, path, {**playing, **changes, "beam_block_full_context": full})
        game = agent.selfplay.world
        user, _ = game.speakers([opening(1)])
        user.say([earlier])
        user.hear(["hello " * 30])
        return game.respond(user)[0]

    said = answer(False, [])
    assert said and answer(False, said) == said
    assert not set(answer(True, said)) & set(said)


def test_what_the_user_said_is_not_said_again(convai2, tmp_path, playing):
    changes = {"user_inference": "beam", "block_said_before": 2}
    agent = agent_for(convai2, tmp_path / "model", {**playing, **changes})
    game, said, pairs = agent.selfplay.world, [], []
    for _ in range(2):
        user, _ = game.speakers([opening(1)])
        for earlier in said:
            user.say([earlier])
        said += game.respond(user)
        pairs.append(set(ngrams(agent.dict.vec2txt(said[-1]).split(), 2)))
    assert pairs[0] and not pairs[0] & pairs[1]


def test_dialogues_go_as_in_a_batch(learner, tmp_path):
    world = SelfPlayWorld(learner.opt, [learner])
    logger, said, rewards = WorldLogger(learner.opt), [], []
    while not world.epoch_done():
        world.parley()
        user, agent = world.get_acts()
        said.append((user["text"], agent["text"]))
        assert user["episode_done"] == agent["episode_done"] == ("rewards" in agent)
        if world.episode_done():
            rewards.append(agent["rewards"])
        logger.log(world)
    logger.write(str(tmp_path / "log"), world)

    openings = [Opening(**world.teacher.get(i)["opening"]) for i in range(3)]
    scored = learner.play(openings)
    texts = scored.rollouts.user_texts, scored.rollouts.agent_texts
    turns = scored.rollouts.shape[1]
    together = [tuple(who[n][row] for who in texts) for row in range(3) for n in range(turns)]
    assert said == together
    for name, raw in scored.raw.items():
        alone = [found[name] for found in rewards]
        assert alone == [pytest.approx(row, abs=1e-5) for row in raw.tolist()]

    logged = Conversations(str(tmp_path / "log.jsonl"))
    assert len(logged) == 3
    assert [turn.text for dialogue in logged for turn in dialogue.turns] == list(sum(said, ()))
