"""Backoff between restarts of a worker. Pure."""

FIRST_S = 0.1
MAX_S = 10.0
RESET_AFTER_S = 60.0
"""The backoff resets after this uptime."""


def restart_delay_s(previous_s: float, uptime_s: float) -> float:
    """The delay of the restart of a worker that ran for `uptime_s`: twice the previous one, from `FIRST_S` to `MAX_S`.

    `previous_s` is 0 before the first restart.
    """
    return FIRST_S if not previous_s or uptime_s >= RESET_AFTER_S else min(2 * previous_s, MAX_S)
