"""TLS with real certificates, between the client and a local server."""

import asyncio
import ctypes
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tokenfall.cli.main import USAGE_ERROR, main
from tokenfall.errors import (
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamReset,
    UpstreamUnreachable,
    UpstreamUntrusted,
)
from tokenfall.upstream.address import parse_address
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.dialer import Dialer
from tokenfall.upstream.request import UpstreamRequest
from tokenfall.upstream.tls import RECORD_BYTES, TLSLayer, client_context

from tests.doubles.certificates import context_of_version, server_context, trusted_file
from tests.doubles.exchanges import RecordedExchange
from tests.doubles.loops import running_reactor
from tests.end_to_end.in_process import descriptors, eventually
from tests.end_to_end.upstream import Exchange, Script, Upstream, scripted

GET = UpstreamRequest("GET", "/", headers=b"Authorization: Bearer s3cret\r\n")
MIB = 1_048_576


@pytest.fixture(autouse=True)
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Trust only the test's certificate authority."""
    path = trusted_file(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", path)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return path


@asynccontextmanager
async def secured(
    tls: ssl.SSLContext, *, warm: int = 0, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[HTTPClient, Upstream]]:
    """A client and its upstream; asserts afterwards that all resources are released."""
    before = descriptors()
    async with scripted(tls=tls) as upstream:
        upstream.script = respond
        client = client_for(upstream.url.replace("127.0.0.1", host), warm=warm)
        yield client, upstream
        await client.close()
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )
    await eventually(lambda: descriptors() <= before, lambda: f"{descriptors() - before} descriptors are open")


def client_for(url: str, *, warm: int = 0, connect_s: float = 5.0) -> HTTPClient:
    reactor = running_reactor()
    return HTTPClient(Dialer(parse_address(url), reactor=reactor, connect_s=connect_s), reactor, warm=warm)


async def respond(exchange: Exchange) -> None:
    await exchange.respond(200, b"Hello")


async def respond_and_close(exchange: Exchange) -> None:
    await exchange.respond(200, b"Hello", headers=b"Connection: close\r\n")
    exchange.writer.close()


async def send_request(client: HTTPClient, request: UpstreamRequest = GET) -> RecordedExchange:
    exchange = RecordedExchange()
    await client.run(request, exchange, within_s=9.0)
    return exchange


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_connection_is_reused_for_the_next_request(version: ssl.TLSVersion) -> None:
    async with secured(context_of_version(version)) as (client, upstream):
        for _ in range(3):
            assert (await send_request(client)).body == b"Hello"

        assert upstream.connections == 1
        assert upstream.exchanges[0].headers["authorization"] == "Bearer s3cret"


async def test_server_name_indication_is_sent() -> None:
    names: list[str | None] = []
    context = context_of_version(ssl.TLSVersion.TLSv1_3)
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    async with secured(context, host="localhost") as (client, _):
        assert (await send_request(client)).body == b"Hello"

    assert names == ["localhost"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_second_connection_resumes_the_session_of_the_first(version: ssl.TLSVersion) -> None:
    async with secured(context_of_version(version)) as (client, upstream):
        upstream.script = respond_and_close
        for _ in range(3):
            await send_request(client)

        assert upstream.connections == 3
        assert [exchange.is_resumed for exchange in upstream.exchanges] == [False, True, True]


async def test_warm_connections_resume_the_session_of_an_earlier_warm_connection() -> None:
    async with secured(server_context(), warm=1) as (client, upstream):
        client.warm_up()
        await eventually(lambda: upstream.connections == 1, lambda: upstream.connections)
        upstream.script = respond_and_close
        for number in range(4):
            await send_request(client)
            await eventually(lambda: upstream.connections > number + 1, lambda: upstream.connections)  # noqa: B023

        assert [exchange.is_resumed for exchange in upstream.exchanges][2:] == [True, True]


async def test_large_request_and_response_arrive_completely() -> None:
    async with secured(server_context()) as (client, upstream):

        async def echo(exchange: Exchange) -> None:
            await exchange.respond(200, exchange.raw)

        upstream.script = echo
        body = b'"' + os.urandom(4 * MIB).hex().encode() + b'"'

        assert (await send_request(client, UpstreamRequest("POST", "/", body=body))).body == body


# Trust


UNTRUSTED: dict[str, tuple[Callable[[], ssl.SSLContext], str]] = {
    "another name": (lambda: server_context("other.example"), "it is for another"),
    "expired": (lambda: server_context(from_days=-30, to_days=-1), "it has expired"),
    "not yet valid": (lambda: server_context(from_days=1), "it is not valid yet"),
    "unknown": (lambda: server_context(is_known=False), "an authority that is not trusted"),
}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(("context", "why"), UNTRUSTED.values(), ids=UNTRUSTED.keys())
async def test_untrusted_certificate_logs_one_line_and_sends_nothing(
    context: Callable[[], ssl.SSLContext], why: str, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with secured(context(), host=host, warm=2) as (client, upstream):
        client.warm_up()
        with caplog.at_level(logging.INFO), pytest.raises(UpstreamUntrusted, match=why) as caught:
            await send_request(client)
        with pytest.raises(UpstreamUntrusted):
            await send_request(client)

        assert upstream.exchanges == []
    assert caught.value.code == "upstream_untrusted"
    assert caught.value.__suppress_context__
    (record,) = [record for record in caplog.records if record.name.startswith("tokenfall")]
    assert why in record.getMessage()
    assert (host in record.getMessage(), host in caught.value.message) == (False, False)


@pytest.mark.parametrize("other", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_system_authorities_do_not_trust_the_test_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    if other == "SSL_CERT_DIR":
        monkeypatch.setenv(other, str(tmp_path))
    async with secured(server_context()) as (client, _):
        with pytest.raises(UpstreamUntrusted):
            await send_request(client)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("SSL_CERT_FILE", "missing.pem"),
        ("SSL_CERT_FILE", ""),  # a folder
        ("SSL_CERT_FILE", "notes.pem"),
        ("SSL_CERT_DIR", "missing"),
    ],
)
def test_unreadable_authorities_stop_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, file: str
) -> None:
    (tmp_path / "notes.pem").write_text("no certificate\n", encoding="utf-8")
    path = str(tmp_path / file)
    monkeypatch.setenv(name, path)
    monkeypatch.setenv("UPSTREAM_URL", "https://a.example/v1")

    assert main(["serve"]) == USAGE_ERROR
    errors = capsys.readouterr().err
    assert errors.startswith(f"tokenfall: {name}: got {path!r}, which ")
    assert errors.count("\n") == 1


# Refused handshakes


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused(version: ssl.TLSVersion) -> None:
    async with secured(context_of_version(version)) as (client, upstream):
        with pytest.raises(UpstreamUnreachable, match="broke during the handshake"):
            await send_request(client)

        assert upstream.exchanges == []


async def test_server_without_tls_is_unreachable() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    client = client_for(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(UpstreamUnreachable, match="broke during the handshake"):
        await send_request(client)
    server.close()


async def test_hanging_handshake_is_a_connect_timeout() -> None:
    disconnected = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass
        writer.close()
        disconnected.set()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    client = client_for(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", connect_s=0.1)
    with pytest.raises(UpstreamConnectTimeout):
        await send_request(client)
    async with asyncio.timeout(5):
        await disconnected.wait()
    server.close()


# End of the connection


def garble(exchange: Exchange) -> None:
    """Send bytes that are not a TLS record."""
    os.write(exchange.writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x05Hello")


@pytest.mark.parametrize(
    ("received", "error"),
    [(b"", UpstreamUnreachable), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHell", UpstreamReset)],
)
async def test_broken_record_breaks_the_connection(received: bytes, error: type[UpstreamError]) -> None:
    async with secured(server_context()) as (client, upstream):

        async def broken(exchange: Exchange) -> None:
            await exchange.write(received)
            garble(exchange)

        upstream.script = broken
        with pytest.raises(error):
            await send_request(client)


def until_close(end: Callable[[Exchange], None]) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n\r\nHello")
        end(exchange)
        exchange.writer.close()

    return script


async def test_close_notify_ends_a_body_without_framing() -> None:
    async with secured(server_context()) as (client, upstream):
        upstream.script = until_close(lambda exchange: exchange.writer.close())

        assert (await send_request(client)).body == b"Hello"


async def test_fin_without_close_notify_does_not_end_a_body_without_framing() -> None:
    async with secured(server_context()) as (client, upstream):
        upstream.script = until_close(Exchange.send_fin)
        with pytest.raises(UpstreamReset):
            await send_request(client)


@pytest.mark.parametrize("end", [Exchange.send_fin, lambda exchange: exchange.writer.close(), Exchange.reset])
async def test_connection_closed_while_idle_causes_no_error(end: Callable[[Exchange], None]) -> None:
    async with secured(server_context()) as (client, upstream):
        await send_request(client)
        end(upstream.exchanges[0])

        assert (await send_request(client)).body == b"Hello"


@pytest.mark.parametrize("end", [Exchange.send_fin, lambda exchange: exchange.writer.close(), Exchange.reset, garble])
async def test_request_on_a_connection_that_closes_is_sent_again(end: Callable[[Exchange], None]) -> None:
    async with secured(server_context()) as (client, upstream):
        await send_request(client)

        async def end_the_first(exchange: Exchange) -> None:
            if len(upstream.exchanges) == 2:
                end(exchange)
                exchange.writer.close()
            else:
                await respond(exchange)

        upstream.script = end_the_first
        assert (await send_request(client)).body == b"Hello"
        assert len(upstream.exchanges) == 3


async def test_client_sends_close_notify() -> None:
    ended: list[bytes] = []
    async with secured(server_context()) as (client, upstream):
        await send_request(client)

        async def wait(exchange: Exchange) -> None:
            ended.append(await exchange.read_to_end())

        upstream.script = wait
        asking = asyncio.ensure_future(send_request(client))
        await eventually(lambda: len(upstream.exchanges) == 2, lambda: "no request was received")
        asking.cancel()
        await eventually(lambda: bool(ended), lambda: "the connection did not end")

    assert ended == [b""]


# The TLS layer without sockets


class Pair:
    """The client's TLS layer and an OpenSSL server, connected in memory."""

    def __init__(self) -> None:
        self.layer = TLSLayer(client_context(), "localhost")
        self._to_server, self._from_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server_context().wrap_bio(self._to_server, self._from_server, server_side=True)

    def handshake(self) -> None:
        server_done = client_done = False
        while not (client_done and server_done):
            client_done = client_done or self.layer.handshake()
            self._to_server.write(self.layer.unsent())
            if not server_done:
                try:
                    self.server.do_handshake()
                    server_done = True
                except ssl.SSLWantReadError:
                    pass
            if not client_done:
                self.layer.receive(self._from_server.read())

    def encrypt_at_server(self, *plaintexts: bytes) -> bytes:
        for plaintext in plaintexts:
            self.server.write(plaintext)
        return self._from_server.read()

    def close_notify(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.server.unwrap()
        return self._from_server.read()

    def decrypt_at_server(self, data: bytes) -> bytes:
        self._to_server.write(data)
        return self.server.read(MIB)


@pytest.fixture
def pair() -> Pair:
    made = Pair()
    made.handshake()
    return made


def test_records_split_anywhere_are_decrypted(pair: Pair) -> None:
    data = pair.encrypt_at_server(b"one", b"two" * 10_000, b"three")
    received = b"".join(
        plaintext for at in range(0, len(data), 7) for plaintext in pair.layer.decrypt(data[at : at + 7])
    )

    assert received == b"one" + b"two" * 10_000 + b"three"


def test_close_notify_yields_empty_plaintext_last(pair: Pair) -> None:
    assert list(pair.layer.decrypt(pair.encrypt_at_server(b"one", b"two") + pair.close_notify())) == [
        b"one",
        b"two",
        b"",
    ]


def test_modified_record_is_an_error(pair: Pair) -> None:
    data = bytearray(pair.encrypt_at_server(b"one"))
    data[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        list(pair.layer.decrypt(bytes(data)))


def test_encrypted_data_arrives(pair: Pair) -> None:
    assert pair.decrypt_at_server(pair.layer.encrypt(b"Hello")) == b"Hello"


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="reads the statistics of glibc 2.33 or later")
def test_release_buffers_frees_the_write_buffer_after_session_tickets(pair: Pair) -> None:
    list(pair.layer.decrypt(pair.encrypt_at_server(b"the tickets precede this")))
    before_bytes = allocated_bytes()
    pair.layer.release_buffers()

    assert before_bytes - allocated_bytes() > RECORD_BYTES / 2
    assert pair.layer.unsent() == b""
    assert pair.decrypt_at_server(pair.layer.encrypt(b"Hello")) == b"Hello"


class MallocInfo(ctypes.Structure):
    """`struct mallinfo2` of <malloc.h>."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def allocated_bytes() -> int:
    """Bytes allocated by `malloc`, including those of OpenSSL."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallocInfo
    return int(mallinfo2().uordblks)


def test_close_is_close_notify(pair: Pair) -> None:
    data = pair.layer.close()

    assert data
    assert pair.decrypt_at_server(data) == b""
