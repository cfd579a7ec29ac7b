import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tokenfall.errors import (
    UpstreamBroken,
    UpstreamFirstTokenTimeout,
    UpstreamMalformed,
    UpstreamNextTokenTimeout,
    UpstreamReset,
    UpstreamStreamError,
    UpstreamTotalTimeout,
    UpstreamTruncated,
)
from tokenfall.events import PassthroughEvent, ReasoningDelta, TextDelta
from tokenfall.upstream.request import UpstreamRequest
from tokenfall.upstream.timeouts import UpstreamTimeouts, Watch
from tokenfall.upstream.token_stream import ALL, MAX_EARLY, MAX_TEXT_BYTES, TokenStream
from tokenfall.wire.upstream.reader import PassthroughReader, ResponseReader

from tests.doubles.clocks import FakeWheel
from tests.doubles.connections import settle
from tests.doubles.exchanges import FakeConnection

DONE = b"data: [DONE]\n\n"
SSE = [("content-type", "text/event-stream; charset=utf-8")]


def chunk(**delta: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"delta": delta}]}).encode()


def text_chunk(text: str) -> bytes:
    return chunk(content=text)


def reads(relay: "Relay") -> bool:
    """Whether the connection is read."""
    return relay.connection.reads


class Relay:
    """A token stream on a fake connection."""

    def __init__(
        self, *, reports: tuple[type, ...] = ALL, reader: ResponseReader | PassthroughReader | None = None
    ) -> None:
        self.connection = FakeConnection()
        self.events: list[object] = []
        self.full: asyncio.Future[None] | None = None
        self.wheel = FakeWheel()
        self.request = UpstreamRequest("POST", "/chat/completions", body=b"{}")
        watch = Watch(self.wheel, UpstreamTimeouts(), started_s=self.wheel.now())
        self.stream = TokenStream(
            self.request, reader or ResponseReader(), on_event=self._on_event, watch=watch, reports=reports
        )
        self.stream.begin()
        self.done = self.stream.end
        self.connection.attach(self.stream)

    def _on_event(self, event: object) -> Awaitable[None] | None:
        self.events.append(event.text if isinstance(event, TextDelta) else event)
        return self.full

    def head(self, headers: list[tuple[str, str]] = SSE) -> None:
        self.stream.head_received(200, headers)

    def body(self, data: bytes) -> None:
        self.stream.body_received(data)


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    yield made
    made.stream.stop()
    if made.done.done():
        made.done.exception()
    assert made.wheel.waiting == {}


async def test_tokens_are_reported_synchronously(relay: Relay) -> None:
    relay.head()
    relay.body(text_chunk("Be"))
    assert relay.events == ["Be"]
    relay.body(text_chunk("cause") + DONE + text_chunk("no"))
    assert relay.events == ["Be", "cause"]
    await relay.done

    assert relay.stream.finished is not None
    assert relay.connection.calls == ["settle"]


async def test_request_is_released_with_the_first_token(relay: Relay) -> None:
    relay.head()
    relay.body(chunk(role="assistant"))
    assert (relay.stream.reported, relay.request.body) == (False, b"{}")
    relay.body(text_chunk("Be"))

    assert (relay.stream.reported, relay.request.body) == (True, None)


def passed(relay: Relay) -> list[bytes]:
    return [event.data for event in relay.events if isinstance(event, PassthroughEvent)]


def passthrough_relay() -> Relay:
    return Relay(reader=PassthroughReader(lambda _: False))


async def test_events_before_the_first_token_are_passed_with_it() -> None:
    relay = passthrough_relay()
    relay.head()
    relay.body(chunk(role="assistant") + chunk(content=""))
    assert (passed(relay), relay.stream.reported) == ([], False)
    relay.body(text_chunk("Be"))
    assert [json.loads(data)["choices"][0]["delta"] for data in passed(relay)] == [
        {"role": "assistant"},
        {"content": ""},
        {"content": "Be"},
    ]
    relay.stream.stop()


async def test_all_events_of_a_stream_without_tokens_are_passed_at_its_end() -> None:
    relay = passthrough_relay()
    relay.head()
    relay.body(chunk(role="assistant") + DONE)
    await relay.done

    assert len(passed(relay)) == 2
    assert passed(relay)[-1] == b"[DONE]"


@pytest.mark.parametrize(("text", "held"), [("", MAX_EARLY), ("x" * 9_000, 7)])
async def test_events_before_the_first_token_are_held_up_to_a_limit(text: str, held: int) -> None:
    relay = passthrough_relay()
    relay.head()
    for _ in range(held):
        relay.body(chunk(role="assistant", extra=text))
    assert passed(relay) == []
    relay.body(chunk(role="assistant", extra=text))

    assert len(passed(relay)) == held + 1
    relay.stream.stop()


async def test_connection_is_urgent_until_the_first_token(relay: Relay) -> None:
    relay.head()
    relay.body(chunk(role="assistant"))
    assert relay.connection.urgent
    relay.body(text_chunk("Be"))

    assert not relay.connection.urgent


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        (b"", UpstreamTruncated),
        *(
            (part, UpstreamTruncated)
            for part in (b'data: {"choices":[{', b"data: x", b'data: {"choices":[]}\n', b"{", b"data: [DON")
        ),
        (b'data: {"error":{"message":"busy"}}\n', UpstreamStreamError),  # without the blank line after it
        (b"data: junk\n\n", UpstreamMalformed),
    ],
)
async def test_tokens_before_an_incomplete_end_are_reported(
    relay: Relay, rest: bytes, error: type[UpstreamBroken]
) -> None:
    relay.head()
    relay.body(text_chunk("Be") + rest)
    relay.stream.body_ended()
    with pytest.raises(error):
        await relay.done

    assert relay.events == ["Be"]
    assert relay.stream.finished is None
    assert relay.connection.calls[0] == "abandon"


async def test_document_instead_of_a_stream_is_an_error_that_does_not_show_it(relay: Relay) -> None:
    relay.head([("content-type", "text/html")])
    relay.body(b"<html>s3cret</html>")
    relay.stream.body_ended()
    with pytest.raises(UpstreamBroken) as caught:
        await relay.done

    assert "s3cret" not in caught.value.message


async def test_endless_document_is_an_error_after_a_second(relay: Relay) -> None:
    relay.head([("content-type", "text/html")])
    relay.body(b"<html>")
    relay.wheel.advance(1.5)
    with pytest.raises(UpstreamMalformed, match="did not respond with a stream"):
        await relay.done


async def test_missing_first_token_times_out_despite_other_events(relay: Relay) -> None:
    relay.head()
    for _ in range(3):
        relay.wheel.advance(9.0)
        relay.body(chunk(role="assistant") + b": ping\n\n" + b'data: {"choices":[]}\n\n')
    relay.wheel.advance(4.0)
    with pytest.raises(UpstreamFirstTokenTimeout):
        await relay.done

    assert relay.connection.calls == ["abandon"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
@pytest.mark.parametrize("reader", [ResponseReader, lambda: PassthroughReader(lambda _: False)])
async def test_done_needs_no_line_end_at_the_end_of_the_body(
    end: bytes, reader: Callable[[], ResponseReader | PassthroughReader]
) -> None:
    relay = Relay(reader=reader())
    relay.head()
    relay.body(text_chunk("Be") + b"data: [DONE]" + end)
    relay.stream.body_ended()
    await relay.done

    assert relay.stream.finished is not None
    relay.stream.stop()


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b": ping\n\n", b"\n\nevent: x\n\n", b"id: 1\n", b"retry: 1\n"])
async def test_stream_of_another_content_type_is_read(relay: Relay, start: bytes) -> None:
    relay.head([("content-type", "text/plain")])
    for part in (start + text_chunk("Be"), DONE):
        relay.body(part)
    await relay.done

    assert relay.events == ["Be"]


async def test_only_the_requested_kinds_of_events_are_reported() -> None:
    relay = Relay(reports=(TextDelta, ReasoningDelta))
    relay.head()
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    relay.body(chunk(reasoning="hm") + chunk(tool_calls=[call]) + text_chunk("Be") + DONE)
    await relay.done
    relay.stream.stop()

    assert relay.events == [ReasoningDelta("hm"), "Be"]


async def test_logprobs_without_text_are_not_progress() -> None:
    relay = Relay(reader=ResponseReader(logprobs=True))
    relay.head()
    scored = {"index": 0, "delta": {"content": ""}, "logprobs": {"content": [{"token": "a", "logprob": -1}]}}
    relay.body(b"data: %b\n\n" % json.dumps({"choices": [scored]}).encode())
    relay.wheel.advance(UpstreamTimeouts().first_token_s + 1)

    with pytest.raises(UpstreamFirstTokenTimeout):
        await relay.done
    relay.stream.stop()


async def test_reasoning_is_progress_for_a_text_only_stream() -> None:
    relay = Relay(reports=(TextDelta,))
    relay.head()
    for _ in range(5):
        relay.wheel.advance(12.0)
        relay.body(chunk(reasoning="Hm"))
        assert not relay.done.done()
    relay.wheel.advance(16.0)
    with pytest.raises(UpstreamNextTokenTimeout):
        await relay.done

    assert relay.events == []
    relay.stream.stop()


# Flow control


async def test_reading_stops_until_the_callbacks_awaitable_is_done(relay: Relay) -> None:
    relay.full = asyncio.get_running_loop().create_future()
    relay.head()
    relay.body(text_chunk("Be"))
    assert not reads(relay)
    relay.full.set_result(None)
    relay.full = None
    await settle()

    assert reads(relay)
    relay.body(text_chunk("cause") + DONE)
    await relay.done
    assert relay.events == ["Be", "cause"]


async def test_error_of_the_callbacks_awaitable_ends_the_stream(relay: Relay) -> None:
    relay.full = asyncio.get_running_loop().create_future()
    relay.head()
    relay.body(text_chunk("Be"))
    relay.full.set_exception(UpstreamReset("the client has gone"))
    with pytest.raises(UpstreamReset, match="the client has gone"):
        await relay.done

    assert relay.connection.calls == ["abandon"]


async def test_slow_client_counts_towards_the_total_timeout_only(relay: Relay) -> None:
    relay.full = asyncio.get_running_loop().create_future()
    relay.head()
    relay.body(text_chunk("Be"))
    relay.wheel.advance(299.0)
    assert not relay.done.done()
    relay.wheel.advance(1.5)
    with pytest.raises(UpstreamTotalTimeout):
        await relay.done


async def test_next_token_timeout_starts_when_the_client_reads_again(relay: Relay) -> None:
    relay.full = asyncio.get_running_loop().create_future()
    relay.head()
    relay.body(text_chunk("Be"))
    relay.wheel.advance(100.0)
    relay.full.set_result(None)
    await settle()
    relay.wheel.advance(14.0)
    assert not relay.done.done()
    relay.wheel.advance(2.0)
    with pytest.raises(UpstreamNextTokenTimeout):
        await relay.done


async def test_stopped_stream_ignores_later_room(relay: Relay) -> None:
    relay.full = asyncio.get_running_loop().create_future()
    relay.head()
    relay.body(text_chunk("Be"))
    relay.stream.stop()
    relay.full.set_result(None)
    await settle()

    assert not relay.connection.reads


# Bounds


@pytest.mark.parametrize("text", ["x", "é", "🙂"])
async def test_text_is_bounded_in_bytes(relay: Relay, text: str) -> None:
    piece = text * (MAX_TEXT_BYTES // 256 // len(text.encode()))
    relay.head()
    for _ in range(256):
        relay.body(text_chunk(piece))
    assert len("".join(map(str, relay.events)).encode()) == MAX_TEXT_BYTES
    assert not relay.done.done()
    relay.body(text_chunk("x") + DONE)
    with pytest.raises(UpstreamMalformed, match="more than 4194304 bytes"):
        await relay.done

    assert len(relay.events) == 256


@pytest.mark.parametrize(("field", "value"), [("id", "x" * 65_536), ("name", "f" * 65_536)])
async def test_ids_and_names_of_tool_calls_count_as_text(relay: Relay, field: str, value: str) -> None:
    relay.head()
    for number in range(65):
        call = {"index": number, "id": f"c{number}", "function": {"name": "f", "arguments": ""}}
        (call if field == "id" else call["function"])[field] = value  # type: ignore[index]
        relay.body(chunk(tool_calls=[call]))
    with pytest.raises(UpstreamMalformed, match="more than 4194304 bytes"):
        await relay.done


@pytest.mark.parametrize("field", ["reasoning", "content"])
async def test_unreported_text_is_bounded(field: str) -> None:
    relay = Relay(reports=(TextDelta,))
    relay.head()
    for _ in range(65):
        relay.body(chunk(**{field: "x" * 65_536}))
    with pytest.raises(UpstreamMalformed, match="more than 4194304 bytes"):
        await relay.done
    relay.stream.stop()
