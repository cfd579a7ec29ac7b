"""The run loop: waits for descriptors and deadlines, and calls those who wait for them.

Two ways to run, with the same turns:

| state | a turn is made by | left when |
|---|---|---|
| alone | `run` | `stop`, or `spawn` of the first coroutine |
| under asyncio | the asyncio loop's `select` (`bridge.py`) | `stop`, or the end of the asyncio loop |

A turn: the wait, descriptors that are ready, the timer wheel, calls asked for by `call_soon`. Each part is bounded.
"""

import os
from _thread import allocate_lock
from math import inf
from time import monotonic

from tokenfall import logs
from tokenfall.metrics import Histogram
from tokenfall.reactor.poller import READ, make_poller
from tokenfall.reactor.wheel import TimerWheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from typing import Any, Protocol

    from tokenfall.reactor.poller import Events, Poller

    class Handler(Protocol):
        """What owns a descriptor."""

        def ready(self, mask: int) -> None:
            """The descriptor is ready: a mask of `READ`, `WRITE` and `HANGUP`. May be called without a cause."""
            ...


ADAPT_EVERY_S = 0.1
"""The window in which the loop measures how busy it is, for the wheel's slots."""

MAX_WAIT_S = 3_600.0
"""The longest wait: pollers count milliseconds in 32 bits, and a deadline may be weeks away."""

OVERSLEPT_S = 0.005
"""A wait that ends so much too late means that the process has no more processor to get: its quota is used up, or
others have it. The loop then counts as saturated, however much it seemed to sleep."""

_log = logs.get(__name__)


class Reactor:
    """One loop of one thread. Only `call_soon_threadsafe` may be called from another."""

    def __init__(self, poller: "Poller | None" = None) -> None:
        self.poller = poller or make_poller()
        self.wheel = TimerWheel(Histogram())
        self.loop: asyncio.AbstractEventLoop | None = None
        """The asyncio loop that turns this one, None while it runs alone."""
        self._handlers: list[Handler | None] = []
        self._calls: list[Callable[[], object]] = []
        self._wakeup: _Wakeup | None = None
        self._stopping = False
        self._slept_s = 0.0
        self._window_s = monotonic()

    # Descriptors

    def add(self, fd: int, handler: "Handler", *, mask: int = READ) -> None:
        """Call `handler.ready` when `fd` is ready. Raises OSError, and then has not taken it."""
        self.poller.register(fd, mask)
        handlers = self._handlers
        if fd >= len(handlers):
            handlers += [None] * (fd + 1 - len(handlers))
        handlers[fd] = handler

    def change(self, fd: int, mask: int) -> None:
        """Watch a descriptor for something else; 0 for a hang-up alone."""
        self.poller.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Forget a descriptor. To be called before it is closed."""
        self._handlers[fd] = None
        self.poller.unregister(fd)

    # Calls

    def call_soon(self, call: "Callable[[], object]") -> None:
        """Call at the end of a turn: this one, or the next when a call asks for it."""
        self._calls.append(call)

    def call_soon_threadsafe(self, call: "Callable[[], object]") -> None:
        """`call_soon` from any thread. `enable_wakeups` must have been called."""
        self._calls.append(call)
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.wake()

    def call_at(self, deadline_s: float, call: "Callable[[], object]") -> "Timer":
        """Call once at `deadline_s`, monotonic seconds."""
        timer = Timer(call)
        self.wheel.join(timer, deadline_s)
        return timer

    def spawn(self, coroutine: "Coroutine[Any, Any, Any]") -> "asyncio.Task[Any]":
        """Run a coroutine. The first one brings asyncio."""
        if self.loop is None:
            from tokenfall.reactor.bridge import ReactorEventLoop  # noqa: PLC0415 - 2.4 MiB that many never need

            self.loop = ReactorEventLoop(self)
            logs.install()
        return self.loop.create_task(coroutine)

    # Wake-ups from outside

    def enable_wakeups(self, on_signal: "Callable[[int], None] | None" = None) -> None:
        """Let other threads and, with `on_signal`, the process's signal handlers end a wait.

        `on_signal` gets the number of each signal that has a Python handler, in a turn of the loop. Only the main
        thread may ask for signals.
        """
        self._wakeup = _Wakeup(self, on_signal)

    # Running

    def run(self) -> None:
        """Turn until `stop`; what still waits then stays where it is."""
        self._stopping = False
        while not self._stopping:
            if self.loop is None:
                self.turn()
            else:
                self.loop.run_forever()

    def stop(self) -> None:
        """End `run` after this turn."""
        self._stopping = True
        if self.loop is not None and self.loop.is_running():  # a loop that is not would remember it
            self.loop.stop()

    def turn(self, timeout_s: float | None = None) -> None:
        """Wait for the first thing to do, but no longer than `timeout_s`, and do it."""
        wheel = self.wheel
        if self._calls or self._stopping:
            timeout_s = 0.0
        else:
            due_s = wheel.wait_s()
            if due_s is not None and (timeout_s is None or due_s < timeout_s):
                timeout_s = due_s
            if timeout_s is not None and timeout_s > MAX_WAIT_S:
                timeout_s = MAX_WAIT_S
        events = self._wait(timeout_s)
        handlers = self._handlers
        for fd, mask in events:
            handler = handlers[fd]
            if handler is not None:  # else another handler of this turn removed it
                try:
                    handler.ready(mask)
                except Exception:  # noqa: BLE001 - a defect of one handler; the process lives
                    _log.exception("a handler of a descriptor failed")
        wheel.turn()
        if self._calls:
            self._run_calls()

    def close(self) -> None:
        """Let go of everything; of asyncio too, whose tasks are cancelled first."""
        self._stopping = False  # while tasks end, turns wait as usual
        if self._wakeup is not None:  # first: what it brings may stop the loop in which tasks are ended
            self._wakeup.close()
            self._wakeup = None
        if self.loop is not None:
            from tokenfall.reactor.bridge import close_loop  # noqa: PLC0415 - it is loaded by now

            close_loop(self.loop)
            self.loop = None
        self.wheel.clear()
        self._calls.clear()
        self.poller.close()

    def _wait(self, timeout_s: float | None) -> "Events":
        """What is ready; the time that passes in a wait is the loop's spare time."""
        if timeout_s is not None and timeout_s <= 0:
            events = self.poller.wait(0.0)
            now = monotonic()
        else:
            before = monotonic()
            events = self.poller.wait(timeout_s)
            now = monotonic()
            self._slept_s += now - before
            if timeout_s is not None and now - before > timeout_s + OVERSLEPT_S:
                self._slept_s = -inf
        if now - self._window_s >= ADAPT_EVERY_S:
            self.wheel.adapt(min(1.0, 1.0 - self._slept_s / (now - self._window_s)))
            self._window_s = now
            self._slept_s = 0.0
        return events

    def _run_calls(self) -> None:
        calls = self._calls
        count = len(calls)  # those that they ask for come in the next turn
        for number in range(count):
            try:
                calls[number]()
            except Exception:  # noqa: BLE001 - a defect of one call; the process lives
                _log.exception("a call of the reactor failed")
        del calls[:count]  # in place: another thread may be adding to it


class Timer:
    """A call to come, as an entry of a timer wheel."""

    __slots__ = ("_call", "deadline_s", "slot")

    def __init__(self, call: "Callable[[], object]") -> None:
        self.slot: int | None = None
        self.deadline_s = 0.0
        self._call = call

    def due(self, now_s: float) -> None:
        """The wheel's call."""
        self._call()


class _Wakeup:
    """A pipe whose bytes end a wait: 0 from a thread, a signal's number from its handler in the interpreter."""

    def __init__(self, reactor: Reactor, on_signal: "Callable[[int], None] | None") -> None:
        self._reactor = reactor
        self._on_signal = on_signal
        self._lock = allocate_lock()  # a wake-up must not meet a closed pipe
        self._reader, self._writer = os.pipe()
        try:
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)
            reactor.add(self._reader, self)
        except BaseException:
            self._close_pipe()
            raise
        if on_signal is not None:
            self._take_signals()

    def wake(self) -> None:
        with self._lock:
            if self._writer >= 0:
                try:
                    os.write(self._writer, b"\0")
                except BlockingIOError:
                    return  # full of wake-ups that are still to come

    def ready(self, mask: int) -> None:
        try:
            numbers = os.read(self._reader, 4096)
        except BlockingIOError:
            return
        if self._on_signal is not None:
            for number in numbers:
                if number:
                    self._on_signal(number)

    def close(self) -> None:
        if self._on_signal is not None:
            from tokenfall.reactor.signals import set_wakeup_fd  # noqa: PLC0415 - few watch for signals

            set_wakeup_fd(-1)
        self._reactor.remove(self._reader)
        with self._lock:
            self._close_pipe()

    def _take_signals(self) -> None:
        from tokenfall.reactor.signals import set_wakeup_fd  # noqa: PLC0415 - few watch for signals

        try:
            set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        except ValueError:  # only the main thread may
            self._reactor.remove(self._reader)
            self._close_pipe()
            raise

    def _close_pipe(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
        self._writer = -1
