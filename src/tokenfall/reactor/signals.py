"""Signals by their plain numbers. The module `signal` makes enums of them, and imports a quarter of a MiB for that.

| signal | at the start | while serving |
|---|---|---|
| SIGTERM, SIGINT, SIGHUP, SIGQUIT | ends the process, status 128 + its number | drains; a second one ends the process |
| SIGUSR1, SIGUSR2 | ignored | ignored |

SIGHUP stays ignored where it was when the process started: `nohup` asks for that.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING or "signal" in sys.modules:
    from signal import (
        SIG_IGN,
        SIGHUP,
        SIGINT,
        SIGQUIT,
        SIGTERM,
        SIGUSR1,
        SIGUSR2,
        getsignal,
        set_wakeup_fd,
        signal,
    )
else:
    from _signal import (
        SIG_IGN,
        SIGHUP,
        SIGINT,
        SIGQUIT,
        SIGTERM,
        SIGUSR1,
        SIGUSR2,
        getsignal,
        set_wakeup_fd,
        signal,
    )

__all__ = ["ENDED_BY_SIGNAL", "SIGINT", "SIGTERM", "exit_on", "set_wakeup_fd", "stop_signals", "take_over", "watch"]

ENDED_BY_SIGNAL = 128
"""An exit status says which signal ended the process by its number, added to this."""


def stop_signals() -> tuple[int, ...]:
    """What asks the server to stop."""
    if getsignal(SIGHUP) == SIG_IGN:
        return (SIGTERM, SIGINT, SIGQUIT)
    return (SIGTERM, SIGINT, SIGHUP, SIGQUIT)


def take_over() -> None:
    """To be called first of all: until there is something to drain, a signal to stop ends the process silently."""
    for number in stop_signals():
        exit_on(number, ENDED_BY_SIGNAL + number)
    for number in (SIGUSR1, SIGUSR2):
        signal(number, SIG_IGN)


def watch(number: int) -> None:
    """Have the interpreter handle a signal, so that `set_wakeup_fd`'s descriptor gets its number, and do no more."""
    signal(number, _nothing)


def exit_on(number: int, status: int) -> None:
    """End the process at once on a signal, with nothing said and nothing closed."""
    signal(number, lambda *_: os._exit(status))


def _nothing(number: int, frame: object) -> None:
    pass
