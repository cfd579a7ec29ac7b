"""An exception in a callback of the event loop closes at most one connection and never ends the process. (E11)

The exception is raised in a function that a callback calls. The functions are not listed here; a server under load
records them. tests/end_to_end/test_defects.py tests the outermost exception handlers.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.chatting import DONE, chat, resume
from tests.end_to_end.client import Client, fetch, metric_becomes, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import eventually
from tests.end_to_end.process import ServerProcess
from tests.end_to_end.upstream import respond_with, scripted
from tests.reliability.programs import planted
from tests.reliability.rows import Tally

ANSWERED_S = 8.0
"""The time limit for a response; after it, the request counts as failed."""

MIN_FUNCTIONS = 20
"""The minimum number of recorded functions; fewer mean that the load is too small."""

SOCKET_CALLBACK = ".data_received"
"""The end of the names of the functions whose exceptions reach the event loop, unless it catches them."""

MAX_ATTEMPTS = 3
"""Attempts for each exception, because some functions are called rarely."""

DRAIN_S, MARGIN_S = 2, 1

OPENAI = b'{"model":"sim:gap=1ms,tokens=3","messages":[{"role":"user","content":"x"}],"stream":%b}'


class FaultInjector:
    """Controls the server's fault injection (programs/planted.py)."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        self.server = server
        self._target = folder / "target"
        self._report = folder / "report"

    async def send(self, command: str) -> list[str]:
        """Send a command; return the functions reported since the previous one."""
        await asyncio.to_thread(self._target.write_text, command, encoding="utf-8")
        await asyncio.to_thread(self._report.unlink, missing_ok=True)
        self.server.process.send_signal(planted.CHANGED)
        await eventually(self._report.exists, lambda: f"no report after {command!r}")
        text = await asyncio.to_thread(self._report.read_text, encoding="utf-8")
        return text.splitlines()


def with_key(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\r\nX-API-Key: key\r\n", 1)


@dataclass(frozen=True)
class Probe:
    """A request, and bytes that a successful response contains."""

    data: bytes
    part: bytes

    async def succeeds(self, port: int) -> bool:
        try:
            async with asyncio.timeout(ANSWERED_S), await Client.connect(port) as client:
                answer = await client.fetch(with_key(self.data))
                return answer.status < 300 and self.part in answer.body
        except (ConnectionError, EOFError, TimeoutError):
            return False


async def reset_during_stream(port: int) -> bool:
    """Reset a connection during a stream. False if the stream did not start."""
    client = await Client.connect(port)
    try:
        await client.send(with_key(request("/stream-loop?gap=5ms")))
        await client.receive(within_s=ANSWERED_S)
    except (ConnectionError, TimeoutError):
        return False
    finally:
        client.reset()
    return True


def probes(turn: str) -> list[Probe]:
    return [
        Probe(request("/api/data?ttft=2ms"), b"{"),
        Probe(request("/stream-ndjson?gap=2ms&tokens=3"), b"\n"),
        Probe(request("/stream-sse?gap=2ms&tokens=3"), b"data: "),
        Probe(chat("x", conversation="whole", stream=False), b"content"),
        Probe(chat("x", conversation="streamed"), DONE),
        Probe(chat("x", conversation="upstream", model=None), DONE),
        Probe(chat("x", conversation="upstream", model=None, stream=False), b"Hello"),
        Probe(request("/history?conversation=first"), b"content"),
        Probe(request("/conversations"), b"first"),
        Probe(resume(turn), DONE),
        Probe(request("/v1/chat/completions", method="POST", body=OPENAI % b"true"), DONE),
        Probe(request("/v1/chat/completions", method="POST", body=OPENAI % b"false"), b"content"),
        Probe(request("/metrics"), b"tokenfall_"),
        Probe(request("/readyz"), b""),
    ]


async def failed_requests(port: int, turn: str) -> list[bytes]:
    """Send all requests concurrently; return those that failed, b"" for the one that is reset."""
    steady = Probe(request("/stream-sse?gap=10ms&tokens=20"), b"data: ")
    all_probes = [steady, steady, *probes(turn)]
    has_reset, *succeeded = await asyncio.gather(
        reset_during_stream(port), *(probe.succeeds(port) for probe in all_probes)
    )
    return [b""] * (not has_reset) + [
        probe.data for probe, success in zip(all_probes, succeeded, strict=True) if not success
    ]


async def inject(function: str, injector: FaultInjector, turn: str) -> tuple[list[bytes], bool]:
    """Make `function` raise. Returns the requests that failed, and whether the exception was raised."""
    await injector.send(function)
    requests = await failed_requests(injector.server.port, turn)
    assert injector.server.process.poll() is None, f"an exception in {function} ended the process"
    return requests, await injector.send("") == [function]


@asynccontextmanager
async def running_injector(serve: Serve, folder: Path) -> AsyncIterator[tuple[FaultInjector, str]]:
    """A server with fault injection, and the id of a turn in its history."""
    async with scripted() as upstream:
        upstream.script = respond_with(b"Hello")
        server = serve(
            program=Path(planted.__file__),
            HISTORY_URL=f"sqlite:///{folder}/chat.db",
            UPSTREAM_URL=upstream.url,
            UPSTREAM_API_KEY="key",
            UPSTREAM_RETRIES="0",
            API_KEY="key",
            RESUME_FOR="60m",  # the first turn is resumed repeatedly
            PLANTED_TARGET=str(folder / "target"),
            PLANTED_REPORT=str(folder / "report"),
            DRAIN_TIMEOUT=f"{DRAIN_S}s",
        )
        server.may_log_errors = True
        first = await fetch(server.port, with_key(chat("x", conversation="first")))
        yield FaultInjector(server, folder), first.headers["x-turn-id"]


@pytest.mark.row("planted")
async def test_exception_in_a_callback_closes_at_most_one_connection(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    async with running_injector(serve, tmp_path) as (injector, turn):
        port = injector.server.port
        await injector.send("learn")
        assert await failed_requests(port, turn) == []
        functions = await injector.send("")
        assert len(functions) > MIN_FUNCTIONS, functions
        random.shuffle(functions)
        functions.sort(key=lambda each: not each.endswith(SOCKET_CALLBACK))  # a short run must not miss these
        ended: list[int] = []
        for function in islice(cycle(functions), MAX_ATTEMPTS * tally.required):
            attempts = [await inject(function, injector, turn)]
            while len(attempts[-1][0]) > 1 and len(attempts) < MAX_ATTEMPTS:  # a loaded machine may cause timeouts
                attempts.append(await inject(function, injector, turn))
            requests, has_raised = min(attempts, key=lambda each: len(each[0]))
            assert len(requests) <= 1, f"an exception in {function} failed {requests}"
            if has_raised:
                ended.append(len(requests))
            if len(ended) == tally.required:
                break
        assert await failed_requests(port, turn) == []
        await metric_becomes(port, "tokenfall_streams_in_flight", 0)
        await metric_becomes(port, "tokenfall_connections", 1)
    start_s = time.monotonic()
    injector.server.signal()
    assert injector.server.wait() == 0
    assert time.monotonic() - start_s < DRAIN_S + MARGIN_S
    tally.passed(
        f"in {len(functions)} functions; {sum(ended)} closed only the affected connection, the others none",
        count=len(ended),
    )
