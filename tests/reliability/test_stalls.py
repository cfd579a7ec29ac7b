"""No request keeps another stream waiting, whatever it asks for. (decision 0020)"""

import asyncio
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.doubles.hostile_requests import (
    CONTROLS,
    FIRST,
    HEADS,
    JOURNALED,
    LISTS,
    NUMBERS,
    TEXTS,
    Make,
    with_schema,
)
from tests.doubles.hostile_schemas import HOSTILE
from tests.end_to_end.client import Client, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.reliability.rows import Tally
from tests.reliability.stalls import Watch

READ_BYTES = 200_000
"""Of a very long response: by then it was planned and begun."""

ENDS_S = 25.0
HELD_S = 0.1
"""On a machine that is busy with other things, the reader of a stream is late too, and sees more of what was used."""

IMPORTING = "first chat"
"""The first request to a provider's path: it imports the dialects, at once. (decision 0020)"""

IMPORTING_S = 0.5

FILL, FILL_REQUESTS = "journal: one of many", 160

SCHEMAS: dict[str, Make] = {
    f"schema: {name}": lambda schema=schema: with_schema(schema)  # type: ignore[misc] # bound as a default
    for name, schema in HOSTILE.items()
}


def hostile() -> Iterator[tuple[str, Make]]:
    """Every request with its name; what is made at the first request comes first."""
    for table in (FIRST, TEXTS, NUMBERS, LISTS, HEADS, CONTROLS, SCHEMAS):
        yield from table.items()
    yield "journal on", lambda: request("/sim", method="PATCH", body='{"journal":true}')
    for name, make in JOURNALED.items():
        yield f"journal: {name}", make
    yield FILL, JOURNALED["beginnings of keys"]
    yield "journal: shown", lambda: request("/sim/requests")


async def ask(server: ServerProcess, data: bytes) -> None:
    """Send a request, and read its response to the end or so far that it was made."""
    async with await Client.connect(server.port) as client:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(client.sock, data), ENDS_S)
        head = await client.until(b"\r\n\r\n", within_s=ENDS_S)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        wanted = READ_BYTES if length is None else min(READ_BYTES, int(length[1]))
        read = 0
        while read < wanted:
            data = await client.receive(within_s=ENDS_S)
            read += len(data)
            if length is None and data.endswith(b"\r\n0\r\n\r\n"):
                return


class Seen(NamedTuple):
    """What one request did to the streams beside it, in seconds."""

    late: float
    held: float
    used: float


async def seen_by(watch: Watch, server: ServerProcess, data: bytes) -> Seen:
    await asyncio.sleep(0.03)
    watch.reset()
    before_s = watch.processor_s()
    await ask(server, data)
    await asyncio.sleep(0.03)
    return Seen(watch.late_s, watch.held_s, watch.processor_s() - before_s)


@pytest.mark.row("stalls")
async def test_no_request_keeps_another_stream_waiting(serve: Serve, tally: Tally) -> None:
    server = serve()
    watch = await asyncio.to_thread(Watch, server.process.pid, server.port)
    seen: dict[str, Seen] = {}
    try:
        for name, make in hostile():
            data = make()
            for _ in range(FILL_REQUESTS if name == FILL else 0):
                await ask(server, data)
            try:
                seen[name] = await seen_by(watch, server, data)
            except TimeoutError:
                pytest.fail(f"no response to {name!r} within {ENDS_S:g} s")
    finally:
        await asyncio.to_thread(watch.stop)
    importing = seen.pop(IMPORTING)
    assert importing.held < IMPORTING_S
    worst = {field: max(seen, key=lambda name: getattr(seen[name], field)) for field in Seen._fields}
    held = seen[worst["held"]].held
    assert held < HELD_S, {name: each for name, each in seen.items() if each.held > HELD_S / 2}
    late, used = seen[worst["late"]].late, seen[worst["used"]].used
    tally.passed(
        f"a token of a stream of 20 ms was at most {late * 1e3:.0f} ms late ({worst['late']}); between two of a stream "
        f"of 4 ms the server used at most {held * 1e3:.0f} ms of processor ({worst['held']}); a request used at most "
        f"{used:.1f} s ({worst['used']}); the first request to a provider's path used {importing.held * 1e3:.0f} ms",
        times=len(seen) + 1,
    )
