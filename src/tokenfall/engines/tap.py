"""Takes an answer's tokens where they come in, without a task switch for each.

aiohttp makes the connection, the request and the head of the answer, and decodes its body; between the transport and
aiohttp's protocol sits a `Tap`, which hands each read on and then looks at once what aiohttp made of it. Awaiting
`response.content` instead costs a future, a task switch and two coroutines a token: 4 of 20 microseconds, measured.
It uses the public interfaces of asyncio (`set_protocol`) and aiohttp (`StreamReader.read_nowait`) only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

import aiohttp

from tokenfall.engines.watch import Watch
from tokenfall.errors import TokenfallError, UpstreamBroken, UpstreamMalformed, UpstreamReset, UpstreamTruncated
from tokenfall.events import CallPart, Delta, Finished, Passed, Thought

MAX_ANSWER_BYTES = 4_194_304
"""So much text, in UTF-8, may an answer have: an upstream must not fill the memory."""


class Reader(Protocol):
    """Bytes of a stream to events, the last of them `Finished`. `broken` says why nothing more can be read, if so."""

    broken: UpstreamBroken | None

    def feed(self, data: bytes) -> Sequence[Any]:
        """The events that `data` ends."""
        ...


HearAny = Callable[[Any], Awaitable[None] | None]
"""`Hear` for whatever the reader tells."""


class Tap(asyncio.Protocol):
    """One answer of an upstream, from its head on."""

    def __init__(self, response: aiohttp.ClientResponse, reader: Reader, *, hear: HearAny, watch: Watch) -> None:
        connection = response.connection  # None when the whole answer has come already
        self._transport = None if connection is None else connection.transport
        inner = None if self._transport is None else self._transport.get_protocol()
        self._inner = cast("asyncio.Protocol | None", inner)
        self._content = response.content
        self._reader = reader
        self._hear = hear
        self._watch = watch
        self._left_bytes = MAX_ANSWER_BYTES
        self._half_closed = False
        self._full: Awaitable[None] | None = None
        self._end: Finished | TokenfallError | None = None
        self._wakeup: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answer(self) -> Finished:
        """Tell the deltas as they come; the genuine end. Raises an `UpstreamError`."""
        if self._transport is not None:
            self._transport.set_protocol(self)
        self._watch.start(self._fail)
        try:
            self._take()
            while self._end is None:
                await self._wakeup
                self._wakeup = asyncio.get_running_loop().create_future()
                if self._full is not None:
                    await self._wait_for_room(self._full)
        finally:
            self._watch.stop()
            self._leave()
        if isinstance(self._end, Finished):
            return self._end
        raise self._end

    async def _wait_for_room(self, full: Awaitable[None]) -> None:
        """Let the upstream wait as long as the client does."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()
        self._watch.blocked = True
        room = asyncio.ensure_future(full)
        try:
            while not room.done() and not isinstance(self._end, TokenfallError):
                await asyncio.wait((room, self._wakeup), return_when=asyncio.FIRST_COMPLETED)
                if self._wakeup.done():  # it said something that cannot be told yet, or broke
                    self._wakeup = asyncio.get_running_loop().create_future()
            if room.done():
                room.result()
        finally:
            room.cancel()
        self._full = None
        self._watch.resume()
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    # What the transport calls: aiohttp's protocol hears it first

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)
        self._take()

    def eof_received(self) -> bool | None:
        self._half_closed = True
        kept_open = None if self._inner is None else self._inner.eof_received()
        self._take()
        return kept_open

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None:
            self._inner.connection_lost(exc)
        broken: UpstreamBroken | None = None
        if exc is not None:
            broken = _reset()
        elif not self._half_closed:  # aiohttp closed it itself: it could not read the framing
            broken = UpstreamMalformed("the upstream's answer is not HTTP")
        self._take(broken)
        self._fail(broken or _reset())

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    # What they say

    def _take(self, broken: UpstreamBroken | None = None) -> None:
        """Tell what has come. `broken` is known to have ended the body, if anything is."""
        content = self._content
        if content.is_eof():
            self._leave()  # before aiohttp hands the connection to the next request
        if self._end is not None:
            return
        try:
            data = content.read_nowait()
            if data:
                self._tell(data)
            if content.at_eof():
                self._fail(broken or UpstreamTruncated("the upstream's answer ended without its end"))
        except TokenfallError as error:
            self._fail(error)
        except Exception:  # noqa: BLE001 - whatever aiohttp could not parse: its text is not ours to show
            self._fail(broken or _reset())

    def _tell(self, data: bytes) -> None:
        for event in self._reader.feed(data):
            if isinstance(event, Finished):
                self._end = event
                self._wake()
                continue
            if type(event) is Delta:
                text = event.text
                self._left_bytes -= len(text) if text.isascii() else len(text.encode())
            else:
                self._left_bytes -= _size(event)
            if self._left_bytes < 0:
                self._fail(UpstreamMalformed(f"the upstream's answer has more than {MAX_ANSWER_BYTES} bytes"))
                return
            self._watch.token()
            full = self._hear(event)
            if full is not None and self._full is None:
                self._full = full
                self._wake()
        if self._reader.broken is not None:
            self._fail(self._reader.broken)

    def _fail(self, error: TokenfallError) -> None:
        if self._end is None:
            self._end = error
            self._wake()

    def _wake(self) -> None:
        if not self._wakeup.done():
            self._wakeup.set_result(None)

    def _leave(self) -> None:
        """Give the transport back to aiohttp."""
        transport, self._transport = self._transport, None
        if transport is not None and self._inner is not None and not transport.is_closing():
            transport.set_protocol(self._inner)


def _size(event: Thought | CallPart | Passed) -> int:
    """Bytes of what an event says that is no text."""
    if isinstance(event, Passed):
        return len(event.data)
    return len((event.arguments if isinstance(event, CallPart) else event.text).encode())


def _reset() -> UpstreamReset:
    return UpstreamReset("the connection to the upstream broke")
