import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tokenfall.http.bounds import Bounds
from tokenfall.http.server import HTTPServer, descriptor_limit
from tokenfall.memory.leases import RequestMemory
from tokenfall.metrics.registry import Metrics
from tokenfall.recording.recorder import Recorder, upstream_target
from tokenfall.recording.recordings import RecordedExchange
from tokenfall.recording.redaction import Redactor
from tokenfall.recording.writer import RecordingWriter
from tokenfall.upstream.address import parse_address
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.dialer import Dialer

from tests.doubles.loops import running_reactor
from tests.doubles.memory import ample_request_memory
from tests.end_to_end.client import PATIENCE_S, Client, request
from tests.end_to_end.upstream import scripted


@pytest.mark.parametrize(
    ("base", "target", "expected"),
    [
        ("/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("/v1", "/chat/completions?a=%2F", "/v1/chat/completions?a=%2F"),
        ("/openai/v1", "/v1/models", "/openai/v1/models"),
        ("/openai/v1", "/openai/v1/models", "/openai/v1/models"),
        ("/v1", "/openai/v1/models", "/v1/models"),
        ("/v1", "/v1/messages", "/v1/messages"),
        ("", "/v1/messages", "/v1/messages"),
        ("/x", "//b.example/", "/x//b.example/"),
    ],
)
def test_target_is_placed_below_the_base_path(base: str, target: str, expected: str) -> None:
    assert upstream_target(base, target) == expected


class SlowWriter(RecordingWriter):
    """A writer whose writes complete when the test allows it."""

    def __init__(self) -> None:
        self.write_started = asyncio.Event()
        self.written: Future[None] = Future()

    def append(self, make: Callable[[], RecordedExchange]) -> "Future[None]":
        self.write_started.set()
        return self.written


@asynccontextmanager
async def recording_server(writer: RecordingWriter, memory: RequestMemory) -> AsyncIterator[int]:
    """Run a recorder in front of a scripted provider; yield its port."""
    reactor = running_reactor()
    async with scripted() as provider:
        address = parse_address(provider.url)
        upstream = HTTPClient(Dialer(address._replace(path=""), reactor=reactor, connect_s=5.0), reactor)
        recorder = Recorder(upstream, writer, base_path=address.path, key=None, memory=memory)
        edge = HTTPServer(
            recorder,
            reactor=reactor,
            bounds=Bounds(),
            metrics=Metrics(),
            request_memory=memory.shares,
            max_descriptors=descriptor_limit(),
        )
        try:
            (_, port), *_ = edge.listen("127.0.0.1", 0)
            yield port
        finally:
            await upstream.close()
            edge.close()


async def test_end_of_a_response_is_sent_after_the_disk_write() -> None:
    writer, memory = SlowWriter(), ample_request_memory()
    async with recording_server(writer, memory) as port, await Client.connect(port) as client:
        await client.send(request("/v1/chat/completions", method="POST", body="{}"))
        await client.until(b"[DONE]\n\n\r\n")
        await writer.write_started.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert client.buffered == b""
        with pytest.raises(BlockingIOError):
            client.sock.recv(1)
        writer.written.set_result(None)
        assert await client.chunks() == []
    assert memory.shares.held_bytes == 0


async def test_request_for_whose_copies_there_is_no_memory_is_503() -> None:
    memory = RequestMemory(1_000_000, Metrics())  # half of it for one client
    body = b'{"a":"' + b"x" * 300_000 + b'"}'
    async with recording_server(SlowWriter(), memory) as port, await Client.connect(port) as client:
        response = await client.fetch(request("/v1/chat/completions", method="POST", body=body))
    assert response.status == 503
    assert b"memory for requests is in use by this caller" in response.body
    assert memory.shares.held_bytes == 0


class HeldMasking:
    """Holds the masking of requests, in the thread of the writer, until the test allows it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allowed = threading.Event()
        self.was_allowed: list[bool] = []
        mask = Redactor.body

        def body(redactor: Redactor, content: bytes) -> bytes | None:
            self.was_allowed.append(self.allowed.wait(PATIENCE_S))
            return mask(redactor, content)

        monkeypatch.setattr(Redactor, "body", body)


async def test_streams_continue_while_another_exchange_is_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masking = HeldMasking(monkeypatch)
    writer = RecordingWriter(str(tmp_path / "r.jsonl"))
    async with (
        recording_server(writer, ample_request_memory()) as port,
        await Client.connect(port) as first,
        await Client.connect(port) as second,
    ):
        for client in (first, second):
            await client.send(request("/v1/chat/completions", method="POST", body="{}"))
            await client.until(b"[DONE]\n\n\r\n")
        masking.allowed.set()
        assert await first.chunks() == await second.chunks() == []
    writer.close()

    assert masking.was_allowed == [True, True]
    assert writer.written_count == 2


async def test_key_of_a_request_is_masked_in_it_after_it_was_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long response may end when newer keys have replaced those of its request."""
    monkeypatch.setattr("tokenfall.recording.redaction.MAX_LEARNED", 1)
    masking = HeldMasking(monkeypatch)
    file = tmp_path / "r.jsonl"
    writer = RecordingWriter(str(file))
    async with (
        recording_server(writer, ample_request_memory()) as port,
        await Client.connect(port) as first,
        await Client.connect(port) as second,
    ):
        for client, key in ((first, "canary-of-one"), (second, "canary-of-two")):
            headers = {"X-Api-Key": key}
            await client.send(request("/v1/chat/completions", method="POST", body=f'{{"a":"{key}"}}', **headers))
            await client.until(b"[DONE]\n\n\r\n")
        masking.allowed.set()
        assert await first.chunks() == await second.chunks() == []
    writer.close()

    assert writer.written_count == 2
    assert b"canary" not in file.read_bytes()
