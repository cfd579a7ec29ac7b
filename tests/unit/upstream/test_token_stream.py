import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from tokenfall.engines.tap import MAX_ANSWER_BYTES, Tap
from tokenfall.errors import (
    UpstreamFirstTokenTimeout,
    UpstreamMalformed,
    UpstreamReset,
    UpstreamTotalTimeout,
    UpstreamTruncated,
)
from tokenfall.events import Delta, Finished
from tokenfall.upstream.timeouts import UpstreamTimeouts, Watch
from tokenfall.wire.upstream.reader import ResponseReader

from tests.doubles.clocks import FakeWheel
from tests.doubles.connections import settle

DONE = b"data: [DONE]\n\n"


def said(text: str) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"delta": {"content": text}}]}).encode()


class Inner(BaseProtocol):
    """Stands for aiohttp's protocol: what it receives is the body, as it is."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.content = aiohttp.StreamReader(self, 2**16, loop=asyncio.get_running_loop())
        self.lost = False

    def data_received(self, data: bytes) -> None:
        if data:  # aiohttp hands itself nothing at all when it resumes
            self.content.feed_data(data)

    def eof_received(self) -> None:
        self.content.feed_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = True
        super().connection_lost(exc)


class FakeConnection:
    """A response whose body has yet to come, with the transport that it comes from."""

    def __init__(self, *, whole: bool = False) -> None:
        self.inner = Inner()
        self.content = self.inner.content
        self.protocol: object = self.inner
        self._reads = True
        self.transport = self
        self.connection = None if whole else self

    def get_protocol(self) -> object:
        return self.protocol

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return self._reads

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True


class Relay:
    """An answer on its way through a tap."""

    def __init__(self, *, whole: bool = False) -> None:
        self.connection = FakeConnection(whole=whole)
        self.heard: list[str] = []
        self.full: asyncio.Future[None] | None = None
        self.wheel = FakeWheel()
        watch = Watch(self.wheel, UpstreamTimeouts(), started_s=self.wheel.now())
        self.tap = Tap(cast(aiohttp.ClientResponse, self.connection), ResponseReader(), hear=self._hear, watch=watch)
        self.answer = asyncio.ensure_future(self.tap.answer())

    def _hear(self, delta: Delta) -> Awaitable[None] | None:
        self.heard.append(delta.text)
        return self.full

    async def comes(self, data: bytes) -> None:
        self.tap.data_received(data)
        await settle()


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    await settle()
    yield made
    made.answer.cancel()
    await settle()
    assert made.wheel.waiting == {}
    assert made.connection.protocol is made.connection.inner


async def test_tokens_are_heard_where_they_come_in(relay: Relay) -> None:
    relay.tap.data_received(said("Be"))
    assert relay.heard == ["Be"]  # no task switch between
    relay.tap.data_received(said("cause") + DONE)

    assert relay.heard == ["Be", "cause"]
    assert await relay.answer == Finished("stop", "")


async def test_an_answer_that_has_come_whole_already(relay: Relay) -> None:
    whole = Relay(whole=True)
    whole.connection.content.feed_data(said("Be") + said("cause") + DONE)
    whole.connection.content.feed_eof()

    assert await whole.answer == Finished("stop", "")
    assert whole.heard == ["Be", "cause"]


def ends_in_order(relay: Relay) -> None:
    relay.tap.eof_received()


def is_cut_in_order(relay: Relay) -> None:
    relay.tap._half_closed = True
    relay.tap.connection_lost(None)


def is_reset(relay: Relay) -> None:
    relay.connection.content.feed_eof()  # as aiohttp ends a body that only the connection ends
    relay.tap.connection_lost(ConnectionResetError())


def is_given_up_by_aiohttp(relay: Relay) -> None:
    relay.tap.connection_lost(None)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (ends_in_order, UpstreamTruncated),
        (is_cut_in_order, UpstreamReset),
        (is_reset, UpstreamReset),
        (is_given_up_by_aiohttp, UpstreamMalformed),
    ],
)
async def test_an_answer_without_its_end_is_broken(
    relay: Relay, end: Callable[[Relay], None], kind: type[Exception]
) -> None:
    relay.tap.data_received(said("Be"))
    end(relay)
    with pytest.raises(kind):
        await relay.answer

    assert relay.heard == ["Be"]


async def test_what_is_no_stream_is_broken(relay: Relay) -> None:
    relay.tap.data_received(b"data: junk\n\n")
    with pytest.raises(UpstreamMalformed, match="no chunk of its format"):
        await relay.answer


async def test_what_aiohttp_cannot_read_is_broken_and_not_shown(relay: Relay) -> None:
    relay.connection.content.set_exception(aiohttp.ClientPayloadError("s3cret"))
    relay.tap.data_received(b"")
    with pytest.raises(UpstreamReset, match=r"^the connection to the upstream broke$"):
        await relay.answer


async def test_what_was_said_before_a_break_in_the_same_read_is_heard(relay: Relay) -> None:
    relay.tap.data_received(said("Be") + b"data: junk\n\n")
    with pytest.raises(UpstreamMalformed):
        await relay.answer

    assert relay.heard == ["Be"]


async def test_silence_is_too_late(relay: Relay) -> None:
    relay.wheel.advance(31.0)
    with pytest.raises(UpstreamFirstTokenTimeout, match="did not begin to answer"):
        await relay.answer


async def test_while_the_listener_is_full_the_upstream_waits(relay: Relay) -> None:
    relay.full = asyncio.get_running_loop().create_future()
    await relay.comes(said("Be"))
    assert not relay.connection.is_reading()
    relay.full.set_result(None)
    relay.full = None
    await settle()
    assert relay.connection.is_reading()
    await relay.comes(said("cause") + DONE)

    assert await relay.answer == Finished("stop", "")
    assert relay.heard == ["Be", "cause"]


async def test_who_is_cancelled_gives_the_transport_back(relay: Relay) -> None:
    assert relay.connection.get_protocol() is relay.tap
    relay.answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await relay.answer

    assert relay.connection.get_protocol() is relay.connection.inner


async def test_aiohttp_hears_all_that_happens_to_its_connection(relay: Relay) -> None:
    inner = relay.connection.inner
    relay.tap.pause_writing()
    paused = inner._paused
    relay.tap.resume_writing()
    assert (paused, inner._paused) == (True, False)
    relay.tap.connection_lost(ConnectionResetError())
    assert inner.lost
    with pytest.raises(UpstreamReset):
        await relay.answer


async def test_all_time_is_over_also_while_the_listener_is_full(relay: Relay) -> None:
    relay.full = full = asyncio.get_running_loop().create_future()
    await relay.comes(said("Be"))
    relay.wheel.advance(299.0)
    await settle()
    assert not relay.answer.done()
    relay.wheel.advance(1.5)
    await settle()
    assert relay.answer.done(), "nobody waits for a client that reads nothing any more"
    with pytest.raises(UpstreamTotalTimeout):
        await relay.answer
    assert full.cancelled()


async def test_the_genuine_end_still_waits_for_room(relay: Relay) -> None:
    relay.full = asyncio.get_running_loop().create_future()
    await relay.comes(said("Be"))
    await relay.comes(said("cause") + DONE)
    assert not relay.answer.done()
    relay.full.set_result(None)
    await settle()

    assert await relay.answer == Finished("stop", "")
    assert relay.heard == ["Be", "cause"]


async def test_who_is_cancelled_while_the_listener_is_full_waits_for_nothing(relay: Relay) -> None:
    relay.full = full = asyncio.get_running_loop().create_future()
    await relay.comes(said("Be"))
    relay.answer.cancel()
    await settle()

    assert relay.answer.cancelled()
    assert full.cancelled()


@pytest.mark.parametrize("text", ["x", "é", "🙂"])
async def test_an_answer_may_not_be_larger_than_its_limit(relay: Relay, text: str) -> None:
    piece = text * (MAX_ANSWER_BYTES // 1_024 // len(text.encode()))
    for _ in range(1_024):
        relay.tap.data_received(said(piece))
    assert len("".join(relay.heard).encode()) == MAX_ANSWER_BYTES
    assert not relay.answer.done()
    relay.tap.data_received(said("x") + DONE)
    with pytest.raises(UpstreamMalformed, match="more than 4194304 bytes"):
        await relay.answer

    assert len(relay.heard) == 1_024, "what is too much is not told"
