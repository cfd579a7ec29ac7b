"""Each row of the table in `connection.py`: responses at once, byte by byte and with a tail, and every kind of end."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest

from tokenfall.errors import TokenfallError, UpstreamError, UpstreamMalformed, UpstreamReset, UpstreamUnreachable
from tokenfall.upstream.connection import DISCARD_BYTES, MAX_HEAD_BYTES, UpstreamConnection
from tokenfall.upstream.exchange import StaleConnection

from tests.doubles.exchanges import RecordedExchange
from tests.doubles.upstream_connections import REQUEST, ConnectionPair
from tests.end_to_end.in_process import eventually

MIB = 1_048_576


@pytest.fixture
async def pair() -> AsyncIterator[ConnectionPair]:
    made = ConnectionPair()
    yield made
    made.close()
    assert made.owner.closed == 1


class Case(NamedTuple):
    """A complete response, its body, and whether the connection is reused."""

    data: bytes
    body: bytes = b""
    status: int = 200
    keeps: bool = True
    is_head: bool = False


COMPLETE = {
    "by length": Case(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello", b"Hello"),
    "empty": Case(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "no reason": Case(b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
    "odd reason": Case(b"HTTP/1.1 404 N\xc3\xb6t (found)\r\nContent-Length: 1\r\n\r\nx", b"x", 404),
    "chunked": Case(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nHel\r\n2\r\nlo\r\n0\r\n\r\n", b"Hello"),
    "Chunked": Case(b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n", b"Hello"),
    "extensions": Case(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a="b"\r\nx\r\n0\r\n\r\n', b"x"),
    "trailers": Case(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nETag: 1\r\nX: 2\r\n\r\n", b"x"
    ),
    "204": Case(b"HTTP/1.1 204 No Content\r\n\r\n", b"", 204),
    "304": Case(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", b"", 304),
    "100": Case(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
    "103 and 102": Case(
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
        b"x",
        201,
    ),
    "an upgrade that is offered": Case(
        b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nx", b"x"
    ),
    "close": Case(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", b"x", keeps=False),
    "chunked and close": Case(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"x",
        keeps=False,
    ),
    "1.0": Case(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", keeps=False),
    "1.0 kept": Case(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", b"x"),
    "HEAD": Case(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", keeps=False, is_head=True),
    "HEAD, chunked": Case(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", keeps=False, is_head=True),
    "HEAD, 404": Case(b"HTTP/1.1 404 No\r\n\r\n", status=404, keeps=False, is_head=True),
}


def feed_whole(connection: UpstreamConnection, data: bytes) -> None:
    connection.data_received(data)


def feed_bytes(connection: UpstreamConnection, data: bytes) -> None:
    for at in range(len(data)):
        connection.data_received(data[at : at + 1])


Feed = Callable[[UpstreamConnection, bytes], None]
feeds = pytest.mark.parametrize("feed", [feed_whole, feed_bytes])


def by_name(cases: dict[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases.values(), ids=cases.keys())


@feeds
@by_name(COMPLETE)
async def test_complete_response_is_reported_once(pair: ConnectionPair, case: Case, feed: Feed) -> None:
    exchange = pair.send_request(is_head=case.is_head)
    feed(pair.connection, case.data)

    assert exchange.calls == ["head", *(["body"] if case.body else []), "end"]
    assert (exchange.status, exchange.body) == (case.status, case.body)
    assert pair.owner.idle == case.keeps
    assert pair.connection.is_idle == case.keeps
    assert exchange.connection is None


@by_name({name: case for name, case in COMPLETE.items() if case.keeps})
async def test_keep_alive_connection_serves_another_request(pair: ConnectionPair, case: Case) -> None:
    pair.send_request()
    pair.connection.data_received(case.data)
    exchange = pair.send_request()
    pair.connection.data_received(COMPLETE["by length"].data)

    assert (exchange.status, exchange.body) == (200, b"Hello")
    assert pair.owner.idle == 2
    assert await pair.peer_receive(2 * len(REQUEST)) == 2 * REQUEST


TAILS = {
    "a response": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    "half a response": b"HTTP/1.1 200 OK\r\nContent-Le",
    "one byte": b"H",
    "junk": b"\0\xff",
}


async def test_connection_is_urgent_from_the_request_to_the_first_event(pair: ConnectionPair) -> None:
    urgent = [pair.connection.urgent]
    exchange = pair.send_request()
    urgent.append(pair.connection.urgent)
    exchange.responding()

    assert [*urgent, pair.connection.urgent] == [False, True, False]


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())
@by_name({name: case for name, case in COMPLETE.items() if not case.is_head})
async def test_excess_data_after_a_response_closes_the_connection(
    pair: ConnectionPair, case: Case, tail: bytes
) -> None:
    exchange = pair.send_request()
    pair.connection.data_received(case.data + tail)

    assert exchange.calls[-1] == "end"
    assert (exchange.status, exchange.body) == (case.status, case.body)
    assert not pair.connection.is_idle, "the next request would get the wrong response"
    assert pair.connection.fd == -1


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"H"])
async def test_data_without_a_request_closes_the_connection(pair: ConnectionPair, data: bytes) -> None:
    pair.peer.send(data)
    await pair.wait_closed()


async def test_headers_are_reported_in_lower_case_and_in_order(pair: ConnectionPair) -> None:
    exchange = pair.send_request()
    pair.connection.data_received(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:2 \r\nContent-Length: 0\r\nX-B: \xe9\r\n\r\n")

    assert list(exchange.headers) == [("x-a", "1"), ("x-a", "2"), ("content-length", "0"), ("x-b", "é")]


async def test_neither_1xx_headers_nor_trailers_are_reported(pair: ConnectionPair) -> None:
    exchange = pair.send_request()
    pair.connection.data_received(
        b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\nETag: 1\r\n\r\n"
    )

    assert list(exchange.headers) == [("transfer-encoding", "chunked")]


# Bodies without framing


UNTIL_CLOSE = {
    "1.1": b"HTTP/1.1 200 OK\r\n\r\nHello",
    "1.0": b"HTTP/1.0 200 OK\r\n\r\nHello",
    "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nHello",
}


@feeds
@pytest.mark.parametrize("data", UNTIL_CLOSE.values(), ids=UNTIL_CLOSE.keys())
async def test_body_without_framing_ends_with_the_connection(pair: ConnectionPair, data: bytes, feed: Feed) -> None:
    exchange = pair.send_request()
    await pair.peer_receive(len(REQUEST))
    feed(pair.connection, data)
    assert exchange.calls == ["head", "body"]
    pair.peer.close()
    await pair.wait_closed()

    assert (exchange.calls, exchange.body) == (["head", "body", "end"], b"Hello")
    assert pair.owner.idle == 0


# Refused responses


MALFORMED = {
    "junk": b"HELLO\r\n\r\n",
    "HTTP/0.9": b"<html>",
    "HTTP/2": b"\0\0\x12\4\0\0\0\0\0",
    "a TLS record": b"\x15\3\1\0\2\2\x50",
    "bad status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "coded twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nHello",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nHello",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nHello",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nHello",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nHello",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk without its end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
}


@feeds
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
async def test_response_that_is_not_http_is_malformed(pair: ConnectionPair, data: bytes, feed: Feed) -> None:
    exchange = pair.send_request()
    feed(pair.connection, data)

    assert exchange.calls[-1] == "broken"
    assert isinstance(exchange.error, UpstreamMalformed)
    assert pair.connection.fd == -1


@feeds
@pytest.mark.parametrize("fields", [b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b""])
async def test_switched_protocols_are_an_error_with_their_status(
    pair: ConnectionPair, feed: Feed, fields: bytes
) -> None:
    exchange = pair.send_request()
    feed(pair.connection, b"HTTP/1.1 101 Switching\r\n" + fields + b"\r\n\x81\x05Hello")

    assert exchange.calls == ["broken"]
    assert isinstance(exchange.error, UpstreamError)
    assert exchange.error.message == "the upstream responded with status 101"
    assert exchange.error.status is None  # a 101 to the client would switch protocols


@pytest.mark.parametrize(
    ("start", "piece", "calls"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 1_024, []),
        (b"HTTP/1.1 200 ", b"a" * 1_024, []),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", []),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ",
            b"a" * 1_024,
            ["head", "body"],
        ),
    ],
    ids=["header", "reason", "1xx", "trailer"],
)
async def test_size_of_heads_and_trailers_is_limited(
    pair: ConnectionPair, start: bytes, piece: bytes, calls: list[str]
) -> None:
    exchange = pair.send_request()
    pair.connection.data_received(start)
    for _ in range(MAX_HEAD_BYTES // len(piece) + 1):
        pair.connection.data_received(piece)

    assert exchange.calls == [*calls, "broken"]
    assert isinstance(exchange.error, UpstreamMalformed)
    assert f"over {MAX_HEAD_BYTES} bytes" in exchange.error.message


async def test_total_framing_of_small_chunks_is_not_limited(pair: ConnectionPair) -> None:
    exchange = pair.send_request()
    pair.connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(MAX_HEAD_BYTES // 5):
        for part in (b"1;xx\r\n", b"x", b"\r\n"):
            pair.connection.data_received(part)

    assert exchange.calls == ["head", "body"]


async def test_error_in_an_exchange_callback_is_logged_and_fails_the_exchange(
    pair: ConnectionPair, caplog: pytest.LogCaptureFixture
) -> None:
    class Defective(RecordedExchange):
        def body_received(self, data: bytes) -> None:
            raise ZeroDivisionError("s3cret")

    exchange = Defective()
    exchange.begin()
    done = exchange.end
    pair.connection.send(REQUEST, exchange)
    with caplog.at_level(logging.ERROR):
        pair.connection.data_received(COMPLETE["by length"].data)
    with pytest.raises(TokenfallError) as caught:
        await done

    assert "s3cret" not in caught.value.message
    assert "ZeroDivisionError" in caplog.text
    assert pair.connection.fd == -1


# Ends of the connection in every state


def fin(pair: ConnectionPair) -> None:
    pair.peer.close()


def rst(pair: ConnectionPair) -> None:
    pair.reset_peer()


@pytest.fixture
async def tcp_line() -> AsyncIterator[ConnectionPair]:
    made = ConnectionPair(kind=socket.AF_INET)
    yield made
    made.close()
    assert made.owner.closed == 1


ends = pytest.mark.parametrize("end", [fin, rst])
HALF_HEAD = b"HTTP/1.1 200 OK\r\nContent-Le"
HALF_BODIES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHell",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n",
]


@ends
async def test_idle_connection_closes_at_eof(tcp_line: ConnectionPair, end: Callable[[ConnectionPair], None]) -> None:
    end(tcp_line)
    await tcp_line.wait_closed()


@pytest.mark.parametrize(
    ("is_pooled", "data", "ends", "error"),
    [
        (False, b"", (fin, rst), UpstreamUnreachable),
        (True, b"", (fin, rst), StaleConnection),
        *((True, head, (fin,), UpstreamUnreachable) for head in (HALF_HEAD, b"H", b"HTTP/1.1 100 Continue\r\n\r\n")),
        *((False, body, (fin, rst), UpstreamReset) for body in HALF_BODIES),
        (False, UNTIL_CLOSE["1.1"], (rst,), UpstreamReset),
    ],
)
async def test_error_of_a_connection_that_ends_depends_on_what_has_arrived(
    is_pooled: bool, data: bytes, ends: tuple[Callable[[ConnectionPair], None], ...], error: type[Exception]
) -> None:
    for end in ends:
        pair = ConnectionPair(kind=socket.AF_INET)
        if is_pooled:
            pair.send_request()
            pair.connection.data_received(COMPLETE["empty"].data)
        exchange = pair.send_request()
        await pair.peer_receive((1 + is_pooled) * len(REQUEST))
        if data:
            pair.connection.data_received(data)
        end(pair)
        await pair.wait_closed()

        assert exchange.calls[-1] == "broken"
        assert isinstance(exchange.error, error)


async def test_reset_before_the_request_on_a_pooled_connection_is_stale(tcp_line: ConnectionPair) -> None:
    tcp_line.send_request()
    tcp_line.connection.data_received(COMPLETE["empty"].data)
    await tcp_line.peer_receive(len(REQUEST))
    tcp_line.reset_peer()
    exchange = tcp_line.send_request()  # the write fails: nothing was read in between
    assert exchange.calls == [], "the error is reported in a later turn"
    await tcp_line.wait_closed()

    assert isinstance(exchange.error, StaleConnection)


@pytest.mark.parametrize("data", [b"", HALF_HEAD, *HALF_BODIES])
async def test_abandoned_exchange_gets_no_further_call(pair: ConnectionPair, data: bytes) -> None:
    exchange = pair.send_request()
    if data:
        pair.connection.data_received(data)
    calls = list(exchange.calls)
    pair.connection.abandon()
    pair.connection.abandon()

    assert exchange.calls == calls
    assert pair.connection.fd == -1
    assert exchange.connection is None


# Remaining body after an early finish


class Satisfied(RecordedExchange):
    """Finishes the exchange at the first part of the body."""

    def body_received(self, data: bytes) -> None:
        super().body_received(data)
        self.finish()


def satisfied(pair: ConnectionPair) -> Satisfied:
    exchange = Satisfied()
    exchange.begin()
    exchange.end.add_done_callback(lambda done: done.exception())
    pair.connection.send(REQUEST, exchange)
    return exchange


async def test_remaining_body_in_the_same_read_keeps_the_connection(pair: ConnectionPair) -> None:
    exchange = satisfied(pair)
    pair.connection.data_received(COMPLETE["chunked"].data)

    assert (exchange.calls, exchange.body) == (["head", "body"], b"Hel")
    assert pair.connection.is_idle
    assert pair.owner.idle == 1


@pytest.mark.parametrize(("size_bytes", "keeps"), [(DISCARD_BYTES, True), (DISCARD_BYTES + 1, False)])
async def test_remaining_body_up_to_the_size_limit_keeps_the_connection(
    pair: ConnectionPair, size_bytes: int, keeps: bool
) -> None:
    exchange = satisfied(pair)
    pair.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx" % (size_bytes + 1))
    assert not pair.connection.is_idle
    pair.connection.data_received(b"x" * size_bytes)

    assert exchange.body == b"x"
    assert (pair.connection.is_idle, pair.connection.fd >= 0) == (keeps, keeps)


async def test_remaining_body_over_the_time_limit_closes_the_connection(pair: ConnectionPair) -> None:
    satisfied(pair)
    pair.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHell")
    await pair.wait_closed()

    assert pair.owner.idle == 0


async def test_remaining_body_without_framing_ends_with_the_connection(pair: ConnectionPair) -> None:
    satisfied(pair)
    pair.connection.data_received(UNTIL_CLOSE["1.1"])
    pair.peer.close()
    await pair.wait_closed()

    assert pair.owner.idle == 0


async def test_remaining_body_is_discarded_although_reading_was_paused(pair: ConnectionPair) -> None:
    exchange = satisfied(pair)
    pair.connection.pause_reading()
    pair.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHell")
    pair.peer.send(b"o")
    await eventually(lambda: pair.connection.is_idle, lambda: "the connection is not idle")

    assert exchange.body == b"Hell"


async def test_connection_paused_at_the_end_resumes_reading(pair: ConnectionPair) -> None:
    pair.send_request()
    pair.connection.pause_reading()
    pair.connection.data_received(COMPLETE["by length"].data)
    pair.peer.close()
    await pair.wait_closed()


# Requests that are larger than the kernel's buffer


async def test_large_request_is_sent_as_the_server_reads_it(tcp_line: ConnectionPair) -> None:
    exchange = tcp_line.send_request(b"x" * (8 * MIB))
    assert await tcp_line.peer_receive(8 * MIB) == b"x" * (8 * MIB)
    tcp_line.connection.data_received(COMPLETE["by length"].data)

    assert exchange.calls == ["head", "body", "end"]
    assert tcp_line.connection.is_idle


@pytest.mark.parametrize("resets", [False, True])
async def test_early_response_to_a_large_request_is_reported_and_closes(tcp_line: ConnectionPair, resets: bool) -> None:
    exchange = tcp_line.send_request(b"x" * (8 * MIB))
    tcp_line.peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nHello")
    if resets:
        tcp_line.peer.close()  # with unread data: the kernel sends RST after the response
    await tcp_line.wait_closed()

    assert (exchange.calls, exchange.status, exchange.body) == (["head", "body", "end"], 413, b"Hello")
    assert tcp_line.owner.idle == 0


async def test_eof_while_sending_a_large_request_is_unreachable_at_once(tcp_line: ConnectionPair) -> None:
    exchange = tcp_line.send_request(b"x" * (8 * MIB))
    tcp_line.peer.shutdown(socket.SHUT_WR)  # without having read the request
    await tcp_line.wait_closed()

    assert isinstance(exchange.error, UpstreamUnreachable)


async def test_flow_control_stops_reading(pair: ConnectionPair) -> None:
    exchange = pair.send_request()
    pair.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    room = asyncio.get_running_loop().create_future()
    exchange.wait_for(room)
    pair.peer.send(b"Hello")
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert exchange.body == b""
    room.set_result(None)
    await eventually(lambda: exchange.body == b"Hello", lambda: exchange.body)
