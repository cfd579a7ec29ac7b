from collections.abc import AsyncIterator

import pytest

from tokenfall.errors import UpstreamFailed, UpstreamKeyRefused, UpstreamMalformed, UpstreamRefused, UpstreamReset
from tokenfall.upstream import response as module
from tokenfall.upstream.error_body import BODY_S
from tokenfall.upstream.exchange import StaleConnection
from tokenfall.upstream.refusals import MAX_ERROR_BODY_BYTES
from tokenfall.upstream.response import CompleteResponse
from tokenfall.upstream.timeouts import UpstreamTimeouts, Watch

from tests.doubles.clocks import FakeWheel
from tests.doubles.exchanges import FakeConnection
from tests.doubles.memory import held_bytes

REFUSAL = b'{"error":{"message":"no such model"}}'


class ResponseHarness:
    """A complete response on a fake connection."""

    def __init__(self) -> None:
        self.wheel = FakeWheel()
        self.connection = FakeConnection()
        self.response = CompleteResponse(
            Watch(self.wheel, UpstreamTimeouts(), started_s=self.wheel.now(), non_streaming=True)
        )
        self.response.begin()
        self.done = self.response.end
        self.connection.attach(self.response)


@pytest.fixture
async def harness() -> AsyncIterator[ResponseHarness]:
    made = ResponseHarness()
    yield made
    made.response.stop()
    assert made.wheel.waiting == {}


async def test_200_returns_the_body(harness: ResponseHarness) -> None:
    harness.response.head_received(200, [("content-encoding", "identity")])
    harness.response.body_received(b'{"He')
    harness.response.body_received(b'llo":1}')
    harness.response.body_ended()
    await harness.done

    assert (harness.response.status, harness.response.body) == (200, b'{"Hello":1}')


async def test_byte_order_mark_of_a_200_is_removed(harness: ResponseHarness) -> None:
    harness.response.head_received(200, [])
    harness.response.body_received(b'\xef\xbb\xbf{"a":1}')
    harness.response.body_ended()
    await harness.response.end

    assert harness.response.body == b'{"a":1}'


async def test_200_over_the_size_limit_is_malformed(harness: ResponseHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 4)
    harness.response.head_received(200, [])
    harness.response.body_received(b"1234")
    assert not harness.done.done()
    harness.response.body_received(b"5")
    with pytest.raises(UpstreamMalformed, match="more than 4 bytes"):
        await harness.done


async def test_body_in_small_chunks_takes_no_more_memory_than_its_bytes(harness: ResponseHarness) -> None:
    harness.response.head_received(200, [])
    chunks = [b"%d" % number for number in range(10, 100)] * 1_000

    def receive() -> None:
        for chunk in chunks:
            harness.response.body_received(bytes(bytearray(chunk)))  # a new object each, as from a parser

    assert held_bytes(receive) < 2 * len(b"".join(chunks))


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
async def test_compressed_200_is_malformed(harness: ResponseHarness, coding: str) -> None:
    harness.response.head_received(200, [("content-encoding", coding)])
    with pytest.raises(UpstreamMalformed, match="compressed"):
        await harness.done


async def test_200_that_breaks_off_fails_with_the_connection_error(harness: ResponseHarness) -> None:
    harness.response.head_received(200, [])
    harness.response.broken(UpstreamReset("it broke"))
    with pytest.raises(UpstreamReset):
        await harness.done


async def test_stale_connection_is_raised_to_the_sender(harness: ResponseHarness) -> None:
    harness.response.broken(StaleConnection())
    with pytest.raises(StaleConnection):
        await harness.done
    harness.response.begin()
    again = harness.response.end
    harness.response.head_received(200, [])
    harness.response.body_received(b"{}")
    harness.response.body_ended()
    await again


async def test_refusal_has_the_message_of_its_body(harness: ResponseHarness) -> None:
    harness.response.head_received(404, [("retry-after", "7")])
    for at in range(len(REFUSAL)):
        harness.response.body_received(REFUSAL[at : at + 1])
    assert not harness.done.done()
    harness.response.body_ended()
    with pytest.raises(UpstreamRefused, match="no such model"):
        await harness.done


async def test_refusal_whose_body_breaks_off_is_still_the_refusal(harness: ResponseHarness) -> None:
    harness.response.head_received(401, [])
    harness.response.broken(UpstreamReset("it broke"))
    with pytest.raises(UpstreamKeyRefused):
        await harness.done


async def test_refusal_with_a_slow_body_is_reported_after_a_second(harness: ResponseHarness) -> None:
    harness.response.head_received(503, [("retry-after", "7")])
    harness.response.body_received(b"{")
    harness.wheel.advance(BODY_S - 0.1)
    assert not harness.done.done()
    harness.wheel.advance(0.6)
    with pytest.raises(UpstreamFailed) as caught:
        await harness.done

    assert caught.value.retry_after_s == 7.0
    assert harness.connection.calls == ["abandon"]


async def test_refusal_with_an_endless_body_is_reported_at_the_size_limit(harness: ResponseHarness) -> None:
    harness.response.head_received(500, [])
    for _ in range(MAX_ERROR_BODY_BYTES // 1_024 - 1):
        harness.response.body_received(b"x" * 1_024)
    assert not harness.done.done()
    harness.response.body_received(b"x" * 1_024)
    with pytest.raises(UpstreamFailed):
        await harness.done

    assert harness.connection.calls == ["abandon"]
