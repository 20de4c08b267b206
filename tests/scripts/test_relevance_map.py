"""``parlai relevance_map``: Figure 6 from a file and from a task, and its errors."""

import sys

import numpy as np
import people
import pytest

from p2bot_parlai.errors import P2botError
from p2bot_parlai.scripts.relevance_map import RelevanceMap, parse_dialogues
from p2bot_parlai.tools.figures import draw_relevance_map

PLAIN = """your persona: i collect lemons.
your persona: my uncle sells kites for $5 and has done so for as long as i can think back.
hello !
look at these lemons !
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    home = tmp_path_factory.mktemp("map")
    people.train(people.write_people(home / "data"), home / "model")
    return home


def test_plain_and_numbered_dialogues():
    plain = parse_dialogues(PLAIN, "plain")[0]
    assert plain.utterances == ["hello !", "look at these lemons !"]
    assert len(plain.persona) == 2
    numbered = "\n".join(people.dialogue(0) + people.dialogue(1, turns=2))
    first, second = parse_dialogues(numbered, "numbered")
    assert len(first.utterances) == 4 and len(second.utterances) == 2
    assert second.utterances[0] == people.SAID[0].format(people.person(1)[0])


@pytest.mark.parametrize(
    ("text", "missing"), [("hello\n", "profile sentence"), ("your persona: i sing.\n", "utterance")]
)
def test_half_a_dialogue_is_named(text, missing):
    with pytest.raises(P2botError, match=f"dialogue 0 of mine.txt has no {missing}"):
        parse_dialogues(text, "mine.txt")


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_of_a_file(model, tmp_path, ending):
    (tmp_path / "mine.txt").write_text(PLAIN, encoding="utf-8")
    path = tmp_path / f"map.{ending}"
    relevance = RelevanceMap.main(
        model_file=str(model / "model"),
        dialogue=str(tmp_path / "mine.txt"),
        outfile=str(path),
        loglevel="error",
    )
    assert relevance.shape == (2, 2)
    content = path.read_bytes()
    if ending == "png":
        assert content.startswith(b"\x89PNG")
    else:  # text stays text: numbers and wrapped words can be searched
        svg = content.decode("utf-8")
        assert f"{relevance[0, 0]:.2f}" in svg and "for $5 and has" in svg


def test_a_picture_of_a_task(model, tmp_path):
    given = {"model_file": str(model / "model"), "datapath": str(model / "data"), "index": 6}
    relevance = RelevanceMap.main(
        task="convai2:self_revised", outfile=str(tmp_path / "map.png"), loglevel="error", **given
    )
    assert relevance.shape == (4, 4)
    with pytest.raises(P2botError, match="--index 99: convai2:self_revised has 24 dialogues"):
        RelevanceMap.main(task="convai2:self_revised", loglevel="error", **{**given, "index": 99})
    with pytest.raises(P2botError, match="--dialogue FILE"):
        RelevanceMap.main(loglevel="error", **given)


def test_an_unknown_ending_is_named(tmp_path):
    with pytest.raises(P2botError, match="map.bmp.*png"):
        draw_relevance_map(np.zeros((1, 1)), ["a"], ["b"], str(tmp_path / "map.bmp"))


def test_it_says_first_that_matplotlib_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(P2botError, match="pip install matplotlib"):
        RelevanceMap.main(model_file="none", loglevel="error")
