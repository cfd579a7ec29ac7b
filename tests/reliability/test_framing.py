"""Ambiguously framed requests to a real process, directly and through nginx and haproxy. (E4)

The cases are shared with tests/end_to_end, which tests each one separately.
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
"""Concurrent connection attempts. A full backlog would delay a connection by one second."""

NAMES = (b"Content-Length", b"Transfer-Encoding", b"Host")


def with_name_case(data: bytes, spell: Callable[[bytes], bytes]) -> bytes:
    """A request with the case of its field names changed."""
    for name in NAMES:
        data = data.replace(name, spell(name))
    return data


CASES = list(
    dict.fromkeys(
        with_name_case(data, spell) for spell in (bytes.title, bytes.lower, bytes.upper) for data in SMUGGLING
    )
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
async def running(proxy: Callable[[Path], Nginx | HAProxy], folder: Path) -> AsyncIterator[int]:
    await asyncio.to_thread(folder.mkdir)
    started = await asyncio.to_thread(proxy, folder)
    try:
        yield started.port
    finally:
        await asyncio.to_thread(started.stop)


async def check_other_clients(port: int, tally: Tally) -> None:
    """Send all cases through a proxy. After each group, other clients must get the responses to their own requests."""
    for group in tally.groups(CONNECTING):
        await asyncio.gather(*(send_with_canary(port, CASES[number % len(CASES)]) for number in group))
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
    async with running(lambda folder: Nginx(folder, [server.port]), tmp_path / "nginx") as port:
        await check_other_clients(port, tally)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
@pytest.mark.row("framing behind haproxy")
async def test_no_request_behind_haproxy_gets_another_clients_response(
    serve: Serve, tally: Tally, tmp_path: Path
) -> None:
    server = serve()
    async with running(lambda folder: HAProxy(folder, server.port), tmp_path / "haproxy") as port:
        await check_other_clients(port, tally)


async def send_with_canary(port: int, data: bytes) -> None:
    """Send a case followed by a canary request, which must get at most one response."""
    async with await Client.connect(port) as client:
        await client.send(data + request("/version", X_Request_Id="canary", Connection="close"))
        client.half_close()
        try:
            answers = await client.read_to_end(within_s=PATIENCE_S)
        except ConnectionError:
            return
        assert answers.lower().count(b"x-request-id: canary") <= 1
