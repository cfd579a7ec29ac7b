"""Responses that need a module that is not loaded yet."""

import asyncio
import logging
import sys
import threading
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest

from tokenfall.http.application import CLIENT_CLOSED_REQUEST
from tokenfall.http.loader import SWITCH_S, WAITERS_PER_TURN
from tokenfall.http.request import Request
from tokenfall.http.response import AnyResponse, LiveStream, Response, StreamHead
from tokenfall.http.server import HTTPServer

from tests.doubles.clocks import FakeWheel
from tests.doubles.connections import FakeApplication, FakeClient, settle
from tests.doubles.loading import SlowLoadable
from tests.unit.http.conftest import BOUNDS, Connect, Drain

ASK = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TOO_LARGE = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"


def needing(needed: SlowLoadable, request: Request) -> AnyResponse:
    return Response(200, b"ok") if needed.is_loaded else needed


@pytest.fixture
async def slow(application: FakeApplication) -> SlowLoadable:
    """The loadable that every response of the application needs."""
    slow = SlowLoadable()
    application.handler = partial(needing, slow)
    return slow


async def test_load_delays_only_the_connection_that_needs_it(connect: Connect, slow: SlowLoadable) -> None:
    waiting, other = connect(), connect()
    waiting.send(ASK)
    slow_handler = waiting.read()
    other.send(b"nonsense\r\n\r\n")

    assert slow_handler == b""
    assert b" 400 " in other.read()
    await slow.finish_loading()
    assert waiting.read() == OK


async def test_load_runs_once_in_another_thread_for_all_waiters(connect: Connect, slow: SlowLoadable) -> None:
    clients = [connect() for _ in range(3)]
    for client in clients:
        client.send(ASK)
    await slow.finish_loading()

    assert [client.read() for client in clients] == [OK] * 3
    assert len(slow.threads) == 1
    assert slow.threads[0] != threading.get_ident()


async def test_many_waiters_are_answered_over_several_turns(server: HTTPServer) -> None:
    slow = SlowLoadable()
    errors: list[Exception | None] = []
    at_first: list[int] = []

    def loaded(error: Exception | None) -> None:
        if not errors:
            asyncio.get_running_loop().call_soon(lambda: at_first.append(len(errors)))
        errors.append(error)

    for _ in range(WAITERS_PER_TURN + 1):
        server.loader.wait_for(slow, loaded)
    await slow.finish_loading()

    assert (at_first, errors) == ([WAITERS_PER_TURN], [None] * (WAITERS_PER_TURN + 1))


async def test_dependency_is_loaded_first(client: FakeClient, application: FakeApplication) -> None:
    before = SlowLoadable()
    slow = SlowLoadable(after=before)
    slow.allowed.set()
    application.handler = partial(needing, slow)
    client.send(ASK)
    await settle()
    assert slow.threads == []
    before.allowed.set()
    await slow.finish_loading()

    assert before.is_loaded
    assert client.read() == OK


async def test_pipelined_requests_are_answered_in_order(client: FakeClient, slow: SlowLoadable) -> None:
    client.send(ASK + ASK)
    client.send(ASK)
    await slow.finish_loading()

    assert client.read() == OK * 3


async def test_head_request_gets_the_head_only(client: FakeClient, slow: SlowLoadable) -> None:
    client.send(ASK.replace(b"GET", b"HEAD"))
    await slow.finish_loading()

    assert client.read() == OK.removesuffix(b"ok")


async def test_client_that_disconnects_during_the_load_is_released(
    client: FakeClient, slow: SlowLoadable, application: FakeApplication, server: HTTPServer
) -> None:
    client.send(ASK)
    client.reset()

    assert [(end.status, end.outcome) for end in application.ends] == [(CLIENT_CLOSED_REQUEST, "left")]
    assert server.metrics.connections == 0
    await slow.finish_loading()
    assert len(application.ends) == 1


async def test_client_that_disconnects_does_not_cancel_the_load_for_others(
    connect: Connect, slow: SlowLoadable
) -> None:
    leaving, staying = connect(), connect()
    leaving.send(ASK)
    staying.send(ASK)
    leaving.reset()
    await slow.finish_loading()

    assert staying.read() == OK


async def test_half_closed_client_is_answered(client: FakeClient, slow: SlowLoadable) -> None:
    client.send(ASK)
    assert client.half_close()
    await slow.finish_loading()

    assert client.read() == OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert client.is_closed()


async def test_failed_load_is_retried_at_the_next_request(client: FakeClient, application: FakeApplication) -> None:
    slow = SlowLoadable(ImportError("no such library"))
    application.handler = partial(needing, slow)
    client.send(ASK)
    slow.allowed.set()
    await application.reported.wait()
    assert client.read() == b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 20\r\n\r\ncrashed: ImportError"
    client.send(ASK)
    await slow.finish_loading()

    assert client.read().endswith(OK)


async def test_failed_thread_start_fails_the_request_and_the_next_is_answered(
    client: FakeClient, slow: SlowLoadable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr("tokenfall.http.loader.start_new_thread", refuse)
        client.send(ASK)
        await settle()
    assert client.read().endswith(b"crashed: RuntimeError")
    client.send(ASK)
    await slow.finish_loading()

    assert client.read().endswith(OK)


async def test_drain_waits_for_a_load(client: FakeClient, slow: SlowLoadable, server: HTTPServer) -> None:
    client.send(ASK)
    drained = asyncio.Event()
    server.drain(5.0, drained.set)
    await settle()
    assert not drained.is_set()
    await slow.finish_loading()

    assert client.read() == OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert drained.is_set()


async def test_drain_timeout_ends_the_wait_for_a_load(client: FakeClient, slow: SlowLoadable, drain: Drain) -> None:
    client.send(ASK)
    drained = await drain(5.0)

    assert client.read() == b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\nconnection: close\r\n\r\ncut"
    assert drained.is_set()
    await slow.finish_loading()


async def test_no_deadline_expires_during_a_load(client: FakeClient, slow: SlowLoadable, wheel: FakeWheel) -> None:
    client.send(ASK)
    wheel.advance(BOUNDS.idle_timeout_s + BOUNDS.header_timeout_s)
    await slow.finish_loading()

    assert client.read() == OK


# Awaited responses need asyncio and the live player


async def later(request: Request) -> AnyResponse:
    return Response(200, b"ok")


async def played(send: object) -> bytes:
    return b"end"


def live(request: Request) -> LiveStream:
    return LiveStream(StreamHead("text/plain"), played, failure=lambda error: b"failed")


@pytest.fixture
async def no_live(monkeypatch: pytest.MonkeyPatch) -> SlowLoadable:
    """The live player as a loadable that is not loaded."""
    slow = SlowLoadable()
    monkeypatch.setattr("tokenfall.http.connection.LIVE", slow)
    return slow


@pytest.mark.parametrize(("handler", "body"), [(later, b"ok"), (live, b"3\r\nend\r\n0\r\n\r\n")])
async def test_awaited_response_waits_until_the_live_player_is_loaded(
    client: FakeClient,
    application: FakeApplication,
    no_live: SlowLoadable,
    *,
    handler: Any,
    body: bytes,
) -> None:
    application.handler = handler
    client.send(ASK)
    assert client.read() == b""
    await no_live.finish_loading()

    assert client.read().endswith(b"\r\n\r\n" + body)


async def test_response_of_a_client_that_disconnected_is_not_started(
    client: FakeClient, application: FakeApplication, no_live: SlowLoadable
) -> None:
    started: list[Coroutine[Any, Any, AnyResponse]] = []

    def handler(request: Request) -> Coroutine[Any, Any, AnyResponse]:
        started.append(later(request))
        return started[0]

    application.handler = handler
    client.send(ASK)
    client.reset()
    await no_live.finish_loading()

    assert started[0].cr_frame is None  # type: ignore[attr-defined] # closed to avoid a warning


# Refusals that need a module


async def test_refusal_waits_for_its_loadable(client: FakeClient, application: FakeApplication) -> None:
    application.needed = needed = SlowLoadable()
    client.send(TOO_LARGE)
    client.send(b"x" * 600)
    assert (client.read(), client.is_server_reading()) == (b"", False)
    await needed.finish_loading()

    assert client.read().startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert client.connection.eof_written
    assert client.is_server_reading(), "further input of the client is discarded"


async def test_failed_load_for_a_refusal_closes_the_connection(
    client: FakeClient, application: FakeApplication
) -> None:
    application.needed = needed = SlowLoadable(ImportError("no such library"))
    client.send(TOO_LARGE + ASK)
    needed.allowed.set()
    await application.reported.wait()

    assert client.read().endswith(b"connection: close\r\n\r\ncrashed: ImportError")
    assert client.is_closed()


async def test_switch_interval_is_shorter_during_a_load(client: FakeClient, slow: SlowLoadable) -> None:
    before_s = sys.getswitchinterval()
    client.send(ASK)
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
    await slow.finish_loading()

    assert sys.getswitchinterval() == before_s


async def test_failed_finish_counts_as_a_failed_load(
    client: FakeClient, application: FakeApplication, caplog: pytest.LogCaptureFixture
) -> None:
    class Unfinished(SlowLoadable):
        def finish(self) -> None:
            super().finish()
            self._is_loaded = False
            raise ImportError("not to its end")

    slow = Unfinished()
    application.handler = partial(needing, slow)
    with caplog.at_level(logging.ERROR):
        client.send(ASK)
        await slow.finish_loading()

    assert client.read().endswith(b"crashed: ImportError")
