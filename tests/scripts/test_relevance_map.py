"""``parlai relevance_map``: Figure 6 from a file and from a task, and its errors."""

import people
import pytest

from p2bot_parlai.errors import P2botError
from p2bot_parlai.scripts.relevance_map import RelevanceMap, parse_dialogues

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
    with pytest.raises(P2botError, match="dialogue 0 of mine.txt has no utterance"):
        parse_dialogues("your persona: i sing.\n", "mine.txt")


def test_a_picture_of_a_file(model, tmp_path):
    (tmp_path / "mine.txt").write_text(PLAIN, encoding="utf-8")
    given = {"model_file": str(model / "model"), "dialogue": str(tmp_path / "mine.txt")}
    path = tmp_path / "map.svg"
    relevance = RelevanceMap.main(outfile=str(path), loglevel="error", **given)
    assert relevance.shape == (2, 2)
    svg = path.read_text(encoding="utf-8")  # numbers and wrapped words can be searched
    assert f"{relevance[0, 0]:.2f}" in svg and "for $5 and has" in svg
    with pytest.raises(P2botError, match="map.bmp.*png"):
        RelevanceMap.main(outfile=str(tmp_path / "map.bmp"), loglevel="error", **given)


def test_a_picture_of_a_task(model, tmp_path):
    given = {"model_file": str(model / "model"), "datapath": str(model / "data"), "index": 6}
    relevance = RelevanceMap.main(
        task="convai2:self_revised", outfile=str(tmp_path / "map.png"), loglevel="error", **given
    )
    assert relevance.shape == (4, 4)
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(P2botError, match="--index 99: convai2:self_revised has 24 dialogues"):
        RelevanceMap.main(task="convai2:self_revised", loglevel="error", **{**given, "index": 99})
    with pytest.raises(P2botError, match="--dialogue FILE"):
        RelevanceMap.main(loglevel="error", **given)
