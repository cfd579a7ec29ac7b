"""The reactor as the selector of an ordinary asyncio loop, so that coroutines and callbacks share one poller.

When asyncio calls `select`, the selector runs turns of the reactor, which handle the reactor's own descriptors and
deadlines, until asyncio has work, and returns the events of asyncio's descriptors. Imported by `Reactor.spawn` for the
first coroutine.
"""

import asyncio
import selectors
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from tokenfall.reactor.poller import HANGUP, READ, WRITE

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

    from tokenfall.reactor.loop import Reactor


class ReactorEventLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose waits are turns of `reactor`.

    A handler of the reactor that schedules a call ends the wait, because asyncio has computed its timeout before.
    """

    def __init__(self, reactor: "Reactor") -> None:
        self.selector = ReactorSelector(reactor)
        super().__init__(self.selector)
        self.reactor = reactor
        reactor.loop = self

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        self.selector.waits = False
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self.selector.waits = False
        return super().call_at(when, callback, *args, context=context)

    def stop(self) -> None:
        self.selector.waits = False
        super().stop()


class ReactorSelector(selectors.BaseSelector):
    """asyncio's descriptors, registered with the reactor's poller."""

    def __init__(self, reactor: "Reactor") -> None:
        self._reactor = reactor
        self._watched: dict[int, _Watched] = {}
        self._ready: list[tuple[selectors.SelectorKey, int]] = []
        self.waits = False
        """Whether `select` may continue to wait; set to False when asyncio has something to do."""

    def register(self, fileobj: "FileDescriptorLike", events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401, PLR0917 - the library's signature
        fd = _descriptor(fileobj)
        if fd in self._watched:
            raise KeyError(f"{fileobj!r} (descriptor {fd}) is already registered")
        watched = self._watched[fd] = _Watched(selectors.SelectorKey(fileobj, fd, events, data), self._ready)
        self._reactor.add(fd, watched, mask=_mask(events))
        return watched.key

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        watched = self._watched.pop(_descriptor(fileobj), None)
        if watched is None:
            raise KeyError(f"{fileobj!r} is not registered")
        self._remove(watched)
        return watched.key

    def modify(self, fileobj: "FileDescriptorLike", events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401, PLR0917 - the library's signature
        watched = self._watched[_descriptor(fileobj)]
        if events != watched.key.events:
            self._reactor.change(watched.key.fd, _mask(events))
        watched.key = selectors.SelectorKey(fileobj, watched.key.fd, events, data)
        return watched.key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._ready.clear()
        self.waits = True
        deadline_s = inf if timeout is None else monotonic() + timeout
        while True:
            self._reactor.turn(timeout)
            if self._ready or not self.waits or deadline_s <= monotonic():
                return self._ready.copy()
            if timeout is not None:
                timeout = deadline_s - monotonic()

    def get_map(self) -> "Mapping[FileDescriptorLike, selectors.SelectorKey]":
        return _Keys(self._watched)

    def close(self) -> None:
        """Unregister asyncio's descriptors; the reactor stays open."""
        for watched in self._watched.values():
            self._remove(watched)
        self._watched.clear()

    def _remove(self, watched: "_Watched") -> None:
        """Unregister a descriptor; one that is already closed is ignored, as in the standard library's selectors."""
        try:
            self._reactor.remove(watched.key.fd)
        except (OSError, KeyError, ValueError):
            return


class _Keys(Mapping["FileDescriptorLike", selectors.SelectorKey]):
    """The registered keys, by descriptor or by file object."""

    def __init__(self, watched: "dict[int, _Watched]") -> None:
        self._watched = watched

    def __getitem__(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        return self._watched[_descriptor(fileobj)].key

    def __iter__(self) -> "Iterator[FileDescriptorLike]":
        return iter(self._watched)

    def __len__(self) -> int:
        return len(self._watched)


class _Watched:
    """Handler of a descriptor that asyncio registered."""

    __slots__ = ("_ready", "key")

    urgent = False

    def __init__(self, key: selectors.SelectorKey, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        self.key = key
        self._ready = ready

    def ready(self, mask: int) -> None:
        """Store the events that asyncio waits for; a hang-up counts as readable and writable."""
        events = 0
        if mask & (READ | HANGUP):
            events |= selectors.EVENT_READ
        if mask & (WRITE | HANGUP):
            events |= selectors.EVENT_WRITE
        events &= self.key.events
        if events:
            self._ready.append((self.key, events))


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the running tasks and close the loop, as `asyncio.Runner` does."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def _mask(events: int) -> int:
    return (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & selectors.EVENT_WRITE else 0)


def _descriptor(fileobj: "FileDescriptorLike") -> int:
    return fileobj if isinstance(fileobj, int) else fileobj.fileno()
