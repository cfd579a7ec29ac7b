"""Requests that two parsers could split differently, to a real process, alone and behind real proxies. (E4)

The cases are those of tests/end_to_end, where each has a test of its own.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.end_to_end.client import PATIENCE_S, Client, fetch, metric_becomes, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.test_hostile_requests import SMUGGLING, check_one_refusal
from tests.reliability.haproxy import HAProxy
from tests.reliability.nginx import Nginx
from tests.reliability.rows import Tally

CONNECTING = 32
"""Connections that are opened at once: a full backlog costs a second."""

NAMES = (b"Content-Length", b"Transfer-Encoding", b"Host")


def respelled(data: bytes, spell: Callable[[bytes], bytes]) -> bytes:
    """A request with other letters in the names of its fields."""
    for name in NAMES:
        data = data.replace(name, spell(name))
    return data


CASES = list(
    dict.fromkeys(respelled(data, spell) for spell in (bytes.title, bytes.lower, bytes.upper) for data in SMUGGLING)
)


@pytest.mark.row("framing")
async def test_no_ambiguous_request_gets_two_responses(serve: Serve, tally: Tally) -> None:
    server = serve()
    for group in tally.groups(CONNECTING):
        await asyncio.gather(*(check_one_refusal(server.port, CASES[number % len(CASES)]) for number in group))
    await metric_becomes(server.port, "tokenfall_connections", 1)
    tally.passed(
        f"{len(CASES)} cases: each got one 4xx or 5xx response and a close; the second request got no response"
    )


@asynccontextmanager
async def behind(proxy: Callable[[Path], Nginx | HAProxy], folder: Path) -> AsyncIterator[int]:
    await asyncio.to_thread(folder.mkdir)
    started = await asyncio.to_thread(proxy, folder)
    try:
        yield started.port
    finally:
        await asyncio.to_thread(started.stop)


async def undisturbed_by_ambiguous_requests(port: int, tally: Tally) -> None:
    """Send all cases to a proxy, and requests of other clients after some, which must get their own responses."""
    for group in tally.groups(CONNECTING):
        await asyncio.gather(*(poisoned(port, CASES[number % len(CASES)]) for number in group))
        answers = await asyncio.gather(
            *(fetch(port, request("/version", X_Request_Id=f"mine-{number}")) for number in group)
        )
        for number, answer in zip(group, answers, strict=True):
            assert (answer.status, answer.headers["x-request-id"]) == (200, f"mine-{number}")
    tally.passed("at most one response to the second request; every other client got its own response")


@pytest.mark.row("framing behind nginx")
async def test_no_request_behind_nginx_gets_another_clients_response(
    serve: Serve, tally: Tally, tmp_path: Path
) -> None:
    server = serve()
    async with behind(lambda folder: Nginx(folder, [server.port]), tmp_path / "nginx") as port:
        await undisturbed_by_ambiguous_requests(port, tally)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
@pytest.mark.row("framing behind haproxy")
async def test_no_request_behind_haproxy_gets_another_clients_response(
    serve: Serve, tally: Tally, tmp_path: Path
) -> None:
    server = serve()
    async with behind(lambda folder: HAProxy(folder, server.port), tmp_path / "haproxy") as port:
        await undisturbed_by_ambiguous_requests(port, tally)


async def poisoned(port: int, data: bytes) -> None:
    """Send a case and a canary behind it, and leave when nothing more comes."""
    async with await Client.connect(port) as client:
        await client.send(data + request("/version", X_Request_Id="canary", Connection="close"))
        client.half_close()
        try:
            answers = await client.read_to_end(within_s=PATIENCE_S)
        except ConnectionError:
            return
        assert answers.lower().count(b"x-request-id: canary") <= 1
