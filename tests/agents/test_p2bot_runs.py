"""Self-play runs as a user starts them: how they are validated, resumed, evaluated."""

import tiny


def test_it_is_validated_by_its_rewards(convai2, tmp_path, playing):
    """Also after training, when the best model is loaded and validation runs on its clones."""
    changes = {**playing, "evaltask": "p2bot:selfplay", "selfplay_dialogues": 5}
    changes |= {"validation_metric": "reward", "validation_metric_mode": "max"}
    valid, test = tiny.train(convai2, tmp_path / "model", **changes)
    assert {"reward", "coherence", "kl"} <= set(valid) & set(test)
    assert valid["exs"].value() == 5
