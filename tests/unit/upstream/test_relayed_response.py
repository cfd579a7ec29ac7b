"""Each row of the table in `relayed_response.py`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest

from tokenfall.errors import UpstreamMalformed, UpstreamReset, UpstreamStreamError, UpstreamTotalTimeout
from tokenfall.upstream import response as limits
from tokenfall.upstream.relayed_response import SLICE_BYTES, RelayedResponse
from tokenfall.upstream.timeouts import UpstreamTimeouts, Watch

from tests.doubles.clocks import FakeWheel
from tests.doubles.exchanges import FakeConnection

FIRST = b"[" + b"1," * (SLICE_BYTES // 2)
"""One byte more than a slice."""


class Client:
    """A `Send` that accepts frames, or waits until the test calls `read`."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_slow = False
        self.room: asyncio.Future[None] | None = None

    def __call__(self, frame: bytes, /, *, is_token: bool = True) -> Awaitable[None] | None:
        assert not is_token
        self.sent.append(frame)
        if not self.is_slow:
            return None
        self.room = self.room or asyncio.get_running_loop().create_future()
        return self.room

    def read(self) -> None:
        room, self.room = self.room, None
        assert room is not None
        room.set_result(None)


class Relay:
    """A response on a fake connection, and its client."""

    def __init__(self) -> None:
        self.wheel = FakeWheel()
        self.connection = FakeConnection()
        self.client = Client()
        self.response = RelayedResponse(
            Watch(self.wheel, UpstreamTimeouts(), started_s=self.wheel.now(), non_streaming=True)
        )
        self.response.begin()
        self.connection.attach(self.response)
        self.response.head_received(200, [])

    async def first_slice(self, data: bytes = FIRST) -> None:
        done = self.response.end
        self.response.body_received(data)
        await done
        self.response.abandon()  # as the caller does once `end` is done

    def reads(self) -> bool:
        return self.connection.reads

    def complete(self) -> None:
        """Report the complete body, as the connection does."""
        self.response.connection = None
        self.response.body_ended()


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    yield made
    made.response.close()
    assert made.wheel.waiting == {}


async def test_small_body_is_collected_and_checked(relay: Relay) -> None:
    done = relay.response.end
    relay.response.body_received(b"[1")
    relay.response.body_received(b"]")
    relay.complete()
    await done

    assert (relay.response.body, relay.response.is_large) == (b"[1]", False)
    assert relay.reads()


async def test_small_body_that_reports_an_error_fails(relay: Relay) -> None:
    done = relay.response.end
    relay.response.body_received(b'{"error":{"message":"no"}}')
    relay.complete()
    with pytest.raises(UpstreamStreamError, match="no"):
        await done


async def test_first_slice_of_a_large_body_pauses_the_connection(relay: Relay) -> None:
    await relay.first_slice()

    assert relay.response.is_large
    assert not relay.reads()
    assert relay.connection.calls == []  # `abandon` does not close it


async def test_large_body_is_forwarded_as_it_arrives(relay: Relay) -> None:
    await relay.first_slice()
    relay.response.body_received(b"2,")  # the rest of the read
    forwarding = asyncio.ensure_future(relay.response.forward(relay.client))
    await asyncio.sleep(0)
    assert relay.reads()
    relay.response.body_received(b"3] \n")
    relay.complete()
    await forwarding

    assert relay.client.sent == [FIRST + b"2,", b"3] \n"]


async def test_slow_client_stops_the_reading_of_the_upstream(relay: Relay) -> None:
    await relay.first_slice()
    relay.client.is_slow = True
    forwarding = asyncio.ensure_future(relay.response.forward(relay.client))
    for part in (b"2,", b"3,"):
        await asyncio.sleep(0)
        assert not relay.reads()
        relay.client.read()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert relay.reads()
        relay.response.body_received(part)
    assert not relay.reads()
    forwarding.cancel()


async def test_body_that_is_complete_before_it_is_forwarded_is_sent_once(relay: Relay) -> None:
    await relay.first_slice()
    relay.response.body_received(b"2]")
    relay.complete()
    await relay.response.forward(relay.client)

    assert relay.client.sent == [FIRST + b"2]"]


async def test_large_body_that_does_not_begin_as_json_fails_before_it_is_forwarded(relay: Relay) -> None:
    done = relay.response.end
    relay.response.body_received(b"<html>" + FIRST)
    with pytest.raises(UpstreamMalformed, match="JSON"):
        await done


@pytest.mark.parametrize("last", [b"", b"2", b"2}"])
async def test_large_body_that_does_not_end_as_json_fails(relay: Relay, last: bytes) -> None:
    await relay.first_slice()
    relay.response.body_received(last)
    relay.complete()
    with pytest.raises(UpstreamMalformed, match="not complete JSON"):
        await relay.response.forward(relay.client)


@pytest.mark.parametrize("is_forwarding", [False, True])
async def test_large_body_that_breaks_off_fails(relay: Relay, is_forwarding: bool) -> None:
    await relay.first_slice()
    forwarding = asyncio.ensure_future(relay.response.forward(relay.client))
    if is_forwarding:
        await asyncio.sleep(0)
    relay.response.broken(UpstreamReset("it broke"))
    with pytest.raises(UpstreamReset):
        await forwarding


async def test_large_body_is_limited_by_the_total_time(relay: Relay) -> None:
    await relay.first_slice()
    forwarding = asyncio.ensure_future(relay.response.forward(relay.client))
    await asyncio.sleep(0)
    relay.wheel.advance(UpstreamTimeouts().total_s)
    with pytest.raises(UpstreamTotalTimeout):
        await forwarding


async def test_large_body_is_limited_in_size(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    await relay.first_slice()
    forwarding = asyncio.ensure_future(relay.response.forward(relay.client))
    await asyncio.sleep(0)
    monkeypatch.setattr(limits, "MAX_BODY_BYTES", len(FIRST))
    relay.response.body_received(b"]")
    with pytest.raises(UpstreamMalformed, match="more than"):
        await forwarding
    assert relay.client.sent == [FIRST]


async def test_length_over_the_limit_fails_before_the_body() -> None:
    relay = Relay()
    relay.response.head_received(200, [("content-length", str(limits.MAX_BODY_BYTES + 1))])
    with pytest.raises(UpstreamMalformed, match="more than"):
        await relay.response.end
    relay.response.close()


async def test_response_that_is_not_forwarded_is_closed(relay: Relay) -> None:
    await relay.first_slice()
    relay.response.broken(UpstreamReset("nobody awaits this error"))
    relay.response.close()

    assert relay.connection.calls[-1] == "abandon"
