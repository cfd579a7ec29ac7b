"""Streams of repeating frames: one object, shared by any number of connections."""

from itertools import islice

import pytest

from tokenfall.http.request import Request
from tokenfall.http.response import EncodedFrames, RepeatedStream, StreamHead
from tokenfall.http.server import HTTPServer

from tests.doubles.clocks import FakeWheel
from tests.doubles.connections import PIPE_BYTES, FakeApplication, FakeClient
from tests.unit.http.conftest import Connect, Drain

ASK = b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n"
AB = EncodedFrames([b"a\n", b"bc\n"])
END = EncodedFrames([b"end\n"])
NO_END = EncodedFrames([])


def stream(count: int | None, *, end: EncodedFrames = END) -> RepeatedStream:
    return RepeatedStream(StreamHead("text/plain"), AB, end=end, count=count, first_s=2.0, gap_s=1.0)


def body(client: FakeClient) -> bytes:
    return client.read().partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("end", [END, NO_END])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
async def test_sent_bytes_match_the_streams_frames(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, count: int, end: EncodedFrames, chunked: bool
) -> None:
    steady = stream(count, end=end)
    application.handler = lambda _: steady
    client.send(ASK if chunked else b"GET /s HTTP/1.0\r\n\r\n")
    wheel.advance(2.0 + count)
    expected = b"".join(steady.frames(chunked)) + (b"0\r\n\r\n" if chunked else b"")

    assert body(client) == expected
    assert [(ended.outcome, ended.sent_bytes) for ended in application.ends] == [("complete", len(expected))]


@pytest.mark.parametrize(("end", "tokens"), [(END, 3), (NO_END, 3)])
async def test_words_count_as_tokens_and_the_end_frame_does_not(
    client: FakeClient,
    application: FakeApplication,
    wheel: FakeWheel,
    server: HTTPServer,
    end: EncodedFrames,
    tokens: int,
) -> None:
    application.handler = lambda _: stream(3, end=end)
    client.send(ASK)
    wheel.advance(10.0)

    assert server.metrics.tokens == tokens
    assert (sum(server.metrics.ttft_s.counts), sum(server.metrics.inter_token_s.counts)) == (1, 2)


async def test_connections_share_one_stream_and_each_starts_at_the_first_frame(
    connect: Connect, application: FakeApplication, wheel: FakeWheel
) -> None:
    steady = stream(2)
    application.handler = lambda _: steady
    one, other = connect(), connect()
    one.send(ASK)
    wheel.advance(2.5)
    other.send(ASK)
    wheel.advance(10.0)

    assert body(one) == body(other) == b"".join(steady.frames(True)) + b"0\r\n\r\n"
    assert list(islice(steady.gaps, 3)) == list(islice(steady.gaps, 3)) == [2.0, 1.0, 1.0]


async def test_cut_stream_ends_with_the_shutdown_frame(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, drain: Drain
) -> None:
    def handler(_: Request) -> RepeatedStream:
        steady = stream(None)
        steady.shutdown_frame = lambda next_frame: b"not " + next_frame
        return steady

    application.handler = handler
    client.send(ASK)
    wheel.advance(2.5)
    await drain(0.1)

    assert body(client) == b"2\r\na\n\r\nc\r\nnot 3\r\nbc\n\r\n\r\n0\r\n\r\n"
    assert [(ended.outcome, ended.sent_bytes) for ended in application.ends] == [("cut", len(body(client)))]


async def test_other_bytes_that_pause_the_connection_precede_the_next_frame(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    application.handler = lambda _: stream(None)
    client.send(ASK)
    wheel.advance(2.0)
    other = b"x" * (2 * PIPE_BYTES)
    client.connection.write(other)
    wheel.advance(1.0)
    sent = body(client)
    wheel.advance(1.0)

    assert sent + body(client)[len(sent) :] == b"2\r\na\n\r\n" + other + b"3\r\nbc\n\r\n2\r\na\n\r\n"
