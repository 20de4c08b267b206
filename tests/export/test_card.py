"""What a model card says of a run, and what it keeps to itself."""

import json

import pytest

from p2bot_parlai.tools.export.card import receiver_card, reports, transmitter_card

OPT = {"model": "p2bot", "task": "convai2", "seed": 3, "alpha": 0.1, "num_epochs": -1}


def test_the_settings_of_the_run_are_told(tmp_path):
    opt = {**OPT, "backbone": str(tmp_path), "model_file": str(tmp_path / "model")}
    card = transmitter_card(opt, str(tmp_path / "model"))
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "| `--task` | convai2 |" in card and "| `--seed` | 3 |" in card
    assert "| `--backbone` | a folder |" in card and str(tmp_path) not in card
    assert "--num-epochs" not in card and "Results" not in card


@pytest.mark.parametrize("shared", [True, False])
def test_a_receivers_card_says_how_many_encoders_it_has(tmp_path, shared):
    card = receiver_card({**OPT, "share_encoders": shared}, str(tmp_path / "model"), 0.5)
    assert ("/impression" in card) is not shared
    assert "(Eq. 13) is 0.5." in card and "$" not in card


def test_reports_beside_the_model_are_told(tmp_path):
    model = str(tmp_path / "model")
    ran = {"final_valid_report": {"ppl": 12.5, "exs": 3}, "final_test_report": {}}
    (tmp_path / "model.trainstats").write_text(json.dumps(ran))
    evaluated = {"opt": {"task": "convai2:none", "datatype": "valid"}, "report": {"hits@1": 0.25}}
    (tmp_path / "model.valid.json").write_text(json.dumps(evaluated))
    (tmp_path / "model.notes.json").write_text("[]")
    assert reports(model) == {"validation": {"ppl": 12.5}, "convai2:none, valid": {"hits@1": 0.25}}
    card = transmitter_card(OPT, model)
    assert "## Results: validation\n\n| metric | |\n|---|---|\n| ppl | 12.5 |" in card
    assert "| hits@1 | 0.25 |" in card
