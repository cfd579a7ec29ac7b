import pytest

from tokenfall.cli.backoff import FIRST_S, LIVED_S, MOST_S, Backoff


def test_waits_double_up_to_the_most() -> None:
    backoff = Backoff()
    waits = [backoff.after(0.0) for _ in range(9)]

    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, MOST_S, MOST_S])


def test_who_lived_long_enough_is_started_again_at_once_and_those_after_it_too() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(LIVED_S - 0.1)

    assert backoff.after(LIVED_S) == FIRST_S
    assert backoff.after(0.0) == FIRST_S * 2


def test_each_has_waits_of_its_own() -> None:
    Backoff().after(0.0)

    assert Backoff().after(0.0) == FIRST_S
