"""Table 2: distribution, mean and comparisons of systems, by hand."""

import pytest
import studies

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval import results
from p2bot_parlai.tools.human_eval.statistics import evaluate, paired_differences


def test_pairs_are_contexts_and_raters_of_both():
    first = {0: {"a": 4, "b": 2}, 1: {"a": 3}, 2: {"b": 1}}
    second = {0: {"a": 1, "b": 1, "c": 1}, 1: {"b": 3}, 3: {"a": 1}}
    assert paired_differences(first, second) == [2]


@pytest.fixture
def rated():
    study, key = studies.study(4)
    grades = {}
    for context in range(1, 5):
        grades["anna", studies.response_of(key, "human", context)] = 4 if context < 3 else 3
        grades["anna", studies.response_of(key, "good", context)] = 1
    grades["bob", studies.response_of(key, "human", 1)] = 4
    return study, key, grades


def test_evaluate(rated):
    found = evaluate(*rated)
    human, good, copy = found.systems
    assert human.counts == (0, 0, 2, 3) and human.mean == pytest.approx(18 / 5)
    assert (human.ratings, human.contexts) == (5, 4)
    # what two systems said alike was rated once, and counts for both
    assert good.counts == copy.counts == (4, 0, 0, 0)
    assert [(c.first, c.second) for c in found.comparisons] == [
        ("human", "good"),
        ("human", "copy"),
        ("good", "copy"),
    ]
    best, _, same = found.comparisons
    assert best.difference == pytest.approx(2.5) and best.pairs == best.unequal == 4
    # four pairs, all one way: 2 of 16 signs
    assert best.p == pytest.approx(2 / 16) and best.p_holm == pytest.approx(3 / 8)
    assert (same.unequal, same.p) == (0, 1)
    assert found.rated_twice == 1 and found.responses == 8
    assert [(r.name, r.rated) for r in found.raters] == [("anna", 8), ("bob", 1)]


def test_a_system_that_nobody_rated(rated):
    study, key, grades = rated
    human = {k: v for k, v in grades.items() if "human" in key.answered[k[1]]}
    found = evaluate(study, key, human)
    assert found.systems[1].mean is None and found.systems[1].interval is None
    assert found.comparisons[0].p is None and found.comparisons[0].pairs == 0
    row = results.table_rows(found)[1]
    assert row == ["good", "-", "-", "-", "-", "-", "-", "0", "0"]
    assert results.comparison_rows(found)[0][1:] == ["-", "0", "0", "-", "-"]
    with pytest.raises(P2botError, match="no ratings yet"):
        evaluate(study, key, {})


def test_as_text_and_markdown(rated):
    found = evaluate(*rated)
    text = results.as_text(found)
    row = next(line for line in text.splitlines() if line.startswith("human ")).split()
    assert row[:6] == ["human", "0.0", "0.0", "40.0", "60.0", "3.600"] and row[7:] == ["5", "4"]
    assert "P²Bot (paper)" in text and "2.621" in text and "not measured here" in text
    assert "not defined, all their grades are the same (1 of 8" in text
    page = results.as_text(found, markdown=True)
    row = next(line for line in page.splitlines() if line.startswith("| human "))
    assert [cell.strip() for cell in row.split("|")[2:7]] == ["0.0", "0.0", "40.0", "60.0", "3.600"]
    content = results.as_json(found)
    assert content["systems"][0]["counts"] == (0, 0, 2, 3)
    assert content["paper"]["P²Bot"]["mean"] == 2.621


def test_names_cannot_break_the_markdown():
    study, key = studies.study(1, **{"a|b<i>": ["x"], "c": ["y"]})
    grades = {("r|x", response.id): 2 for _, response in study.responses()}
    page = results.as_text(evaluate(study, key, grades), markdown=True)
    assert "| a\\|b\\<i\\> " in page and "r\\|x 2" in page
