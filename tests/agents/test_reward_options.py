"""Rewards as options: one's own, scaled ones, coverage."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import people
import pytest
import tiny
import torch
from playing import agent_for, opening, step

from p2bot_parlai.agents.policy_gradient import compare
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import load_perceiver, read_model_file
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.method.receiver import calibrate
from p2bot_parlai.method.rewards import combine, standardise
from p2bot_parlai.scripts.blend_receiver import BlendReceiver
from p2bot_parlai.scripts.calibrate_receiver import CalibrateReceiver

ALONE = {"lambda_style": 0.0, "lambda_coherence": 0.0, "lambda_persona": 0.0, "receiver": None}
EXAMPLES = Path(__file__).parents[2] / "examples"
EVIL = "raise AssertionError('this file was imported')"


@pytest.fixture
def modules(monkeypatch):
    """`modules(folder)` puts a folder on PYTHONPATH; what is imported of it is forgotten."""
    known = set(sys.modules)
    yield lambda folder: monkeypatch.syspath_prepend(str(folder))
    for name in set(sys.modules) & {"my_rewards", "evil"} - known:
        del sys.modules[name]


# -------------------------------------------------------------------------- one's own
def test_a_reward_of_ones_own(convai2, tmp_path, playing, modules):
    """The one of docs/method.md, beside some of ours."""
    modules(EXAMPLES)
    source = (EXAMPLES / "my_rewards.py").read_text(encoding="utf-8")
    shown = (EXAMPLES.parent / "docs/method.md").read_text(encoding="utf-8")
    assert source[source.index("class Brevity") :] in shown
    own = {**playing, "reward": "my_rewards:Brevity=0.3", "lambda_style": 0.0}
    valid, _ = tiny.train(
        convai2,
        tmp_path / "model",
        **{**own, "evaltask": "p2bot:selfplay", "validation_metric": "brevity"},
    )
    found = {name: float(value) for name, value in valid.items()}
    assert found["weighted_brevity"] == pytest.approx(0.3 * found["brevity"])
    parts = sum(found[f"weighted_{name}"] for name in ("coherence", "persona", "brevity"))
    assert found["reward"] == pytest.approx(parts, abs=1e-5)
    agent = agent_for(convai2, tmp_path / "other", own)
    said = agent.play([opening(1)])
    words = [len(texts[0].split()) for texts in said.rollouts.agent_texts]
    assert said.raw["brevity"].tolist() == [pytest.approx([-n / 10 for n in words])]


def test_a_models_file_imports_no_reward(convai2, tmp_path, playing, modules):
    """Neither as the option that was saved, nor as if it had been given on the command line."""
    (tmp_path / "evil.py").write_text(EVIL)
    modules(tmp_path)
    path = str(tmp_path / "model")
    tiny.train(convai2, path, **playing)
    opt = json.loads(Path(f"{path}.opt").read_text())
    assert opt["reward"] is None
    opt |= {"reward": "evil:X=1", "override": {"reward": "evil:X=1"}}
    Path(f"{path}.opt").write_text(json.dumps(opt))
    given = {"task": "p2bot:selfplay", "selfplay_dialogues": 3}
    with pytest.raises(P2botError, match="trained with --reward evil:X=1"):
        tiny.evaluate(convai2, path, **given)
    assert "reward" in tiny.evaluate(convai2, path, **given, reward="")
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    "given, message",
    [
        ("my_rewards:Brevity", "could not convert"),
        ("my_rewards:Brevities=1", "has no attribute 'Brevities'"),
        ("no_such_module:X=1", "No module named 'no_such_module'"),
        ("json:JSONDecoder=1", "JSONDecoder must be a subclass"),
        ("my_rewards:Brevity=1,my_rewards:Brevity=2", "the name brevity is taken"),
    ],
)
def test_rewards_that_cannot_be_used(convai2, tmp_path, playing, modules, given, message):
    modules(EXAMPLES)
    with pytest.raises(P2botError, match=message):
        tiny.train(convai2, tmp_path / "model", **{**playing, "reward": given})


@pytest.mark.parametrize("name", ["entropy", "covered"])
def test_a_name_that_the_report_has(convai2, tmp_path, playing, modules, name):
    source = "from p2bot_parlai.method.reward_models import Reward\nclass X(Reward):\n    name = "
    (tmp_path / "evil.py").write_text(f"{source}'{name}'\n")
    modules(tmp_path)
    with pytest.raises(P2botError, match=f"the name {name} is taken"):
        tiny.train(convai2, tmp_path / "model", **{**playing, "reward": "evil:X=1"})


# ----------------------------------------------------------------------------- scaled
def test_scaled_rewards_are_learnt_from_and_raw_ones_reported(convai2, tmp_path, playing):
    """All but the one whose unit is its own."""
    weights = {"style": 0.4, "coherence": 0.1, "persona": 0.5, "repetition": 1.0, "overlong": 1.0}
    reports = {}
    for scale in ("none", "batch"):
        options = {**playing, "reward_scale": scale, "lambda_repetition": 1.0}
        options |= {"lambda_overlong": 1.0}
        agent = agent_for(convai2, tmp_path / scale / "model", options)
        scored = agent.play([opening(n) for n in range(4)])
        reports[scale] = step(agent, range(4))[0]["metrics"]
    assert scored.weights == weights
    too_long = scored.raw["overlong"] = -torch.arange(12.0).view(4, 3)  # here all are cut
    names = weights.keys() - {"overlong"}
    expected = sum(weights[name] * standardise(scored.raw[name]) for name in names)
    expected += too_long - too_long.mean()  # the mean of the others is 0
    found = compare([scored], weights, "mean", names).advantages
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    together = combine(scored.raw, weights)
    found = compare([scored], weights, "mean").advantages
    torch.testing.assert_close(found, together - together.mean())
    for report in reports.values():
        assert report["reward"].value() == pytest.approx(scored.total[0].mean().item(), abs=1e-5)
    assert abs(reports["none"]["rl_loss"].value() - reports["batch"]["rl_loss"].value()) > 1e-3


# --------------------------------------------------------------------------- coverage
def calibrate_file(path: str, data: str, **options) -> Sequence[float]:
    task = f"{people.TASK}:convai2:self_original"
    given = {"task": task, "distractors": 5, "hard_candidates": 0, **tiny.QUIET, **options}
    return CalibrateReceiver.main(datapath=data, model_file=path, **given)


@pytest.fixture
def calibrated(tmp_path, tiny_receiver) -> str:
    """The tiny Receiver after parlai calibrate_receiver."""
    path = str(tmp_path / "receiver")
    for ending in ("", ".dict", ".opt"):
        shutil.copy(tiny_receiver + ending, path + ending)
    calibrate_file(path, people.write_people(tmp_path / "people"))
    return path


def test_calibration_is_of_the_highest_relevance_in_a_dialogue(calibrated, tmp_path, monkeypatch):
    seen, see = [], Perceiver.see
    monkeypatch.setattr(Perceiver, "see", lambda *asked: seen.append(asked[1:]) or see(*asked))
    found = calibrate_file(calibrated, str(tmp_path / "people"), batchsize=1)
    perceiver = load_perceiver(calibrated)
    assert perceiver.calibration == found and len(seen) == 24
    sides = ([], [])
    for said, own, others in seen:
        assert 3 <= len(own) <= 4 and not set(own) & set(others)
        for side, sentences in zip(sides, (own, others), strict=True):
            side += [max(perceiver.relevance([u], [s]).item() for u in said) for s in sentences]
    expected = calibrate(*map(torch.tensor, sides))
    assert found == pytest.approx(expected, rel=1e-3)


def test_nothing_to_calibrate_on_is_said(calibrated, tmp_path, monkeypatch):
    """The calibration that was there is not written again as if it had been measured."""
    monkeypatch.setattr(Perceiver, "see", lambda *asked: None)
    with pytest.raises(P2botError, match="nothing to measure on"):
        calibrate_file(calibrated, str(tmp_path / "people"))


def test_a_receiver_is_calibrated_when_it_is_validated(tmp_path):
    data, path = people.write_people(tmp_path / "data"), str(tmp_path / "model")
    options = {"task": f"{people.TASK}:convai2:self_original", "hard_candidates": 0}
    people.train(data, path, validation_every_n_steps=3, seed=1, **options)
    stored = load_perceiver(path).calibration
    assert stored == pytest.approx(calibrate_file(path, data), rel=1e-4)
    # other weights have none
    blended = str(tmp_path / "blended")
    BlendReceiver.main(models=path, start=path, outfile=blended)
    assert load_perceiver(blended).calibration == ()


def set_calibration(path: str, *numbers: float) -> None:
    states = read_model_file(path)
    states["p2bot"]["calibration"] = list(numbers)
    torch.save(states, path)


def test_coverage_is_reported(convai2, tmp_path, playing, calibrated):
    set_calibration(calibrated, 0.5, -1.0)  # that of a Receiver of a moment may be negative
    options = {**playing, **ALONE, "receiver": calibrated, "lambda_coverage": 0.5}
    agent = agent_for(convai2, tmp_path / "model", options)
    for reply in step(agent, [1, 2, 3]):
        found = {name: metric.value() for name, metric in reply["metrics"].items()}
        assert found["reward"] == pytest.approx(0.5 * found["coverage"], abs=1e-6)
        assert 0 <= found["covered_turn1"] <= found["covered_turn2"] <= found["covered_turn3"] <= 1
        assert "user_covered" in found and "perception" not in found


def test_a_receiver_that_was_not_calibrated(convai2, tmp_path, playing):
    options = {**playing, "lambda_coverage": 0.5}
    with pytest.raises(P2botError, match="parlai calibrate_receiver"):
        agent_for(convai2, tmp_path / "model", options)


def test_a_receiver_that_takes_people_for_others(convai2, tmp_path, playing, calibrated):
    """With a slope below 0 the reward would be for what reveals nothing."""
    set_calibration(calibrated, -0.5, 1.0)
    options = {**playing, "receiver": calibrated, "lambda_coverage": 0.5}
    with pytest.raises(P2botError, match="more relevant than others'.*--lambda-coverage 0"):
        agent_for(convai2, tmp_path / "model", options)


@pytest.mark.parametrize("damage", [[1.0], [1.0, float("nan")], ["a", 1.0], 5])
def test_a_calibration_that_is_none(calibrated, damage):
    states = read_model_file(calibrated)
    states["p2bot"]["calibration"] = damage
    torch.save(states, calibrated)
    with pytest.raises(P2botError, match="its calibration is"):
        load_perceiver(calibrated)
