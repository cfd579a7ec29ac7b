import asyncio
import gc
import logging
import re
import socket
from itertools import repeat

import pytest

from tokenfall.http.connection import GRACE_S, LINGER_BYTES, PIPELINED_PER_TURN
from tokenfall.http.request import Request
from tokenfall.http.response import PacedStream, Response, StreamHead
from tokenfall.http.server import HTTPServer

from tests.doubles.clocks import FakeWheel
from tests.doubles.connections import FakeApplication, FakeClient, settle
from tests.doubles.pieces import one_by_one
from tests.unit.http.conftest import BOUNDS, Connect, Drain

ASK = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def statuses(received: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d+) ", received)


def delayed(application: FakeApplication) -> asyncio.Event:
    """Delay all responses until the returned event is set."""
    ready = asyncio.Event()

    async def later() -> Response:
        await ready.wait()
        return Response(200, b"ok")

    application.handler = lambda _: later()
    return ready


# Requests


async def test_request_is_answered_and_the_connection_stays_open(
    client: FakeClient, application: FakeApplication
) -> None:
    client.send(ASK)
    client.send(ASK)

    assert client.read() == OK + OK
    assert application.ends == [("/a", 200, "complete", len(b"ok"))] * 2
    assert not client.is_closed()


async def test_request_has_client_address_and_start_time(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    wheel.advance(3.0)
    client.send(ASK)

    assert (application.requests[0].client, application.requests[0].started_s) == ("127.0.0.1", 1003.0)


REQUESTS = [
    pytest.param(ASK, id="GET"),
    pytest.param(b"\r\n" + ASK, id="leading empty line"),
    pytest.param(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + ASK, id="body"),
    pytest.param(
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + ASK, id="chunks"
    ),
    pytest.param(b"GET /" + b"a" * 8_191 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="longest target"),
    pytest.param(b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="target too long"),
    pytest.param(b"GET /a HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", id="head too long"),
    pytest.param(b"GET /a HTTP/1.1\nHost: a\n\n", id="bare LF"),
    pytest.param(b"GET /a HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", id="bare LF in a header"),
    pytest.param(b"get /a HTTP/1.1\r\nHost: a\r\n\r\n", id="lower case"),
    pytest.param(b"\x16\x03\x01\x00\xa5\x01\x00", id="TLS"),
    pytest.param(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", id="body too large"),
    pytest.param(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: x\r\n\r\n", id="unknown expectation"),
    pytest.param(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", id="malformed chunks"),
]


@pytest.mark.parametrize("data", REQUESTS)
async def test_request_split_anywhere_gets_the_same_status(connect: Connect, data: bytes) -> None:
    whole, halves, bytewise = connect(), connect(), connect()
    whole.send(data)
    halves.send(data[: len(data) // 2])
    halves.send(data[len(data) // 2 :])
    for piece in one_by_one(data):
        bytewise.send(piece)

    assert statuses(whole.read()) != []
    assert statuses(halves.read()) == statuses(whole.read())
    assert statuses(bytewise.read()) == statuses(whole.read())


@pytest.mark.parametrize(("size", "status"), [(8_191, 200), (8_192, 200), (8_193, 414), (14_000, 414), (60_000, 414)])
async def test_target_over_the_limit_is_refused(client: FakeClient, size: int, status: int) -> None:
    client.send(b"GET /" + b"a" * (size - 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n")

    assert client.read().startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(("size", "status"), [(16_383, 200), (16_384, 200), (16_385, 431), (160_000, 431)])
async def test_head_over_the_limit_is_refused(client: FakeClient, size: int, status: int) -> None:
    head = b"GET /a HTTP/1.1\r\nHost: a\r\nX: "
    client.send(head + b"x" * (size - len(head) - 4) + b"\r\n\r\n")

    assert client.read().startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(("size", "status"), [(999, 200), (1_000, 200), (1_001, 413), (10_000, 413)])
async def test_body_over_the_limit_is_refused(client: FakeClient, size: int, status: int) -> None:
    client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    assert client.read().startswith(b"HTTP/1.1 %d " % status)


async def test_endless_head_is_refused_early(client: FakeClient) -> None:
    client.send(b"GET /a HTTP/1.1\r\n")
    for _ in range(40):
        client.send(b"X: " + b"x" * 500 + b"\r\n")

        if client.read():
            break

    assert client.read().startswith(b"HTTP/1.1 431 ")


async def test_body_is_passed_on_and_following_bytes_are_the_next_request(
    client: FakeClient, application: FakeApplication
) -> None:
    client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + ASK)

    assert application.bodies == [b"hello", b""]
    assert client.read() == OK + OK


async def test_expect_header_is_answered_with_100_continue(client: FakeClient, application: FakeApplication) -> None:
    client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n")
    assert client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")

    assert client.read().endswith(OK)
    assert application.bodies == [b"hello"]


@pytest.mark.parametrize(
    "data",
    [
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        b"POST /a HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["body in the same read", "HTTP/1.0", "no body"],
)
async def test_100_continue_is_not_sent_if_no_client_waits_for_it(client: FakeClient, data: bytes) -> None:
    client.send(data)

    assert b"100 Continue" not in client.read()


# Complete responses


@pytest.mark.parametrize(
    ("request_bytes", "response", "sent"),
    [
        (b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n", Response(200, b"ok"), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"),
        (ASK, Response(204, b"ok"), b"HTTP/1.1 204 No Content\r\n\r\n"),
        (ASK, Response(304, b"ok"), b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (
            b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            Response(200),
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ),
        (
            b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            Response(200),
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n",
        ),
        (
            b"GET /a HTTP/1.0\r\n\r\n",
            Response(200),
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ),
    ],
    ids=["HEAD", "204", "304", "close", "1.0 keep-alive", "1.0"],
)
async def test_response_framing_follows_the_request(
    client: FakeClient, application: FakeApplication, request_bytes: bytes, response: Response, sent: bytes
) -> None:
    application.handler = lambda _: response
    client.send(request_bytes)

    assert client.read() == sent
    assert client.is_closed() is (b"connection: close" in sent)


async def test_reply_headers_are_sent_in_the_head(client: FakeClient, application: FakeApplication) -> None:
    def handler(request: Request) -> Response:
        request.response_headers += b"x-request-id: 7\r\n"
        return Response(200)

    application.handler = handler
    client.send(ASK)

    assert b"\r\nx-request-id: 7\r\n\r\n" in client.read()


async def test_response_has_a_date_header(client: FakeClient) -> None:
    client.send(ASK)
    client.read()

    assert b"\r\ndate: " in client.received


@pytest.mark.parametrize("name", ["respond", "ended", "refuse"])
async def test_exception_in_an_application_callback_closes_only_its_connection(
    connect: Connect,
    application: FakeApplication,
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defective(*_: object, **__: object) -> Response:
        raise ZeroDivisionError

    broken, other = connect(), connect()
    with caplog.at_level(logging.ERROR), monkeypatch.context() as patch:
        patch.setattr(application, name, defective)
        broken.send(b"nonsense\r\n\r\n" if name == "refuse" else ASK)
    other.send(ASK)

    assert broken.was_reset() is (name != "ended")
    assert other.read() == OK
    assert name != "respond" or application.ends[0] == ("/a", 499, "failed", 0)
    assert [record.exc_info is not None for record in caplog.records] == [True]


# Refusals


async def test_refused_client_gets_a_response_and_its_input_is_discarded(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    client.send(b"GET / HTTP/1.1\r\n\r\n")

    assert client.read().startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nconnection: close\r\n" in client.read()
    assert [(end.status, end.outcome) for end in application.ends] == [(400, "complete")]
    assert client.connection.eof_written
    assert not client.is_closed()
    client.send(ASK * 10)
    assert application.requests == []
    assert client.read().count(b"HTTP/1.1") == 1
    wheel.advance(BOUNDS.linger_timeout_s + 0.5)
    await settle()
    assert client.is_closed()


async def test_refused_client_is_reset_after_the_discard_limit(client: FakeClient) -> None:
    client.send(b"nonsense\r\n\r\n")
    for _ in range(LINGER_BYTES // 100_000 + 1):
        client.send(b"x" * 100_000)

    assert client.was_reset()


async def test_connections_over_the_limit_are_refused(
    connect: Connect, server: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [connect() for _ in range(BOUNDS.max_connections)]
    with caplog.at_level(logging.WARNING):
        refused = [connect() for _ in range(3)]

    for client in refused:
        assert client.read().startswith(b"HTTP/1.1 503 ")
        assert client.is_closed()
    assert server.metrics.connections_refused == 3
    assert len(caplog.records) == 1  # not one a connection
    clients[0].send(ASK)
    assert clients[0].read() == OK
    for client in (clients[0], *refused):
        client.reset()
    newcomer = connect()
    newcomer.send(ASK)
    assert newcomer.read() == OK


# Deadlines: counted from their start, not from the last byte


async def test_connection_without_a_request_is_closed(client: FakeClient, wheel: FakeWheel) -> None:
    wheel.advance(BOUNDS.header_timeout_s - 0.1)
    assert not client.is_closed()
    wheel.advance(0.5)

    assert client.is_closed()
    assert client.read() == b""


async def test_incomplete_body_is_counted_until_it_is_complete_or_refused(
    connect: Connect, server: HTTPServer, wheel: FakeWheel
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"
    clients = [connect() for _ in range(3)]
    for client, data in zip(clients, (head + b"12345", chunked + b"123", head + b"1234567"), strict=True):
        client.send(data)
    counts = [server.bodies.held_bytes]
    clients[0].send(b"67890")
    counts.append(server.bodies.held_bytes)
    clients[1].reset()
    counts.append(server.bodies.held_bytes)
    wheel.advance(BOUNDS.body_timeout_s + 1)

    assert counts == [15, 10, 7]
    assert server.bodies.held_bytes == 0
    assert b"HTTP/1.1 408 " in clients[2].read()


@pytest.mark.parametrize(
    ("begin", "more", "timeout_s"),
    [
        (b"GET /a HTTP/1.1\r\n", b"X: a\r\n", BOUNDS.header_timeout_s),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b"x", BOUNDS.body_timeout_s),
    ],
    ids=["head", "body"],
)
async def test_arriving_bytes_do_not_extend_the_deadline(
    client: FakeClient, wheel: FakeWheel, begin: bytes, more: bytes, timeout_s: float
) -> None:
    client.send(begin)
    for _ in range(int(timeout_s)):
        assert client.read() == b""
        client.send(more)
        wheel.advance(1.0)
    wheel.advance(0.5)

    assert client.read().startswith(b"HTTP/1.1 408 ")


async def test_idle_connection_is_closed_after_its_timeout(client: FakeClient, wheel: FakeWheel) -> None:
    for _ in range(5):  # the timeout restarts after each request
        wheel.advance(5.0)
        client.send(ASK)
    wheel.advance(BOUNDS.idle_timeout_s - 0.1)
    assert not client.is_closed()
    wheel.advance(0.5)

    assert client.is_closed()
    assert client.read() == OK * 5


async def test_later_head_has_its_own_deadline(client: FakeClient, wheel: FakeWheel) -> None:
    client.send(ASK)
    wheel.advance(60.0)
    client.send(b"GET /b")
    wheel.advance(BOUNDS.header_timeout_s - 0.1)
    assert client.read() == OK
    wheel.advance(0.5)

    assert client.read().startswith(OK + b"HTTP/1.1 408 ")


# Flow control


async def test_connection_is_urgent_while_it_awaits_a_request(client: FakeClient, application: FakeApplication) -> None:
    ready = delayed(application)
    urgent = [client.connection.urgent]
    client.send(ASK)
    urgent.append(client.connection.urgent)
    ready.set()
    await settle()

    assert [*urgent, client.connection.urgent] == [True, False, True]


async def test_pipelined_requests_are_answered_in_order(client: FakeClient, application: FakeApplication) -> None:
    application.handler = lambda incoming: Response(200, incoming.path.encode())
    incoming = [b"/%d" % number for number in range(3 * PIPELINED_PER_TURN)]
    client.send(b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in incoming))
    assert len(application.requests) == PIPELINED_PER_TURN  # then other connections are served
    for _ in range(20):
        client.read()
        await settle()

    assert [end.path.encode() for end in application.ends] == incoming


async def test_pipelined_input_is_bounded_during_a_response(client: FakeClient, application: FakeApplication) -> None:
    ready = delayed(application)
    client.send(ASK * 2)
    assert client.is_server_reading()
    client.send(ASK * 20)
    assert not client.is_server_reading()
    assert len(application.requests) == 1
    ready.set()
    for _ in range(10):
        await settle()

    assert client.is_server_reading()
    assert client.read() == OK * 22


async def test_input_is_bounded_while_the_client_does_not_read(
    client: FakeClient, application: FakeApplication
) -> None:
    application.handler = lambda _: Response(200, b"x" * 10_000)
    client.send(ASK)
    assert client.connection.paused
    sent_bytes = 0
    while client.is_server_reading() and sent_bytes < 1_000_000:
        client.send(ASK)
        sent_bytes += len(ASK)

    assert sent_bytes <= BOUNDS.pipeline_bytes + len(ASK)
    for _ in range(100):
        client.read()
        await settle()
    assert client.is_server_reading()
    assert client.read().count(b"x") == 10_000 * (1 + sent_bytes // len(ASK))


async def test_response_waits_until_the_previous_one_is_written(
    client: FakeClient, application: FakeApplication
) -> None:
    application.handler = lambda _: Response(200, b"x" * 10_000)
    client.send(ASK + ASK)
    assert len(application.requests) == 1
    client.read()
    await settle()

    assert len(application.requests) == 2
    assert client.read().count(b"x") == 20_000


async def test_client_that_stops_reading_is_reset_after_the_stall_timeout(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    application.handler = lambda _: Response(200, b"x" * 100_000)
    client.send(ASK)
    wheel.advance(BOUNDS.stall_timeout_s - 0.1)
    assert not client.was_reset()
    wheel.advance(0.5)

    assert client.was_reset()
    assert server.metrics.stalled_readers == 1


async def test_slow_client_that_keeps_reading_is_not_reset(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    application.handler = lambda _: Response(200, b"x" * 40_000)
    client.send(ASK)
    wheel.advance(BOUNDS.stall_timeout_s - 1)
    client.read()
    wheel.advance(BOUNDS.stall_timeout_s)

    assert not client.was_reset()
    assert client.read().count(b"x") == 40_000


async def test_client_that_disconnects_cancels_its_handler(client: FakeClient, application: FakeApplication) -> None:
    cancelled: list[bool] = []

    async def forever() -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)
        return Response(200)

    application.handler = lambda _: forever()
    client.send(ASK)
    await settle()
    client.reset()
    await settle()

    assert cancelled == [True]
    assert application.ends == [("/a", 499, "left", 0)]


async def test_client_that_disconnects_before_the_handler_starts_causes_no_warning(
    client: FakeClient, application: FakeApplication
) -> None:
    delayed(application)
    client.send(ASK)
    client.reset()  # in the same turn of the loop: the handler's coroutine has not started
    await settle()
    gc.collect()  # a coroutine that nobody awaited warns when it is collected

    assert application.ends == [("/a", 499, "left", 0)]


async def test_half_closed_client_gets_a_ready_response(client: FakeClient) -> None:
    client.send(ASK)
    assert not client.half_close()

    assert client.read() == OK


async def test_unread_last_response_is_reset_after_the_stall_timeout(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    application.handler = lambda _: Response(200, b"x" * 10_000)
    client.send(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert client.is_closed()
    wheel.advance(BOUNDS.stall_timeout_s + 0.5)

    assert client.was_reset()


async def test_large_body_gets_a_larger_send_buffer_until_the_next_stream(
    client: FakeClient, application: FakeApplication
) -> None:
    application.handler = lambda _: Response(200, b"x" * 50_000)
    client.send(ASK)
    assert client.connection.unsent_bytes > 40_000
    assert client.read().endswith(b"x" * 50_000)
    application.handler = lambda _: PacedStream(StreamHead("text/plain"), lambda _: iter((b"1",)), gaps=repeat(1.0))
    client.send(ASK)

    sizes = [value for _, name, value in client.connection.options if name == socket.SO_SNDBUF]
    assert sizes == [BOUNDS.large_body_buffer_bytes, BOUNDS.send_buffer_bytes]


# Drain


async def test_drain_closes_an_idle_connection(client: FakeClient, drain: Drain) -> None:
    client.send(ASK)
    assert (await drain(10.0)).is_set()

    assert client.is_closed()


async def test_drain_waits_briefly_for_the_first_request_of_a_connection(
    connect: Connect, server: HTTPServer, wheel: FakeWheel
) -> None:
    active, silent = connect(), connect()
    server.drain(10.0, lambda: None)
    assert not active.is_closed()
    active.send(ASK)
    wheel.advance(2 * GRACE_S)

    assert active.read() == OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert silent.is_closed()


async def test_response_in_progress_during_a_drain_is_the_last(
    client: FakeClient, application: FakeApplication, server: HTTPServer
) -> None:
    ready = delayed(application)
    client.send(ASK)
    drained = asyncio.Event()
    server.drain(60.0, drained.set)
    await settle()
    assert not drained.is_set()
    ready.set()
    await settle()
    assert drained.is_set()

    assert client.read() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
