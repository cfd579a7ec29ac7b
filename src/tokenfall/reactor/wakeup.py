"""Interrupts the wait of the event loop from another thread or a signal. Used by the loop."""

import os
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.reactor.loop import Reactor


class Wakeup:
    """A pipe whose bytes end a wait: 0 from a thread, a signal's number from the interpreter."""

    urgent = False

    def __init__(self, reactor: "Reactor", on_signal: "Callable[[int], None] | None") -> None:
        self._reactor = reactor
        self._on_signal = on_signal
        self._lock = allocate_lock()  # another thread must not write to a closed pipe
        self._reader, self._writer = os.pipe()
        try:
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)
            reactor.add(self._reader, self)
        except BaseException:
            self._close_pipe()
            raise
        if on_signal is not None:
            self._enable_signals()

    def wake(self) -> None:
        """End the current or the next wait. May be called from any thread."""
        with self._lock:
            if self._writer >= 0:
                try:
                    os.write(self._writer, b"\0")
                except BlockingIOError:
                    return  # the pipe is full of pending wake-ups

    def ready(self, mask: int) -> None:
        """Called by the loop: report the signals."""
        try:
            numbers = os.read(self._reader, 4096)
        except BlockingIOError:
            return
        if self._on_signal is not None:
            for number in numbers:
                if number:
                    self._on_signal(number)

    def close(self) -> None:
        """Close the pipe; `wake` has no effect afterwards."""
        if self._on_signal is not None:
            from tokenfall.reactor.signals import set_wakeup_fd  # noqa: PLC0415 - rarely needed

            set_wakeup_fd(-1)
        self._reactor.remove(self._reader)
        with self._lock:
            self._close_pipe()

    def _enable_signals(self) -> None:
        from tokenfall.reactor.signals import set_wakeup_fd  # noqa: PLC0415 - rarely needed

        try:
            set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        except ValueError:  # not in the main thread
            self._reactor.remove(self._reader)
            self._close_pipe()
            raise

    def _close_pipe(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
        self._writer = -1
