"""An exception in the body of a callback ends one connection at most, and never the process. (E11)

It is raised by a function that a callback calls. These functions are not listed here: a server under load notes which
there are, whatever their names. That the outermost guards hold too is tried in tests/end_to_end/test_defects.py.
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
from tests.end_to_end.upstream import answer_with, scripted
from tests.reliability.programs import planted
from tests.reliability.rows import Tally

ANSWERED_S = 8.0
"""How long a client waits before it counts as one that got no response."""

FUNCTIONS = 20
"""At least so many are called, or the load is none."""

AT_MOST = 3
"""Tries for each exception that is to be raised: some functions are called now and then only."""

DRAIN_S, MARGIN_S = 2, 1

OPENAI = b'{"model":"sim:gap=1ms,tokens=3","messages":[{"role":"user","content":"x"}],"stream":%b}'


class Plant:
    """A server with a switch for failures."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        self.server = server
        self._target = folder / "target"
        self._report = folder / "report"

    async def tell(self, command: str) -> list[str]:
        """What was found since the last command."""
        await asyncio.to_thread(self._target.write_text, command, encoding="utf-8")
        await asyncio.to_thread(self._report.unlink, missing_ok=True)
        self.server.process.send_signal(planted.CHANGED)
        await eventually(self._report.exists, lambda: f"no report after {command!r}")
        text = await asyncio.to_thread(self._report.read_text, encoding="utf-8")
        return text.splitlines()


def with_key(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\r\nX-API-Key: key\r\n", 1)


@dataclass(frozen=True)
class Ask:
    """A request, and what is in its response when all is well."""

    data: bytes
    part: bytes

    async def succeeds(self, port: int) -> bool:
        try:
            async with asyncio.timeout(ANSWERED_S), await Client.connect(port) as client:
                answer = await client.ask(with_key(self.data))
                return answer.status < 300 and self.part in answer.body
        except (ConnectionError, EOFError, TimeoutError):
            return False


async def leaves(port: int) -> bool:
    """A client that resets its connection in the middle of a stream."""
    client = await Client.connect(port)
    try:
        await client.send(with_key(request("/stream-loop?gap=5ms")))
        await client.receive(within_s=ANSWERED_S)
    except (ConnectionError, TimeoutError):
        return False
    finally:
        client.reset()
    return True


def asks(turn: str) -> list[Ask]:
    return [
        Ask(request("/api/data?ttft=2ms"), b"{"),
        Ask(request("/stream-ndjson?gap=2ms&tokens=3"), b"\n"),
        Ask(request("/stream-sse?gap=2ms&tokens=3"), b"data: "),
        Ask(chat("x", conversation="whole", stream=False), b"content"),
        Ask(chat("x", conversation="streamed"), DONE),
        Ask(chat("x", conversation="upstream", model=None), DONE),
        Ask(chat("x", conversation="upstream", model=None, stream=False), b"Hello"),
        Ask(request("/history?conversation=first"), b"content"),
        Ask(request("/conversations"), b"first"),
        Ask(resume(turn), DONE),
        Ask(request("/v1/chat/completions", method="POST", body=OPENAI % b"true"), DONE),
        Ask(request("/v1/chat/completions", method="POST", body=OPENAI % b"false"), b"content"),
        Ask(request("/metrics"), b"tokenfall_"),
        Ask(request("/readyz"), b""),
    ]


async def failed(port: int, turn: str) -> list[bytes]:
    """The requests of all connections, which are open at once, that did not end as they should; b"" if one left."""
    steady = Ask(request("/stream-sse?gap=10ms&tokens=20"), b"data: ")
    all_of_them = [steady, steady, *asks(turn)]
    left, *ended = await asyncio.gather(leaves(port), *(ask.succeeds(port) for ask in all_of_them))
    return [b""] * (not left) + [ask.data for ask, well in zip(all_of_them, ended, strict=True) if not well]


async def failed_by(function: str, plant: Plant, turn: str) -> tuple[list[bytes], bool]:
    """The requests that failed while `function` was to raise, and whether it did."""
    await plant.tell(function)
    requests = await failed(plant.server.port, turn)
    assert plant.server.process.poll() is None, f"the process ended with {function}"
    return requests, await plant.tell("") == [function]


@asynccontextmanager
async def planting(serve: Serve, folder: Path) -> AsyncIterator[tuple[Plant, str]]:
    """A server with a turn in its history."""
    async with scripted() as upstream:
        upstream.script = answer_with(b"Hello")
        server = serve(
            program=Path(planted.__file__),
            HISTORY_URL=f"sqlite:///{folder}/chat.db",
            UPSTREAM_URL=upstream.url,
            UPSTREAM_API_KEY="key",
            UPSTREAM_RETRIES="0",
            API_KEY="key",
            RESUME_FOR="60m",  # the first turn is resumed again and again
            PLANTED_TARGET=str(folder / "target"),
            PLANTED_REPORT=str(folder / "report"),
            DRAIN_TIMEOUT=f"{DRAIN_S}s",
        )
        server.may_complain = True
        first = await fetch(server.port, with_key(chat("x", conversation="first")))
        yield Plant(server, folder), first.headers["x-turn-id"]


@pytest.mark.row("planted")
async def test_an_exception_in_a_callback_ends_one_connection_at_most(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    async with planting(serve, tmp_path) as (plant, turn):
        port = plant.server.port
        await plant.tell("learn")
        assert await failed(port, turn) == []
        functions = await plant.tell("")
        assert len(functions) > FUNCTIONS, functions
        random.shuffle(functions)
        ended: list[int] = []
        for function in islice(cycle(functions), AT_MOST * tally.required):
            tries = [await failed_by(function, plant, turn)]
            while len(tries[-1][0]) > 1 and len(tries) < AT_MOST:  # on a busy machine others were late
                tries.append(await failed_by(function, plant, turn))
            requests, has_raised = min(tries, key=lambda each: len(each[0]))
            assert len(requests) <= 1, f"{requests} ended with {function}"
            if has_raised:
                ended.append(len(requests))
            if len(ended) == tally.required:
                break
        assert await failed(port, turn) == []
        await metric_becomes(port, "tokenfall_streams_in_flight", 0)
        await metric_becomes(port, "tokenfall_connections", 1)
    begun_s = time.monotonic()
    plant.server.signal()
    assert plant.server.wait() == 0
    assert time.monotonic() - begun_s < DRAIN_S + MARGIN_S
    tally.passed(
        f"in {len(functions)} functions; {sum(ended)} closed only the affected connection, the others none",
        count=len(ended),
    )
