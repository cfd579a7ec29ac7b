"""The event loop: waits for descriptors and deadlines and calls their handlers.

It runs in one of two states, with the same turns:

| state | a turn is run by | left on |
|---|---|---|
| without asyncio | `run` | `stop`, or `spawn` of the first coroutine |
| under asyncio | the asyncio loop's `select` (`bridge.py`) | `stop`, or the end of the asyncio loop |

A turn: wait; handle ready descriptors; turn the timer wheel; run the calls of `call_soon`. Each part is bounded.
"""

from math import inf
from time import monotonic

from tokenfall import logs
from tokenfall.metrics.registry import Histogram
from tokenfall.reactor.poller import READ, make_poller
from tokenfall.reactor.wakeup import Wakeup
from tokenfall.reactor.wheel import TimerWheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from typing import Any, Protocol

    from tokenfall.reactor.poller import Events, Poller

    class Handler(Protocol):
        """Handles the events of one descriptor."""

        @property
        def urgent(self) -> bool:
            """Whether the peer waits for a first response: its events are handled before those of running streams."""
            ...

        def ready(self, mask: int) -> None:
            """Called with a mask of `READ`, `WRITE` and `HANGUP`. Spurious calls are possible."""
            ...


ADAPT_EVERY_S = 0.1
"""Interval of measuring the loop's load, which determines the width of the wheel's slots."""

MAX_WAIT_S = 3_600.0
"""Maximum wait: pollers count milliseconds in 32 bits, and a deadline may be weeks away."""

MAX_DEFERRALS = 3
"""How many turns in a row may handle urgent events only."""

MAX_URGENT = 16
"""How many urgent events such a turn handles, so that very many new requests do not delay streams by much."""

OVERSLEPT_S = 0.005
"""A wait that ends this late shows that the process got no CPU time: its quota is used up, or other processes use the
CPU. The loop then counts as saturated, regardless of its measured idle time."""

_log = logs.get(__name__)


class Reactor:
    """The event loop of one thread. Only `call_soon_threadsafe` may be called from other threads."""

    def __init__(self, poller: "Poller | None" = None) -> None:
        self.poller = poller or make_poller()
        self.wheel = TimerWheel(Histogram())
        self.loop: asyncio.AbstractEventLoop | None = None
        """The asyncio loop that runs this loop's turns; None before the first coroutine."""
        self._handlers: list[Handler | None] = []
        self._calls: list[Callable[[], object]] = []
        self._before_wait: list[Callable[[], object]] = []
        self._wakeup: Wakeup | None = None
        self._stopping = False
        self._deferrals = 0
        self._slept_s = 0.0
        self._window_s = monotonic()

    # Descriptors

    def add(self, fd: int, handler: "Handler", *, mask: int = READ) -> None:
        """Call `handler.ready` when `fd` is ready. Raises OSError without registering it."""
        self.poller.register(fd, mask)
        handlers = self._handlers
        if fd >= len(handlers):
            handlers += [None] * (fd + 1 - len(handlers))
        handlers[fd] = handler

    def change(self, fd: int, mask: int) -> None:
        """Change the mask of a descriptor; 0 reports hang-ups only."""
        self.poller.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Unregister a descriptor. Must be called before it is closed."""
        self._handlers[fd] = None
        self.poller.unregister(fd)

    @property
    def handlers(self) -> "list[Handler]":
        """The handlers of all registered descriptors."""
        return [handler for handler in self._handlers if handler is not None]

    # Calls

    def call_soon(self, call: "Callable[[], object]") -> None:
        """Run `call` at the end of this turn; if called from such a call, at the end of the next."""
        self._calls.append(call)

    def call_before_wait(self, call: "Callable[[], object]") -> None:
        """Run `call` before the loop waits again: after the handlers, tasks and timers that are ready now."""
        self._before_wait.append(call)

    def call_soon_threadsafe(self, call: "Callable[[], object]") -> None:
        """`call_soon` from any thread. `enable_wakeups` must have been called."""
        self._calls.append(call)
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.wake()

    def call_at(self, deadline_s: float, call: "Callable[[], object]") -> "Timer":
        """Run `call` once at `deadline_s`, monotonic seconds."""
        timer = Timer(call)
        self.wheel.schedule(timer, deadline_s)
        return timer

    def spawn(self, coroutine: "Coroutine[Any, Any, Any]") -> "asyncio.Task[Any]":
        """Run a coroutine as a task. The first call imports asyncio."""
        if self.loop is None:
            from tokenfall.reactor.bridge import ReactorEventLoop  # noqa: PLC0415 - 2.4 MiB, often never needed

            self.loop = ReactorEventLoop(self)
            logs.install()
        return self.loop.create_task(coroutine)

    # Wake-ups by threads and signals

    def enable_wakeups(self, on_signal: "Callable[[int], None] | None" = None) -> None:
        """Let other threads and, with `on_signal`, signals interrupt a wait.

        `on_signal` is called in a turn of the loop with the number of each signal that has a Python handler. Only the
        main thread may pass it.
        """
        self._wakeup = Wakeup(self, on_signal)

    # Running

    def run(self) -> None:
        """Run turns until `stop`; pending calls, timers and descriptors remain."""
        self._stopping = False
        while not self._stopping:
            if self.loop is None:
                self.turn()
            else:
                self.loop.run_forever()

    def stop(self) -> None:
        """End `run` after this turn."""
        self._stopping = True
        if self.loop is not None and self.loop.is_running():  # if not running, its next run would stop at once
            self.loop.stop()

    def turn(self, timeout_s: float | None = None) -> None:
        """Wait for events, calls or deadlines, at most `timeout_s`, and handle them."""
        wheel = self.wheel
        if self._before_wait:
            self._run(self._before_wait)
        if self._calls or self._stopping:
            timeout_s = 0.0
        else:
            due_s = wheel.wait_s()
            if due_s is not None and (timeout_s is None or due_s < timeout_s):
                timeout_s = due_s
            if timeout_s is not None and timeout_s > MAX_WAIT_S:
                timeout_s = MAX_WAIT_S
        events = self._wait(timeout_s)
        if len(events) > 1:
            events = self._urgent_only(events)
        handlers = self._handlers
        for fd, mask in events:
            handler = handlers[fd]
            if handler is not None:  # None if another handler of this turn removed it
                try:
                    handler.ready(mask)
                except Exception:  # noqa: BLE001 - a defect of one handler must not end the process
                    _log.exception("a handler of a descriptor failed")
        wheel.turn()
        if self._calls:
            self._run(self._calls)

    def close(self) -> None:
        """Release everything, including the asyncio loop, whose tasks are cancelled first."""
        self._stopping = False  # turns wait as usual while the tasks end
        if self._wakeup is not None:  # first, because a wake-up could stop the loop that cancels the tasks
            self._wakeup.close()
            self._wakeup = None
        if self.loop is not None:
            from tokenfall.reactor.bridge import close_loop  # noqa: PLC0415 - already loaded

            close_loop(self.loop)
            self.loop = None
        self.wheel.clear()
        self._calls.clear()
        self._before_wait.clear()
        self.poller.close()

    def _wait(self, timeout_s: float | None) -> "Events":
        """The ready descriptors. The time spent waiting is counted as the loop's idle time."""
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

    def _urgent_only(self, events: "Events") -> "Events":
        """The events of urgent handlers, or all if there are none; the poller reports the others again.

        So a new request waits for one stream, and not at each of its steps for all streams that have a token.
        """
        if self._deferrals < MAX_DEFERRALS:
            handlers = self._handlers
            urgent = [event for event in events if (handler := handlers[event[0]]) is not None and handler.urgent]
            if urgent and len(urgent) < len(events):
                self._deferrals += 1
                return urgent[:MAX_URGENT]
        self._deferrals = 0
        return events

    @staticmethod
    def _run(calls: "list[Callable[[], object]]") -> None:
        count = len(calls)  # calls added meanwhile run the next time
        for number in range(count):
            try:
                calls[number]()
            except Exception:  # noqa: BLE001 - a defect of one call must not end the process
                _log.exception("a call of the reactor failed")
        del calls[:count]  # in place, because another thread may append to it


class Timer:
    """A single call, as an entry of the timer wheel."""

    __slots__ = ("_call", "deadline_s", "slot")

    def __init__(self, call: "Callable[[], object]") -> None:
        self.slot: int | None = None
        self.deadline_s = 0.0
        self._call = call

    def due(self, now_s: float) -> None:
        """Called by the wheel."""
        self._call()
