"""Pollers: epoll on Linux, kqueue on macOS and BSD, elsewhere poll(2) or, without that, select(2).

All are level-triggered and as precise as the platform allows: `epoll_wait` counts whole milliseconds, so the last part
of a wait is a `select(2)` on the epoll's own descriptor, which counts microseconds.
"""

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    Events = Sequence[tuple[int, int]]
    """Pairs of a descriptor and a mask of `READ`, `WRITE` and `HANGUP`."""

    class Poller(Protocol):
        """Reports ready descriptors. Not thread-safe."""

        def register(self, fd: int, mask: int) -> None:
            """Watch `fd` for `READ`, `WRITE` or both; with 0, for hang-ups only, where the platform reports them."""
            ...

        def modify(self, fd: int, mask: int) -> None:
            """Change the mask of a registered `fd`."""
            ...

        def unregister(self, fd: int) -> None:
            """Must be called before `fd` is closed."""
            ...

        def wait(self, timeout_s: float | None) -> Events:
            """Wait up to `timeout_s` seconds, without limit if None; return at most `MAX_EVENTS` events.

            May return early without events. A long wait may end up to 2 ms early.
            """
            ...

        def close(self) -> None:
            """Close the poller. Registered descriptors stay open."""
            ...


READ, WRITE, HANGUP = 1, 4, 24
"""EPOLLIN, EPOLLOUT, and EPOLLERR | EPOLLHUP, either of which is a hang-up. poll(2) has the same values."""

MAX_EVENTS = 256
"""Events handled in one turn of the loop, so that timers are not delayed."""

EXACT_BELOW_S = 0.05
"""Waits shorter than this use `select(2)`; longer ones use it for their last part only."""

NAMES = ("auto", "epoll", "kqueue", "selectors")


class PollerUnavailable(ValueError):
    """The platform lacks the named poller; the message lists the available ones."""


class EpollPoller:
    """Poller for Linux. A hang-up is always reported."""

    __slots__ = ("_epoll", "_fds", "modify", "register", "unregister")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        fd = self._epoll.fileno()
        self._fds = (fd,) if fd < FD_SETSIZE else None
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister

    def wait(self, timeout_s: "float | None") -> "Events":
        if timeout_s is None:
            return self._epoll.poll(-1, MAX_EVENTS)
        if timeout_s <= 0:
            return self._epoll.poll(0, MAX_EVENTS)
        if timeout_s >= EXACT_BELOW_S:
            return self._epoll.poll(timeout_s - 0.002, MAX_EVENTS)  # rounded up to whole milliseconds
        if self._fds is None:
            return self._epoll.poll(timeout_s, MAX_EVENTS)
        if select.select(self._fds, (), (), timeout_s)[0]:
            return self._epoll.poll(0, MAX_EVENTS)
        return ()

    def close(self) -> None:
        self._epoll.close()


class KqueuePoller:
    """Poller for macOS and BSD. A hang-up is reported as end of stream, if READ or WRITE is watched."""

    __slots__ = ("_kqueue", "_masks")

    def __init__(self) -> None:
        self._kqueue = select.kqueue()  # type: ignore[attr-defined, unused-ignore]
        self._masks: dict[int, int] = {}

    def register(self, fd: int, mask: int) -> None:
        self._masks[fd] = 0
        self.modify(fd, mask)

    def modify(self, fd: int, mask: int) -> None:
        previous, self._masks[fd] = self._masks[fd], mask
        changes = []
        for bit, kind in ((READ, select.KQ_FILTER_READ), (WRITE, select.KQ_FILTER_WRITE)):  # type: ignore[attr-defined, unused-ignore]
            if (previous ^ mask) & bit:
                flag = select.KQ_EV_ADD if mask & bit else select.KQ_EV_DELETE  # type: ignore[attr-defined, unused-ignore]
                changes.append(select.kevent(fd, kind, flag))  # type: ignore[attr-defined, unused-ignore]
        if changes:
            self._kqueue.control(changes, 0, 0)

    def unregister(self, fd: int) -> None:
        self.modify(fd, 0)
        del self._masks[fd]

    def wait(self, timeout_s: "float | None") -> "Events":
        masks: dict[int, int] = {}
        for event in self._kqueue.control(None, MAX_EVENTS, timeout_s):
            bit = READ if event.filter == select.KQ_FILTER_READ else WRITE  # type: ignore[attr-defined, unused-ignore]
            masks[event.ident] = masks.get(event.ident, 0) | bit
        return tuple(masks.items())

    def close(self) -> None:
        self._kqueue.close()


class PollPoller:
    """Poller for any platform with poll(2). A hang-up is always reported."""

    __slots__ = ("_poll", "_skipped", "modify", "register", "unregister")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._skipped = 0
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def wait(self, timeout_s: "float | None") -> "Events":
        ready = self._poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1_000)  # it rounds up
        if len(ready) <= MAX_EVENTS:
            return ready
        # poll(2) reports in order of registration: rotate, so that later descriptors are not starved.
        self._skipped = start = (self._skipped + MAX_EVENTS) % len(ready)
        return (ready[start:] + ready[:start])[:MAX_EVENTS]

    def close(self) -> None:
        """Nothing to do: poll(2) needs no descriptor of its own."""


class SelectPoller:
    """Poller for platforms without poll(2). A hang-up is reported as end of stream, if READ or WRITE is watched."""

    __slots__ = ("_idle", "_selector")

    def __init__(self) -> None:
        import selectors  # noqa: PLC0415 - 0.2 MiB that the other pollers do not need

        self._selector = selectors.SelectSelector()
        self._idle: set[int] = set()
        """Registered descriptors with the mask 0, which a selector does not accept."""

    def register(self, fd: int, mask: int) -> None:
        if mask:
            self._selector.register(fd, _of_selectors(mask))
        else:
            self._idle.add(fd)

    def modify(self, fd: int, mask: int) -> None:
        self.unregister(fd)
        self.register(fd, mask)

    def unregister(self, fd: int) -> None:
        if fd in self._idle:
            self._idle.remove(fd)
        else:
            self._selector.unregister(fd)

    def wait(self, timeout_s: "float | None") -> "Events":
        ready = self._selector.select(timeout_s)[:MAX_EVENTS]  # in set order, so no descriptor is starved
        return [(key.fd, (READ if events & 1 else 0) | (WRITE if events & 2 else 0)) for key, events in ready]

    def close(self) -> None:
        self._selector.close()


FD_SETSIZE = 1024
"""`select(2)` can watch only descriptors below this number."""


def _of_selectors(mask: int) -> int:
    """The mask of `selectors`: EVENT_READ is 1, EVENT_WRITE 2."""
    return (1 if mask & READ else 0) | (2 if mask & WRITE else 0)


def make_poller(name: str = "auto") -> "Poller":
    """Create the poller `name`; `auto` is the platform's best. Raises `PollerUnavailable`."""
    names = available()
    if name == "auto":
        name = names[0]
    if name not in names:
        raise PollerUnavailable(f"the poller {name!r} is not available on this platform; use {', '.join(names)}")
    selectors = PollPoller if hasattr(select, "poll") else SelectPoller
    return {"epoll": EpollPoller, "kqueue": KqueuePoller, "selectors": selectors}[name]()


def available() -> tuple[str, ...]:
    """Names of this platform's pollers, best first."""
    return tuple(name for name in NAMES[1:] if name == "selectors" or hasattr(select, name))
