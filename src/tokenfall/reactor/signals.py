"""Signals by their plain numbers. The module `signal` makes enums of them, and imports a quarter of a MiB for that."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING or "signal" in sys.modules:
    from signal import SIGINT, SIGTERM, set_wakeup_fd, signal
else:
    from _signal import SIGINT, SIGTERM, set_wakeup_fd, signal

__all__ = ["SIGINT", "SIGTERM", "exit_on", "set_wakeup_fd", "watch"]


def watch(number: int) -> None:
    """Have the interpreter handle a signal, so that `set_wakeup_fd`'s descriptor gets its number, and do no more."""
    signal(number, _nothing)


def exit_on(number: int, status: int) -> None:
    """End the process at once on a signal, with nothing said and nothing closed."""
    signal(number, lambda *_: os._exit(status))


def _nothing(number: int, frame: object) -> None:
    pass
