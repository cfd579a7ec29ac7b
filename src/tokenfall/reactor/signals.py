"""Signal handling with plain signal numbers. The module `signal` converts them to enums, which costs 0.25 MiB.

| signal | during the start | while serving |
|---|---|---|
| SIGTERM, SIGINT, SIGHUP, SIGQUIT | ends the process, status 128 + its number | drains; a second one ends the process |
| SIGUSR1, SIGUSR2 | ignored | ignored |

Until `install_startup_handlers`, the defaults of the operating system apply, which end the process. That is the start
of the interpreter; `tokenfall.__main__` ignores SIGUSR1 and SIGUSR2 directly after it.

If SIGHUP was ignored when the process started, as under `nohup`, it stays ignored.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING or "signal" in sys.modules:
    import signal
else:
    import _signal as signal

SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM
set_wakeup_fd = signal.set_wakeup_fd

ENDED_BY_SIGNAL = 128
"""Exit status of a process ended by a signal: this plus the signal's number."""


def stop_signals() -> tuple[int, ...]:
    """The signals that stop the server."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return (SIGTERM, SIGINT, signal.SIGQUIT)
    return (SIGTERM, SIGINT, signal.SIGHUP, signal.SIGQUIT)


def install_startup_handlers() -> None:
    """Must be called before slow imports. Until the server listens, stop signals end the process without output."""
    for number in stop_signals():
        exit_on(number, ENDED_BY_SIGNAL + number)


def enable_wakeup(number: int) -> None:
    """Have the interpreter write the signal's number to the wake-up descriptor; that needs a Python handler."""
    signal.signal(number, _do_nothing)


def exit_on(number: int, status: int) -> None:
    """End the process at once on a signal, without output or cleanup."""
    signal.signal(number, lambda *_: os._exit(status))


def _do_nothing(number: int, frame: object) -> None:
    pass
