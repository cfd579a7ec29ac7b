"""No request keeps another stream waiting, whatever it asks for. (decision 0020)"""

import asyncio
from collections.abc import Iterator
from operator import attrgetter

import pytest

from tests.doubles.first_requests import FIRST
from tests.doubles.hostile_requests import (
    CONTROLS,
    HEADS,
    JOURNALED,
    LISTS,
    NUMBERS,
    TEXTS,
    Make,
    with_schema,
)
from tests.doubles.hostile_schemas import HOSTILE
from tests.end_to_end.client import request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.reliability.rows import Tally
from tests.reliability.stalls import ENDS_S, Seen, Watch, ask, seen_by

HELD_S = 0.1
"""On a machine that is busy with other things, the reader of a stream is late too, and sees more of what was used."""

LONG_S, TRIES = 0.010, 3
"""What seems to be held for longer is tried again, and the least counts: a busy machine only adds to it."""

HELD = attrgetter("held")

AT_MOST_IN_ONE_PIECE = 0.5
"""Of the processor that first requests use, the share that they use between two tokens of another stream: nine tenths
where they import on the loop."""

FILL, FILL_REQUESTS = "journal: one of many", 160

SCHEMAS: dict[str, Make] = {
    f"schema: {name}": lambda schema=schema: with_schema(schema)  # type: ignore[misc] # bound as a default
    for name, schema in HOSTILE.items()
}


def hostile() -> Iterator[tuple[str, Make]]:
    """Every request with its name."""
    for table in (TEXTS, NUMBERS, LISTS, HEADS, CONTROLS, SCHEMAS):
        yield from table.items()
    yield "journal on", lambda: request("/sim", method="PATCH", body='{"journal":true}')
    for name, make in JOURNALED.items():
        yield f"journal: {name}", make
    yield FILL, JOURNALED["beginnings of keys"]
    yield "journal: shown", lambda: request("/sim/requests")


@pytest.mark.row("stalls")
async def test_no_request_delays_another_stream(serve: Serve, tally: Tally) -> None:
    server = serve()
    for make in FIRST.values():  # what is loaded at a first request is another test's
        await ask(server, make())
    watch = await asyncio.to_thread(Watch, server.process.pid, server.port)
    seen: dict[str, Seen] = {}
    try:
        for name, make in hostile():
            data = make()
            for _ in range(FILL_REQUESTS if name == FILL else 0):
                await ask(server, data)
            try:
                seen[name] = await seen_by(watch, server, data)
                for _ in range(TRIES - 1 if seen[name].held > LONG_S else 0):
                    seen[name] = min(seen[name], await seen_by(watch, server, data), key=HELD)
            except TimeoutError:
                pytest.fail(f"no response to {name!r} within {ENDS_S:g} s")
    finally:
        await asyncio.to_thread(watch.stop)
    worst = {field: max(seen, key=lambda name: getattr(seen[name], field)) for field in Seen._fields}
    held = seen[worst["held"]].held
    assert held < HELD_S, {name: each for name, each in seen.items() if each.held > HELD_S / 2}
    late, used = seen[worst["late"]].late, seen[worst["used"]].used
    tally.passed(
        f"a token of a stream with a gap of 20 ms was at most {late * 1e3:.0f} ms late ({worst['late']}); "
        f"between two tokens of a stream with a gap of 4 ms the server used at most {held * 1e3:.0f} ms of processor "
        f"({worst['held']}); a request used at most "
        f"{used:.1f} s ({worst['used']})",
        count=len(seen),
    )


async def first_of(server: ServerProcess, data: bytes) -> Seen:
    """What the first request of a server does, which ends then."""
    watch = await asyncio.to_thread(Watch, server.process.pid, server.port)
    try:
        return await seen_by(watch, server, data)
    finally:
        await asyncio.to_thread(watch.stop)
        await asyncio.to_thread(server.close)


@pytest.mark.row("first requests")
async def test_no_first_request_delays_another_stream(serve: Serve, tally: Tally) -> None:
    seen: dict[str, Seen] = {}
    for name, make in FIRST.items():
        seen[name] = await first_of(serve(), make())
        for _ in range(TRIES - 1 if seen[name].held > LONG_S else 0):
            seen[name] = min(seen[name], await first_of(serve(), make()), key=HELD)
    worst = max(seen, key=lambda name: seen[name].held)
    late = max(seen, key=lambda name: seen[name].late)
    most = max(seen, key=lambda name: seen[name].used)
    assert seen[worst].held < HELD_S, seen
    in_one_piece = sum(each.held for each in seen.values()) / sum(each.used for each in seen.values())
    assert in_one_piece < AT_MOST_IN_ONE_PIECE, seen
    tally.passed(
        f"a token of a stream with a gap of 20 ms was at most {seen[late].late * 1e3:.0f} ms late ({late}); "
        f"between two tokens of a stream with a gap of 4 ms the server used at most {seen[worst].held * 1e3:.0f} ms of "
        f"processor ({worst}); a request used at most {seen[most].used * 1e3:.0f} ms ({most})",
        count=len(seen),
    )
