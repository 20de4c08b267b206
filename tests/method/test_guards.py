"""Guards of self-play, by hand."""

import re

import pytest

from p2bot_parlai.method.guards import WINDOW, Guard, distinct


def test_distinct_by_hand():
    # i own, own a, a cat; i own, own a, a dog: 4 different of 6
    assert distinct(["i own a cat", "i own a dog"]) == pytest.approx(4 / 6)
    assert distinct(["hi", ""]) == 1  # no pair of words


def test_one_update_ends_no_run():
    guard = Guard(most_kl=1.0, least_distinct=0.5)
    for _ in range(WINDOW - 1):
        guard.see(100.0, 0.0)
    assert guard.reason() is None
    guard.see(100.0, 1.0)
    assert guard.reason() is not None


@pytest.mark.parametrize(
    "kl, distinct_2, reason",
    [
        (0.9, 0.6, None),
        (1.1, 0.6, "1.1 nats a response.*--stop-kl 1"),
        (0.9, 0.4, "distinct-2 is 0.4.*--stop-distinct 0.5"),
    ],
)
def test_the_mean_of_the_last_updates_ends_a_run(kl, distinct_2, reason):
    guard = Guard(most_kl=1.0, least_distinct=0.5)
    guard.see(1000.0, 0.0)  # before the window
    for n in range(WINDOW):  # alternating around the mean
        guard.see(kl + (-1) ** n * 0.5, distinct_2 + (-1) ** n * 0.3)
    found = guard.reason()
    if reason is None:
        assert found is None
    else:
        assert found and re.search(reason, found)


def test_guards_are_off_at_0():
    guard = Guard(0.0, 0.0)
    for _ in range(WINDOW):
        guard.see(1e6, 0.0)
    assert guard.reason() is None
