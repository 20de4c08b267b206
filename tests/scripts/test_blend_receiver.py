"""``parlai blend_receiver``: weights between a start and what was trained from it."""

import people
import pytest
import torch

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.scripts.blend_receiver import BlendReceiver, blend


def test_blend_by_hand():
    start = {"w": torch.tensor([0.0, 2.0])}
    trained = [{"w": torch.tensor([2.0, 2.0])}, {"w": torch.tensor([4.0, 6.0])}]
    assert blend(trained, start, 0.5)["w"].tolist() == [1.5, 3.0]
    assert blend(trained, start, 0.0)["w"].tolist() == [0.0, 2.0]
    assert blend(trained, start, 1.0)["w"].tolist() == [3.0, 4.0]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    home = tmp_path_factory.mktemp("blend")
    folder = people.write_people(home / "data")
    people.train(folder, home / "start")
    for seed in (1, 2):
        given = {"init_model": str(home / "start"), "dict_file": str(home / "start.dict")}
        people.train(folder, home / f"run{seed}", seed=seed, **given)
    return home


def test_the_blend_is_a_receiver(models):
    runs = [str(models / name) for name in ("run1", "run2")]
    BlendReceiver.main(
        models=",".join(runs), start=str(models / "start"), share=0.25, outfile=str(models / "out")
    )
    out, start, one, two = (
        load_perceiver(str(models / name)).network.state_dict()
        for name in ("out", "start", "run1", "run2")
    )
    for name, tensor in out.items():
        expected = 0.75 * start[name] + 0.25 * (one[name] + two[name]) / 2
        torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=1e-4)
    assert "hits@1" in people.evaluate(models / "data", models / "out")
    assert load_perceiver(str(models / "out")).tau == load_perceiver(runs[0]).tau
    BlendReceiver.main(models=runs[0], start=str(models / "start"), tau=2.0,
                       outfile=str(models / "warm"))  # fmt: skip
    assert load_perceiver(str(models / "warm")).tau == 2.0


def test_what_cannot_be_blended_is_named(models, tmp_path):
    given = {"models": str(models / "run1"), "outfile": str(tmp_path / "out")}
    with pytest.raises(P2botError, match="--start"):  # random weights had no start
        BlendReceiver.main(**given)
    with pytest.raises(P2botError, match="--share 2.0"):
        BlendReceiver.main(share=2.0, **given)
    with pytest.raises(P2botError, match="--tau 0.0"):
        BlendReceiver.main(tau=0.0, **given)
    with pytest.raises(P2botError, match="no Receiver at"):
        BlendReceiver.main(**{**given, "models": "nothing"})
    people.train(models / "data", models / "shared", share_encoders=True, vocab_size=400)
    with pytest.raises(P2botError, match="shared has another (tokenizer|--share-encoders) than"):
        BlendReceiver.main(**given, start=str(models / "shared"))
