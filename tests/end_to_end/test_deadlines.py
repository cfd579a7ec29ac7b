"""Request deadlines are absolute: slow bytes do not extend them. (E1)"""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.conftest import Serve, check_clean_exit
from tests.end_to_end.in_process import running
from tests.end_to_end.process import ServerProcess

TIMEOUT_S = 0.5
TOLERANCE_S = 2.5
"""Tolerance: 0.25 s for the slots of the timer wheel, the rest for a busy machine."""


@pytest.fixture(scope="module")
def short_deadlines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server with request deadlines of 0.5 s."""
    names = ("HEADER_TIMEOUT", "BODY_TIMEOUT", "IDLE_TIMEOUT")
    server = ServerProcess(tmp_path_factory.mktemp("hasty"), environment=dict.fromkeys(names, f"{TIMEOUT_S}s"))
    yield server.port
    check_clean_exit(server)


async def send_slowly(client: Client, data: bytes) -> None:
    """Send a byte every 50 ms until the server closes the connection."""
    try:
        for at in range(len(data)):
            await client.send(data[at : at + 1])
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass


async def status_and_duration(client: Client, data: bytes, *, begun: float) -> tuple[int, float]:
    """Send `data` slowly; return the status, 0 for a close without a response, and the time since `begun`."""
    sending = asyncio.create_task(send_slowly(client, data))
    try:
        status = (await client.read_response()).status
    except EOFError:
        status = 0
    after_s = time.monotonic() - begun
    sending.cancel()
    await asyncio.wait([sending])
    await client.wait_closed()
    return status, after_s


async def test_slow_head_is_refused_at_its_deadline_from_accept(short_deadlines: int) -> None:
    async with await Client.connect(short_deadlines) as client:
        begun = time.monotonic()
        status, after_s = await status_and_duration(client, request("/health", X="a" * 200), begun=begun)
        assert status == 408
        assert TIMEOUT_S - 0.1 <= after_s < TIMEOUT_S + TOLERANCE_S


async def test_silent_connection_is_closed(short_deadlines: int) -> None:
    async with await Client.connect(short_deadlines) as client:
        begun = time.monotonic()
        assert await client.read_to_end() == b""
        assert TIMEOUT_S - 0.1 <= time.monotonic() - begun < TIMEOUT_S + TOLERANCE_S


@pytest.mark.parametrize(
    ("framing", "body"),
    [({"Content_Length": "500"}, b" " * 200), ({"Transfer_Encoding": "chunked"}, b"1\r\n \r\n" * 40)],
    ids=["length", "chunks"],
)
async def test_slow_body_is_refused_at_its_deadline_from_the_head(
    short_deadlines: int, framing: dict[str, str], body: bytes
) -> None:
    async with await Client.connect(short_deadlines) as client:
        begun = time.monotonic()
        await client.send(request("/chat", method="POST", **framing))
        status, after_s = await status_and_duration(client, body, begun=begun)
        assert status == 408
        assert TIMEOUT_S - 0.1 <= after_s < TIMEOUT_S + TOLERANCE_S


async def test_missing_body_is_refused_at_its_deadline(short_deadlines: int) -> None:
    async with await Client.connect(short_deadlines) as client:
        begun = time.monotonic()
        await client.send(request("/chat", method="POST", Content_Length="5"))
        assert (await client.read_response()).status == 408
        assert time.monotonic() - begun < TIMEOUT_S + TOLERANCE_S


async def test_the_head_of_a_later_request_has_a_deadline_from_its_first_byte(short_deadlines: int) -> None:
    async with await Client.connect(short_deadlines) as client:
        assert (await client.fetch(request("/health"))).status == 200
        await asyncio.sleep(0.3)  # idle time, which the deadline must not include
        begun = time.monotonic()
        status, after_s = await status_and_duration(client, request("/health", X="a" * 200), begun=begun)
        assert status == 408
        assert TIMEOUT_S - 0.1 <= after_s < TIMEOUT_S + TOLERANCE_S


async def test_idle_connection_is_closed_without_a_response(short_deadlines: int) -> None:
    async with await Client.connect(short_deadlines) as client:
        assert (await client.fetch(request("/health"))).status == 200
        begun = time.monotonic()
        assert await client.read_to_end() == b""
        assert TIMEOUT_S - 0.1 <= time.monotonic() - begun < TIMEOUT_S + TOLERANCE_S


async def test_stream_is_not_limited_by_request_deadlines(short_deadlines: int) -> None:
    async with await Client.connect(short_deadlines) as client:
        await client.send(request("/stream-sse?gap=200ms&tokens=5"))
        await client.head()
        assert len(await client.chunks()) == 6
        assert (await client.fetch(request("/health"))).status == 200, (
            "the idle timeout starts at the end of the response"
        )


async def test_blank_lines_do_not_extend_the_deadline(short_deadlines: int) -> None:
    async with await Client.connect(short_deadlines) as client:
        begun = time.monotonic()
        sending = asyncio.create_task(send_slowly(client, b"\r\n" * 100))
        await client.wait_closed()
        assert time.monotonic() - begun < TIMEOUT_S + TOLERANCE_S
        sending.cancel()
        await asyncio.wait([sending])


async def test_two_hundred_slow_clients_are_refused_and_others_are_served(short_deadlines: int) -> None:
    async def slow_client_status() -> int:
        async with await Client.connect(short_deadlines) as client:
            return (await status_and_duration(client, request("/", X="a" * 100), begun=0.0))[0]

    slow_clients = asyncio.gather(*(slow_client_status() for _ in range(200)))
    await asyncio.sleep(0.2)
    async with await Client.connect(short_deadlines) as client:
        for _ in range(20):
            assert (await client.fetch(request("/health"))).status == 200
    assert await slow_clients == [408] * 200, "a slow client did not get 408"


@pytest.mark.every_poller
async def test_deadlines_release_everything() -> None:
    async with running(HEADER_TIMEOUT="250ms", BODY_TIMEOUT="250ms", IDLE_TIMEOUT="250ms") as here:
        openings = (b"", b"GET", request("/health"), request("/chat", method="POST", Content_Length="5") + b"x")
        clients = [await Client.connect(here.port) for _ in openings]
        for client, opening in zip(clients, openings, strict=True):
            if opening:
                await client.send(opening)
        for client in clients:
            await client.wait_closed()
            client.close()
        await here.wait_idle()


async def test_first_token_delay_over_2_31_ms_does_not_crash_the_server(serve: Serve) -> None:
    server = serve()
    async with await Client.connect(server.port) as client:
        await client.send(request("/stream-sse?ttft=86400s~10&seed=275"))  # the drawn time is over 2**31 ms
        assert (await client.head()).status == 200
        assert (await fetch(server.port, request("/health"))).status == 200
