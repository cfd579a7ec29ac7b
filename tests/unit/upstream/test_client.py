import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tokenfall.errors import ShuttingDown, UpstreamUnreachable
from tokenfall.upstream.address import parse_address
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.dialer import Dialer
from tokenfall.upstream.request import UpstreamRequest

from tests.doubles.exchanges import RecordedExchange
from tests.doubles.loops import running_reactor
from tests.end_to_end.in_process import eventually
from tests.end_to_end.upstream import Exchange, Upstream, scripted

GET = UpstreamRequest("GET", "/")


async def respond(exchange: Exchange) -> None:
    await exchange.respond(200, b"Hello")


async def silent(exchange: Exchange) -> None:
    await exchange.wait_closed()
    exchange.writer.close()


@asynccontextmanager
async def client_of(upstream: Upstream, *, warm: int = 0) -> AsyncIterator[HTTPClient]:
    reactor = running_reactor()
    client = HTTPClient(Dialer(parse_address(upstream.url), reactor=reactor, connect_s=5.0), reactor, warm=warm)
    yield client
    await client.close()
    await eventually(
        lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
    )


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with scripted() as made:
        made.script = respond
        yield made


async def send_request(client: HTTPClient, request: UpstreamRequest = GET) -> RecordedExchange:
    exchange = RecordedExchange()
    await client.run(request, exchange, within_s=5.0)
    return exchange


def connected(upstream: Upstream, times: int) -> Callable[[], bool]:
    return lambda: upstream.connections == times


async def test_connection_is_reused_for_the_next_request(upstream: Upstream) -> None:
    async with client_of(upstream) as client:
        for _ in range(3):
            assert (await send_request(client)).body == b"Hello"

        assert upstream.connections == 1


async def test_concurrent_requests_use_separate_connections(upstream: Upstream) -> None:
    async with client_of(upstream) as client:
        await asyncio.gather(*(send_request(client) for _ in range(3)))

        assert upstream.connections == 3


async def test_warm_connections_are_opened_in_advance_and_replaced_when_used(upstream: Upstream) -> None:
    async with client_of(upstream, warm=2) as client:
        client.warm_up()
        client.warm_up()
        await eventually(connected(upstream, 2), lambda: upstream.connections)
        disconnected = asyncio.Event()

        async def slow(exchange: Exchange) -> None:
            await disconnected.wait()
            await respond(exchange)

        upstream.script = slow
        requests = [asyncio.ensure_future(send_request(client)) for _ in range(2)]
        await eventually(connected(upstream, 4), lambda: upstream.connections)
        disconnected.set()
        await asyncio.gather(*requests)

        assert upstream.connections == 4


async def test_request_that_finds_no_idle_connection_opens_the_warm_ones(upstream: Upstream) -> None:
    async with client_of(upstream, warm=2) as client:
        await send_request(client)

        await eventually(lambda: upstream.connections >= 2, lambda: upstream.connections)


async def test_failed_warm_connections_are_logged_in_one_line_and_are_no_error(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.url = "http://127.0.0.1:1"
    async with client_of(upstream, warm=2) as client:
        client.warm_up()
        with pytest.raises(UpstreamUnreachable):
            await send_request(client)
        await eventually(lambda: bool(caplog.messages), lambda: "nothing was logged")

    assert caplog.messages == ["no connection to http://127.0.0.1:1: the upstream cannot be reached"]


async def test_request_on_a_stale_connection_is_sent_again_on_a_new_one(upstream: Upstream) -> None:
    async with client_of(upstream) as client:
        await send_request(client)

        async def close_the_first(exchange: Exchange) -> None:
            if len(upstream.exchanges) == 2:
                exchange.writer.close()
            else:
                await respond(exchange)

        upstream.script = close_the_first
        assert (await send_request(client, UpstreamRequest("POST", "/", body=b'{"a":1}'))).body == b"Hello"

        assert [exchange.raw for exchange in upstream.exchanges[1:]] == [b'{"a":1}'] * 2
        assert upstream.connections == 2


@pytest.mark.parametrize(
    ("is_pooled", "received", "sent"),
    [(True, b"", 2), (True, b"H", 1), (False, b"", 1)],
    ids=["pooled", "response has started", "new"],
)
async def test_request_that_fails_is_sent_again_once_if_its_pooled_connection_was_stale(
    upstream: Upstream, is_pooled: bool, received: bytes, sent: int
) -> None:
    async def close(exchange: Exchange) -> None:
        await exchange.write(received)
        exchange.writer.close()

    async with client_of(upstream) as client:
        if is_pooled:
            await send_request(client)
        upstream.script = close
        with pytest.raises(UpstreamUnreachable):
            await send_request(client)

        assert len(upstream.exchanges) == sent + is_pooled


async def test_cancelled_request_closes_its_connection(upstream: Upstream) -> None:
    async with client_of(upstream) as client:
        upstream.script = silent
        asking = asyncio.ensure_future(send_request(client))
        await eventually(lambda: bool(upstream.exchanges), lambda: "no request was received")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await eventually(lambda: upstream.open_connections == 0, lambda: "the connection is open")


async def test_close_fails_requests_in_progress(upstream: Upstream) -> None:
    async with client_of(upstream) as client:
        await send_request(client)

        upstream.script = silent
        asking = [asyncio.ensure_future(send_request(client)) for _ in range(2)]  # one of them on a pooled connection
        await eventually(lambda: len(upstream.exchanges) == 3, lambda: "the requests were not received")
        await client.close()
        for task in asking:
            with pytest.raises(ShuttingDown):
                await task
