"""Connections through names, addresses and proxies to local servers."""

import asyncio
import logging
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tokenfall.errors import UpstreamConnectTimeout, UpstreamUnreachable
from tokenfall.upstream.address import parse_address
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.connection import Owner
from tokenfall.upstream.dialer import MAX_PROXY_HEAD_BYTES, Dialer
from tokenfall.upstream.proxies import parse_proxy
from tokenfall.upstream.request import UpstreamRequest
from tokenfall.upstream.resolver import AddressInfo

from tests.doubles.certificates import server_context, trusted_file
from tests.doubles.exchanges import RecordedExchange
from tests.doubles.loops import running_reactor
from tests.end_to_end.in_process import descriptors, eventually
from tests.end_to_end.upstream import Exchange, Upstream, scripted

GET = UpstreamRequest("GET", "/models", headers=b"Authorization: Bearer key-canary\r\n")
CREDENTIALS = "me:s3cret"


def dialer_for(url: str, *, proxy: str | None = None, connect_s: float = 5.0) -> Dialer:
    through = None if proxy is None else parse_proxy(proxy, name="http_proxy")
    return Dialer(parse_address(url), reactor=running_reactor(), connect_s=connect_s, proxy=through)


async def dial(dialer: Dialer, *, within_s: float = 9.0) -> None:
    """Connect and close."""
    connection = await dialer.dial(Owner(), within_s=within_s)
    connection.abandon()


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    before, tasks = descriptors(), asyncio.all_tasks()
    yield
    await eventually(lambda: descriptors() <= before, lambda: f"{descriptors() - before} descriptors are open")
    await eventually(lambda: asyncio.all_tasks() <= tasks | {asyncio.current_task()}, asyncio.all_tasks)


# Names and addresses


class Hosts:
    """Replaces the system's resolver: the addresses for any name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
        self.lookups = 0
        self.addresses = addresses
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, host: str, port: int, **_: Any) -> list[AddressInfo]:
        self.lookups += 1
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, f"no {host}")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self.addresses]


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address whose full backlog neither accepts nor refuses connections."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()


@pytest.fixture
def listening() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


REFUSING = ("127.0.0.1", 1)


async def test_unresolvable_host_is_unreachable_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    Hosts(monkeypatch)
    with pytest.raises(UpstreamUnreachable, match=r"^the host name of the upstream cannot be resolved$"):
        await dial(dialer_for("http://secret.example"))


async def test_second_address_is_used_if_the_first_refuses_or_does_not_respond(
    monkeypatch: pytest.MonkeyPatch, silent: tuple[str, int], listening: tuple[str, int]
) -> None:
    for first in (REFUSING, silent):
        Hosts(monkeypatch, first, listening)

        await dial(dialer_for("http://a.example"))


async def test_name_is_resolved_again_after_all_addresses_failed(
    monkeypatch: pytest.MonkeyPatch, listening: tuple[str, int]
) -> None:
    hosts = Hosts(monkeypatch, REFUSING, REFUSING)
    dialer = dialer_for("http://a.example")
    with pytest.raises(UpstreamUnreachable, match=r"^the upstream cannot be reached$"):
        await dial(dialer)
    hosts.addresses = (listening,)
    await dial(dialer)
    await dial(dialer)

    assert hosts.lookups == 2


async def test_no_response_is_a_connect_timeout(silent: tuple[str, int]) -> None:
    with pytest.raises(UpstreamConnectTimeout):
        await dial(dialer_for(f"http://127.0.0.1:{silent[1]}", connect_s=0.05))


async def test_no_response_within_the_callers_limit_raises_timeout_error(silent: tuple[str, int]) -> None:
    for within_s in (0.05, 0.0, -1.0):
        with pytest.raises(TimeoutError):
            await dial(dialer_for(f"http://127.0.0.1:{silent[1]}"), within_s=within_s)


async def test_cancelled_dial_leaks_no_socket(silent: tuple[str, int]) -> None:
    dialing = asyncio.ensure_future(dial(dialer_for(f"http://127.0.0.1:{silent[1]}")))
    await asyncio.sleep(0.01)
    dialing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialing


# Proxies


class ConnectProxy:
    """Responds to CONNECT with `response`, and after a 200 forwards bytes to the upstream."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.response = b"HTTP/1.1 200 Connection established\r\n\r\n"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.response)
        if self.response.startswith(b"HTTP/1.1 200"):
            port = int(self.heads[-1].split()[1].rpartition(b":")[2])
            await join(reader, writer, port=port)
        else:
            with suppress(ConnectionError):  # the client may reset the connection
                await reader.read()
        writer.close()


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, port: int) -> None:
    """Forward bytes between a client and a port in both directions until both have ended."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            return
        finally:
            sink.close()

    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


@asynccontextmanager
async def connect_proxy() -> AsyncIterator[ConnectProxy]:
    proxy = ConnectProxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy
    server.close()


async def respond(exchange: Exchange) -> None:
    await exchange.respond(200, b"Hello")


async def send_request(dialer: Dialer) -> RecordedExchange:
    client = HTTPClient(dialer, running_reactor())
    exchange = RecordedExchange()
    try:
        await client.run(GET, exchange, within_s=9.0)
    finally:
        await client.close()
    return exchange


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", trusted_file(tmp_path))
    return server_context()


@asynccontextmanager
async def secured(tls: ssl.SSLContext) -> AsyncIterator[Upstream]:
    async with scripted(tls=tls) as upstream:
        upstream.script = respond
        yield upstream
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )


@pytest.mark.parametrize("credentials", ["", CREDENTIALS])
async def test_https_upstream_is_reached_by_connect_through_a_proxy(tls: ssl.SSLContext, credentials: str) -> None:
    async with secured(tls) as upstream, connect_proxy() as proxy:
        user = f"{credentials}@" if credentials else ""
        exchange = await send_request(dialer_for(upstream.url, proxy=f"http://{user}127.0.0.1:{proxy.port}"))

        assert exchange.body == b"Hello"
        (head,) = proxy.heads
        target = upstream.url.removeprefix("https://").removesuffix("/v1")
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if credentials:
            lines.append(f"Proxy-Authorization: Basic {b64encode(credentials.encode()).decode()}")
        assert head.decode() == "\r\n".join([*lines, "", ""])
        (sent_request,) = upstream.exchanges
        assert sent_request.head.startswith(b"GET /v1/models HTTP/1.1\r\n")
        assert "proxy-authorization" not in sent_request.headers


async def test_proxy_response_may_arrive_in_pieces(tls: ssl.SSLContext) -> None:
    async with secured(tls) as upstream, connect_proxy() as proxy:
        proxy.response = b"HTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\n" + b"X: y\r\n" * 1_000 + b"\r\n"
        exchange = await send_request(dialer_for(upstream.url, proxy=f"127.0.0.1:{proxy.port}"))

        assert exchange.body == b"Hello"


@pytest.mark.parametrize(
    ("response", "how"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", "with status 407"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>s3cret</html>", "with status 502"),
        (b"HTTP/1.0 403 s3cret\r\n\r\n", "with status 403"),
        (b"s3cret\r\n\r\n", "without a status"),
        (b"HTTP/1.1 s3cret\r\n\r\n", "without a status"),
        (b"HTTP/1.1 \r\n\r\n", "without a status"),
        (b"HTTP/1.1 299 OK\r\nX: " + b"s3cret" * MAX_PROXY_HEAD_BYTES, "without a status"),
    ],
    ids=["407", "502", "1.0", "junk", "no number", "empty", "endless"],
)
async def test_refusing_proxy_is_unreachable_with_its_status(
    tls: ssl.SSLContext, response: bytes, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with secured(tls) as upstream, connect_proxy() as proxy:
        proxy.response = response
        proxied = dialer_for(upstream.url, proxy=f"http://{CREDENTIALS}@127.0.0.1:{proxy.port}")
        with caplog.at_level(logging.DEBUG), pytest.raises(UpstreamUnreachable) as caught:
            await send_request(proxied)

        assert caught.value.message == f"the proxy of the upstream refused to connect, {how}"
        assert "s3cret" not in caplog.text
        assert upstream.connections == 0


async def test_hanging_proxy_is_a_connect_timeout(tls: ssl.SSLContext) -> None:
    async with secured(tls) as upstream, connect_proxy() as proxy:
        proxy.response = b""
        with pytest.raises(UpstreamConnectTimeout):
            await send_request(dialer_for(upstream.url, proxy=f"127.0.0.1:{proxy.port}", connect_s=0.1))


async def test_proxy_that_closes_is_unreachable(tls: ssl.SSLContext) -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with secured(tls) as upstream:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamUnreachable):
            await send_request(dialer_for(upstream.url, proxy=f"127.0.0.1:{port}"))
    server.close()


async def test_unreachable_proxy_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UpstreamUnreachable, match=r"^the proxy of the upstream cannot be reached$"):
        await send_request(dialer_for("http://a.example", proxy="127.0.0.1:1"))
    Hosts(monkeypatch)
    with pytest.raises(UpstreamUnreachable, match=r"^the host name of the proxy of the upstream cannot be resolved$"):
        await send_request(dialer_for("http://a.example", proxy="secret.example"))


@pytest.mark.parametrize("credentials", ["", CREDENTIALS])
async def test_http_upstream_is_requested_from_the_proxy_in_absolute_form(credentials: str) -> None:
    async with scripted() as proxy:
        proxy.script = respond
        user = f"{credentials}@" if credentials else ""
        through = proxy.url.removeprefix("http://").removesuffix("/v1")
        exchange = await send_request(dialer_for("http://a.example:8000/v1", proxy=f"http://{user}{through}"))

        assert exchange.body == b"Hello"
        (sent_request,) = proxy.exchanges
        assert sent_request.head.startswith(b"GET http://a.example:8000/v1/models HTTP/1.1\r\nHost: a.example:8000\r\n")
        expected = f"Basic {b64encode(credentials.encode()).decode()}" if credentials else None
        assert sent_request.headers.get("proxy-authorization") == expected
        await eventually(lambda: proxy.open_connections == 0, lambda: f"{proxy.open_connections} connections are open")
