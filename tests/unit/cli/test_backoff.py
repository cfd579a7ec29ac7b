import pytest

from tokenfall.cli.backoff import FIRST_S, MAX_S, RESET_AFTER_S, Backoff


def test_delays_double_up_to_the_maximum() -> None:
    backoff = Backoff()
    waits = [backoff.after(0.0) for _ in range(9)]

    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, MAX_S, MAX_S])


def test_delay_resets_after_a_long_uptime() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(RESET_AFTER_S - 0.1)

    assert backoff.after(RESET_AFTER_S) == FIRST_S
    assert backoff.after(0.0) == FIRST_S * 2


def test_backoffs_are_independent() -> None:
    Backoff().after(0.0)

    assert Backoff().after(0.0) == FIRST_S
