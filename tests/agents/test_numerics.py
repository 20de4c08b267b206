"""At the edges of what can be computed every stage does something defined."""

import people
import tiny
from parlai.core.message import Message

from p2bot_parlai.method.model_files import read_model_file


def _weights(path):
    return read_model_file(str(path))["model"]


def _finite(weights):
    return all(weight.isfinite().all() for weight in weights.values())


# ------------------------------------------------------------------- a batch of one
def test_the_receiver_with_a_batch_of_one(tmp_path):
    data = people.write_people(tmp_path / "data")
    people.train(data, tmp_path / "model", seed=1, batchsize=1, negatives="batch")
    assert _finite(_weights(tmp_path / "model"))


def test_self_play_of_one_dialogue_of_one_turn(convai2, playing, tmp_path):
    """Without others there is no baseline; that of the mean is refused (test_p2bot_runs.py)."""
    changes = {"batchsize": 1, "selfplay_turns": 1, "rl_baseline": "leave-one-out"}
    tiny.train(convai2, tmp_path / "model", **{**playing, **changes})
    assert _finite(_weights(tmp_path / "model"))


# ---------------------------------------------------------------- nothing where text is
def test_a_batch_of_padding_alone_is_no_batch(bot):
    replies = bot.batch_act([Message({"batch_padding": True, "episode_done": True})] * 3)
    assert len(replies) == 3 and not any("text" in reply for reply in replies)
