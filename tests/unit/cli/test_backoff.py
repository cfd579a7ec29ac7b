import pytest

from tokenfall.cli.backoff import FIRST_S, MAX_S, RESET_AFTER_S, restart_delay_s


def test_delays_double_up_to_the_maximum() -> None:
    delays_s = [0.0]
    for _ in range(9):
        delays_s.append(restart_delay_s(delays_s[-1], RESET_AFTER_S - 0.1))

    assert delays_s[1:] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, MAX_S, MAX_S])


def test_delay_resets_after_a_long_uptime() -> None:
    assert restart_delay_s(MAX_S, RESET_AFTER_S) == FIRST_S
