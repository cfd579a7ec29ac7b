"""HTTP/1.1 pipelining."""

import asyncio
import fcntl
import termios
from array import array

import pytest

from tokenfall.http.connection import Connection

from tests.end_to_end.client import PATIENCE_S, Client, metric_becomes, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import running
from tests.end_to_end.process import ServerProcess
from tests.end_to_end.test_framing import frames

MIB = 1_048_576
MAX_READ = 300_000


async def test_responses_are_in_request_order(port: int) -> None:
    bodies = (b'{"messages":[{"role":"user","content":"x"}],"stream":false,"model":"sim:gap=5ms,tokens=1"}', b"{}")
    requests = [
        request("/api/data?ttft=30ms"),
        request("/stream-sse?gap=5ms&tokens=3"),
        request("/health"),
        request("/chat", method="POST", body=bodies[0]),
        request("/history"),
        request("/nowhere"),
        request("/stream-ndjson?gap=1ms&tokens=2", method="HEAD"),
        request("/chat", method="POST", body=bodies[1]),
        request("/stream-ndjson?gap=1ms&tokens=2"),
        request("/version"),
    ]
    named = [data.replace(b"\r\n", b"\r\nX-Request-Id: no%d\r\n" % number, 1) for number, data in enumerate(requests)]
    async with await Client.connect(port) as client:
        await client.send(b"".join(named))
        responses = [await client.read_response(to_head=data.startswith(b"HEAD")) for data in requests]
    assert [response.headers["x-request-id"] for response in responses] == [f"no{n}" for n in range(len(requests))]
    assert [response.status for response in responses] == [200, 200, 200, 200, 200, 404, 200, 400, 200, 200]
    assert responses[1].body == b"".join(frames("/stream-sse", 3))
    assert responses[8].body == b"".join(frames("/stream-ndjson", 2))


async def test_two_thousand_pipelined_requests_are_served(port: int) -> None:
    count = 2_000
    async with await Client.connect(port) as client:

        async def send() -> None:
            await client.send(request("/version") * count)

        async def read() -> None:
            for _ in range(count):
                assert (await client.read_response()).status == 200

        await asyncio.gather(send(), read())


async def test_pipelined_requests_do_not_starve_another_connection(port: int) -> None:
    async with await Client.connect(port) as one, await Client.connect(port) as other:
        requests = request("/version") * 5_000

        async def flood() -> None:
            await one.send(requests)

        async def read_all() -> None:
            for _ in range(5_000):
                await one.read_response()

        flooding = asyncio.gather(flood(), read_all())
        for _ in range(5):
            assert (await other.fetch(request("/health"))).status == 200
        await flooding


def unread_bytes(client: Client, connection: Connection) -> int:
    """Return the bytes in the kernel's send and receive queues: sent by the client, not read by the server."""
    counts = [array("i", [0]), array("i", [0])]
    fcntl.ioctl(client.sock, termios.TIOCOUTQ, counts[0])
    fcntl.ioctl(connection.fd, termios.FIONREAD, counts[1])
    return counts[0][0] + counts[1][0]


async def fill(client: Client, data: bytes, *, at_most: int) -> int:
    """Send until the socket stays full or `at_most` bytes are sent; return the number of bytes."""
    sent = 0
    refused = 0
    while sent < at_most and refused < 50:
        count = client.send_now(data)
        sent += count
        refused = 0 if count else refused + 1
        await asyncio.sleep(0 if count else 0.01)  # no event tells that a socket stays full
    return sent


async def test_requests_pipelined_behind_an_endless_stream_stay_in_kernel_buffers(serve: Serve) -> None:
    server = serve()
    flood = request("/api/data") * 10_000
    async with await Client.connect(server.port, receive_buffer=65_536) as client:
        await client.send(request("/stream-loop?gap=20ms"))
        await client.head()
        assert (await client.chunk()).startswith(b"data: ")
        before = server.resident_bytes()
        await fill(client, flood, at_most=len(flood))
        for _ in range(3):
            assert (await client.chunk()).startswith(b"data: "), "another response interrupts the stream"
        assert server.resident_bytes() - before < MIB
    await metric_becomes(server.port, "tokenfall_streams_in_flight", 0)
    await metric_becomes(server.port, "tokenfall_connections", 1)


@pytest.mark.every_poller
async def test_server_stops_reading_requests_pipelined_behind_an_endless_stream() -> None:
    async with running() as here:
        async with await Client.connect(here.port) as client:
            await client.send(request("/stream-loop?gap=20ms"))
            await client.head()
            sent = await fill(client, request("/api/data") * 1_000, at_most=16 * MIB)
            assert sent < 16 * MIB, "the server keeps reading"
            (connection,) = here.connections()
            assert sent - unread_bytes(client, connection) < MAX_READ, "more than one read beyond the bound"
        await here.wait_idle()


@pytest.mark.every_poller
async def test_server_stops_reading_from_a_client_that_never_reads() -> None:
    async with running(STALL_TIMEOUT="5s") as here:
        async with await Client.connect(here.port, receive_buffer=4_096) as client:
            sent = await fill(client, request("/api/data") * 1_000, at_most=32 * MIB)
            assert sent < 32 * MIB, "the server keeps reading although its response is not read"
            (connection,) = here.connections()
            assert sent - unread_bytes(client, connection) < MAX_READ
        await here.wait_idle()


async def test_memory_is_constant_for_a_client_that_never_reads(serve: Serve) -> None:
    server: ServerProcess = serve()
    async with await Client.connect(server.port, receive_buffer=4_096) as client:
        before = server.resident_bytes()
        await fill(client, request("/api/data") * 1_000, at_most=32 * MIB)
        assert server.resident_bytes() - before < 2 * MIB
    await metric_becomes(server.port, "tokenfall_connections", 1)


async def test_pipelined_requests_are_served_after_the_stream(port: int) -> None:
    count = 2_000
    async with await Client.connect(port) as client:
        await client.send(request("/stream-sse?gap=20ms&tokens=20"))

        async def send() -> None:
            await client.send(request("/version") * count)

        async def read() -> None:
            assert (await client.read_response()).body == b"".join(frames("/stream-sse", 20))
            for _ in range(count):
                assert (await client.read_response()).body.startswith(b'{"name"')

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(send(), read())
