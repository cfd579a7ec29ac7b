"""Slow, oversized, malformed, pipelined and aborted requests, in large numbers, to a real process. (E1 to E10)

The cases are shared with tests/end_to_end and tests/differential, which test each one separately.
"""

import asyncio
import re
import shutil
import sys
import time
from collections.abc import Callable
from itertools import cycle, islice
from random import Random

import pytest

from tokenfall.http.head import HeadParser

from tests.differential.mutations import SEEDS, mutated
from tests.differential.parsers import BOUNDS
from tests.differential.test_h11 import disagreement
from tests.end_to_end.client import Client, fetch, metric, metric_becomes, request, status_or_zero
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import eventually
from tests.end_to_end.test_disconnects import REQUESTS, RESPONSE_REQUESTS
from tests.end_to_end.test_held_bytes import MALLOC_SETTINGS
from tests.end_to_end.test_pipelining import fill
from tests.end_to_end.test_request_limits import MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_TARGET, status_of
from tests.reliability.kernel_memory import socket_memory
from tests.reliability.rows import Tally
from tests.reliability.unloaded import UnloadedClock

KIB = 1_024
AT_ONCE = 200
TIMEOUT_S = 1.0
LATE_S = 0.5
"""Tolerance of a deadline: it is rounded up to 250 ms, and 200 clients are served at the same time."""

CONNECTING = 32
"""Concurrent connection attempts. A full backlog would delay a connection by one second."""


# E1


async def send_slowly(port: int, data: bytes, clock: UnloadedClock, *, opening: asyncio.Semaphore) -> tuple[int, float]:
    """Send one byte of `data` every 100 ms. Returns the status, 0 if there is none, and the elapsed seconds."""
    async with opening:
        client = await Client.connect(port)
    start_s = clock.now_s()
    async with client:
        answer = asyncio.ensure_future(client.read_response())
        for byte in data:
            done, _ = await asyncio.wait([answer], timeout=0.1)
            if done:
                break
            client.send_now(bytes([byte]))
        try:
            return (await answer).status, clock.now_s() - start_s
        except (EOFError, ConnectionError):
            return 0, clock.now_s() - start_s


@pytest.mark.row("slow")
async def test_slow_requests_are_refused_at_their_deadline(serve: Serve, tally: Tally) -> None:
    server = serve(HEADER_TIMEOUT=f"{TIMEOUT_S:g}s", BODY_TIMEOUT=f"{TIMEOUT_S:g}s")
    clock = UnloadedClock(server.process.pid)
    head = request("/", X="a" * 200)
    body = request("/chat", method="POST", Content_Length="500")
    openings = (head, b"\r\n" * 200, b"", body + b" " * 200)
    opening = asyncio.Semaphore(CONNECTING)
    longest = 0.0
    for group in tally.groups(AT_ONCE):
        batch = [send_slowly(server.port, openings[number % 4], clock, opening=opening) for number in group]
        start_s = time.monotonic()
        ended, served = await asyncio.gather(asyncio.gather(*batch), fetch(server.port, request("/health")))
        assert served.status == 200
        assert {status for status, _ in ended} <= {408, 0}
        assert time.monotonic() - start_s >= TIMEOUT_S, "no refusal before the deadline"
        longest = max(longest, *(took_s for _, took_s in ended))
        assert longest < TIMEOUT_S + LATE_S
    await metric_becomes(server.port, "tokenfall_connections", 1)
    tally.passed(f"408 or a close after at most {longest:.2f} s with {TIMEOUT_S:g} s allowed; others were served")


ATTACKERS = 200
SLOW_TOOL = ("slowhttptest", "-c", str(ATTACKERS), "-r", "200", "-i", "1", "-l", "10", "-p", "2")
SLOW_READ = (
    "-X",
    "-w",
    "512",
    "-y",
    "1024",
    "-n",
    "1",
    "-z",
    "32",
    "-u",
    "http://127.0.0.1:{port}/stream-loop?gap=0ms",
)
SLOW_ATTACKS = (
    ("-H", "-x", "24", "-t", "GET", "-u", "http://127.0.0.1:{port}/"),
    ("-B", "-x", "24", "-t", "POST", "-s", "8192", "-u", "http://127.0.0.1:{port}/chat"),
    SLOW_READ,
)


@pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="slowhttptest is not installed")
@pytest.mark.row("slow tool")
async def test_slowhttptest_attack_leaves_no_connection_open(serve: Serve, tally: Tally) -> None:
    limits = dict.fromkeys(("HEADER_TIMEOUT", "BODY_TIMEOUT", "STALL_TIMEOUT"), f"{TIMEOUT_S:g}s")
    server = serve(**limits)
    served = 0
    for number in tally.rounds():
        attack = [part.format(port=server.port) for part in SLOW_ATTACKS[number % len(SLOW_ATTACKS)]]
        tool = await asyncio.create_subprocess_exec(*SLOW_TOOL, *attack, stdout=asyncio.subprocess.PIPE)
        output = asyncio.ensure_future(tool.communicate())
        while not output.done():
            assert (await fetch(server.port, request("/health"))).status == 200
            served += 1
            await asyncio.wait([output], timeout=0.1)
        text = (await output)[0].decode()
        if "-X" not in attack:  # a slow reader detects the reset much later
            assert "No open connections left" in text, text
        await metric_becomes(server.port, "tokenfall_connections", 1)
    slow_readers = len(range(SLOW_ATTACKS.index(SLOW_READ), tally.required, len(SLOW_ATTACKS)))
    assert await metric(server.port, "tokenfall_stalled_readers_total") == slow_readers * ATTACKERS
    tally.passed(f"no connection left after each run; {served} other requests were served meanwhile")


# E2

STALL_S = 12.0
TOKENS = 200
HELD_BYTES = 64 * KIB
"""The limit for a stalled client, in the process and the kernel together."""

MAX_ATTEMPTS = 3
"""Measurements of a time; the lowest is used, because other load only increases it."""


async def gaps_of(port: int, clock: UnloadedClock, *, gap_ms: int, tokens: int) -> list[float]:
    """The gaps between the tokens of a stream, in seconds, sorted."""
    gaps = []
    async with await Client.connect(port) as client:
        await client.send(request(f"/stream-sse?gap={gap_ms}ms&tokens={tokens}"))
        await client.head()
        await client.chunk()
        last_s = clock.now_s()
        while await client.chunk():
            now_s = clock.now_s()
            gaps.append(now_s - last_s)
            last_s = now_s
    return sorted(gaps)


async def p99_of(port: int, clock: UnloadedClock, *, at_most_s: float = 0.0) -> float:
    """The 99th percentile of the gaps: the lowest of up to `MAX_ATTEMPTS` measurements, stopping at `at_most_s`."""
    least = float("inf")
    for _ in range(MAX_ATTEMPTS):
        gaps = await gaps_of(port, clock, gap_ms=20, tokens=TOKENS)
        least = min(least, gaps[len(gaps) * 99 // 100 - 1])
        if least <= at_most_s:
            break
    return least


async def stable_socket_memory(port: int) -> list[int]:
    """The kernel memory of each connection, once it no longer grows."""
    before: list[int] = []
    while (now := socket_memory(port)) != before:
        before = now
        await asyncio.sleep(0.2)
    return now


@pytest.mark.row("stalled")
async def test_stalled_clients_use_little_memory_and_do_not_delay_others(serve: Serve, tally: Tally) -> None:
    server = serve(STALL_TIMEOUT=f"{STALL_S:g}s")
    port, clock = server.port, UnloadedClock(server.process.pid)
    quiet_s = await p99_of(port, clock)
    before = server.resident_bytes()
    clients = [await Client.connect(port, receive_buffer=4 * KIB) for _ in tally.rounds()]
    for client in clients:
        await client.send(request("/stream-loop?gap=1ms"))
    kernel = await stable_socket_memory(port)
    beside_s = await p99_of(port, clock, at_most_s=2 * quiet_s)
    process = (server.resident_bytes() - before) / len(clients)
    await metric_becomes(port, "tokenfall_stalled_readers_total", len(clients), within_s=2 * STALL_S)
    ends = [await client.wait_closed() for client in clients]
    for client in clients:
        client.close()
    assert set(ends) == {"reset"}
    assert len(kernel) == len(clients)
    assert process + max(kernel) <= HELD_BYTES
    assert beside_s <= 2 * quiet_s
    await metric_becomes(port, "tokenfall_streams_in_flight", 0)
    await metric_becomes(port, "tokenfall_connections", 1)
    tally.passed(
        f"all reset; each takes {process / KIB:.0f} KiB in the process and at most {max(kernel) / KIB:.0f} KiB in the "
        f"kernel; p99 of the time between two tokens of the other stream {beside_s * 1e3:.1f} ms, "
        f"{quiet_s * 1e3:.1f} ms without them"
    )


READERS = """
import selectors, socket, sys

selector = selectors.DefaultSelector()
for _ in range(20):
    reader = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    reader.sendall(sys.argv[2].encode())
    selector.register(reader, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        key.fileobj.recv(65536)
"""
"""Runs as a separate process, because reading these streams uses as much CPU time as the server."""

GAP_S, LATE_BESIDE_S = 0.050, 0.005


@pytest.mark.row("always due")
async def test_streams_without_a_gap_do_not_delay_another_stream(serve: Serve, tally: Tally) -> None:
    server = serve()
    clock = UnloadedClock(server.process.pid)
    arguments = (str(server.port), request("/stream-loop?gap=0us").decode())
    readers = await asyncio.create_subprocess_exec(sys.executable, "-c", READERS, *arguments)
    await metric_becomes(server.port, "tokenfall_streams_in_flight", 20)
    late_s = float("inf")
    for _ in range(MAX_ATTEMPTS):
        gaps = await gaps_of(server.port, clock, gap_ms=int(GAP_S * 1e3), tokens=tally.required + 1)
        late_s = min(late_s, gaps[len(gaps) * 99 // 100 - 1] - GAP_S)
        if late_s <= LATE_BESIDE_S:
            break
    readers.kill()
    await readers.wait()
    assert late_s <= LATE_BESIDE_S
    tally.passed(f"p99 of the lateness {max(0.0, late_s) * 1e3:.1f} ms", count=tally.required)


# E3


def size_cases() -> list[tuple[bytes, int]]:
    """Requests at, below and above each limit, with the expected status."""
    chunked = request("/chat", method="POST", Transfer_Encoding="chunked")

    def headed(size: int) -> bytes:
        data = request("/health", X="")
        return data[:-4] + b"a" * (size - len(data)) + b"\r\n\r\n"

    def in_chunks(size: int) -> bytes:
        return chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b" " * size)

    return [
        *((request("/" + "a" * (size - 1)), 404) for size in (MAX_TARGET - 1, MAX_TARGET)),
        *((request("/" + "a" * size), 414) for size in (MAX_TARGET, MAX_TARGET + 100)),
        (request("/" + "a" * 10 * MAX_TARGET), 414),
        *((headed(size), 200) for size in (MAX_HEAD - 1, MAX_HEAD)),
        *((headed(size), 431) for size in (MAX_HEAD + 1, 10 * MAX_HEAD)),
        (request("/health", **{f"X{number}": "" for number in range(MAX_HEADERS - 1)}), 200),
        *(
            (request("/health", **{f"X{number}": "" for number in range(count)}), 431)
            for count in (MAX_HEADERS, 10 * MAX_HEADERS)
        ),
        *((request("/chat", method="POST", body=b" " * size), 400) for size in (MAX_BODY - 1, MAX_BODY)),
        (request("/chat", method="POST", Content_Length=str(MAX_BODY + 1)), 413),
        (request("/chat", method="POST", Content_Length=str(10 * MAX_BODY)), 413),
        *((in_chunks(size), 400) for size in (MAX_BODY - 1, MAX_BODY)),
        (chunked + b"%x\r\n" % (MAX_BODY + 1), 413),
        (chunked + b"%x\r\n" % (10 * MAX_BODY), 413),
        (chunked + b"1;" + b"e" * 100 + b"\r\n \r\n0\r\nA: b\r\n\r\n", 400),
        (chunked + b"1;" + b"e" * 10_000, 413),
        (chunked + b"0\r\n" + b"A: b\r\n" * 2_000 + b"\r\n", 431),
        (chunked + b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n", 400),
    ]


@pytest.mark.row("sizes")
async def test_size_limits_are_exact_and_rejected_requests_use_no_memory(serve: Serve, tally: Tally) -> None:
    server = serve(**MALLOC_SETTINGS)
    cases = size_cases()
    for data, status in cases:
        assert await status_of(server.port, data) == status, data[:100]
    before = server.resident_bytes()
    for _, (data, status) in zip(tally.rounds(), cycle(cases), strict=False):
        assert await status_of(server.port, data) == status, data[:100]
    grown = server.resident_bytes() - before
    assert grown < MAX_BODY
    tally.passed(f"{len(cases)} sizes; each its status; the process grew by {max(0, grown) / KIB / KIB:.1f} MiB")


# E5


@pytest.mark.row("mutations")
def test_mutations_are_parsed_as_by_h11(tally: Tally) -> None:
    random = Random("mutations")
    heads = HeadParser(BOUNDS)
    for _ in tally.rounds():
        data = mutated(random)
        assert disagreement(data, heads) is None, data
    tally.passed("each parsed equally, or refused for a reason documented in tests/differential")


# E6

VARIABLE_PARTS = re.compile(rb"(?im)^(date|x-request-id): [^\r]*|\"request_id\":\"[^\"]*\"|HTTP/1.1 100 [^\r]*\r\n\r\n")
"""Parts that differ between equal responses. 100 Continue is not sent if the body has already arrived."""

LAST = request("/health", Connection="close")


async def responses_to(port: int, *pieces: bytes) -> bytes:
    """Send pieces in separate packets; return all responses. The last piece must request `Connection: close`."""
    async with await Client.connect(port) as client:
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0.005)  # until the previous packet has been read; there is no event to wait for
            await client.send(piece)
        return VARIABLE_PARTS.sub(b"", await client.read_to_end())


@pytest.mark.row("splits")
async def test_request_in_two_packets_gets_the_same_response(serve: Serve, tally: Tally, random: Random) -> None:
    server = serve()
    finite = [seed for seed in SEEDS if b"/stream-loop" not in seed]
    whole = {seed: await responses_to(server.port, seed + LAST) for seed in finite}
    cuts = [(seed, at) for seed in finite for at in range(1, len(seed))]
    random.shuffle(cuts)
    positions = cycle(cuts)
    for group in tally.groups(CONNECTING):
        batch = list(islice(positions, len(group)))
        answers = await asyncio.gather(*(responses_to(server.port, seed[:at], seed[at:] + LAST) for seed, at in batch))
        for (seed, at), answer in zip(batch, answers, strict=True):
            assert answer == whole[seed], (seed, at)
    await metric_becomes(server.port, "tokenfall_connections", 1)
    tally.passed(f"{len(cuts)} positions in {len(finite)} requests; each got the response of the complete request")


# E7


@pytest.mark.row("pipelined")
async def test_requests_pipelined_during_an_endless_stream_are_not_buffered(serve: Serve, tally: Tally) -> None:
    server = serve()
    flood = request("/api/data") * 10_000
    await fetch(server.port, request("/stream-sse?gap=0ms&tokens=1"))
    most = 0
    for _ in tally.rounds():
        async with await Client.connect(server.port, receive_buffer=65_536) as client:
            await client.send(request("/stream-loop?gap=20ms"))
            await client.head()
            await client.chunk()
            before = server.resident_bytes()
            await fill(client, flood, at_most=len(flood))
            for _ in range(3):
                assert (await client.chunk()).startswith(b"data: "), "only tokens are sent during the stream"
            most = max(most, server.resident_bytes() - before)
        assert most < KIB * KIB
    await metric_becomes(server.port, "tokenfall_streams_in_flight", 0)
    await metric_becomes(server.port, "tokenfall_connections", 1)
    tally.passed(f"the stream continued undisturbed; the process grew by at most {most / KIB:.0f} KiB")


# E8

OTHER_PROTOCOLS = (
    b"CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    b"GET /\r\n\r\n",
    b"\x00" * 100,
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"EHLO test\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: test\r\n\r\n",
    b"GET / HTTP/3.0\r\nHost: test\r\n\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
)


@pytest.mark.row("left anywhere")
async def test_disconnect_at_any_byte_releases_everything(serve: Serve, tally: Tally, random: Random) -> None:
    server = serve()
    port = server.port
    sizes: dict[bytes, int] = {}
    for data in RESPONSE_REQUESTS:
        async with await Client.connect(port) as client:
            answer = await client.fetch(data)
            sizes[data] = len(answer.head.raw) + len(answer.body)
    requests = [*REQUESTS, *SEEDS, *OTHER_PROTOCOLS]
    places = [(data, at, 0) for data in requests for at in range(len(data) + 1)]
    places += [(data, len(data), at) for data in RESPONSE_REQUESTS for at in range(sizes[data])]
    random.shuffle(places)
    positions = cycle(places)
    await metric_becomes(port, "tokenfall_connections", 1)
    descriptors = server.descriptors()
    for group in tally.groups(CONNECTING):
        disconnects = [random.choice([Client.close, Client.reset, Client.half_close]) for _ in group]
        batch = zip(islice(positions, len(group)), disconnects, strict=True)
        await asyncio.gather(*(send_and_leave(port, *place, disconnect) for place, disconnect in batch))
    await metric_becomes(port, "tokenfall_streams_in_flight", 0)
    await metric_becomes(port, "tokenfall_connections", 1)
    await eventually(lambda: server.descriptors() <= descriptors, server.descriptors)
    tally.passed(
        f"{len(places)} positions in {len(requests)} requests and {len(RESPONSE_REQUESTS)} responses; connections, "
        "streams and descriptors as before"
    )


async def send_and_leave(port: int, data: bytes, sent: int, read: int, disconnect: Callable[[Client], None]) -> None:
    """Send the first `sent` bytes of a request, read `read` bytes, and close the connection."""
    client = await Client.connect(port)
    await client.send(data[:sent])
    if read:
        await client.exactly(read)
    disconnect(client)
    if disconnect is Client.half_close:
        await client.wait_closed()
        client.close()


# E9


@pytest.mark.row("descriptors")
async def test_clients_over_the_descriptor_limit_are_refused_and_the_server_recovers(
    serve: Serve, tally: Tally
) -> None:
    server = serve(descriptors=128)
    longest = 0.0
    for _ in tally.rounds():
        clients = await asyncio.gather(*(Client.connect(server.port) for _ in range(300)))
        ask = request("/stream-loop?gap=20ms")
        statuses = await asyncio.gather(*(status_or_zero(client, ask) for client in clients))
        assert set(statuses) <= {200, 503, 0}
        assert 32 <= statuses.count(200) <= 128
        for client in clients:
            client.close()
        disconnected_s = time.monotonic()
        while await status_or_none(server.port) != 200:
            assert time.monotonic() - disconnected_s < 2
        longest = max(longest, time.monotonic() - disconnected_s)
        await eventually(lambda: server.descriptors() < 40, server.descriptors)
    tally.passed(f"200, 503 or a close for each; served again after at most {longest * 1e3:.0f} ms")


async def status_or_none(port: int) -> int:
    try:
        return (await fetch(port, request("/health"))).status
    except (ConnectionError, EOFError):
        return 0


# E10


@pytest.mark.row("protocols")
async def test_other_protocols_get_an_error_or_a_closed_connection(serve: Serve, tally: Tally, random: Random) -> None:
    server = serve(HEADER_TIMEOUT="1s")
    for group in tally.groups(CONNECTING):
        batch = [OTHER_PROTOCOLS[number % len(OTHER_PROTOCOLS)] for number in group]
        batch = [data if number % 2 else data + random.randbytes(20) for number, data in zip(group, batch, strict=True)]
        assert all(
            status == 0 or 400 <= status < 600
            for status in await asyncio.gather(*(status_of_raw(server.port, data) for data in batch))
        )
    assert (await fetch(server.port, request("/health"))).status == 200
    await metric_becomes(server.port, "tokenfall_connections", 1)
    tally.passed(f"{len(OTHER_PROTOCOLS)} protocols, half of them followed by random bytes: 4xx, 5xx or a close")


async def status_of_raw(port: int, data: bytes) -> int:
    """The status of the response to raw bytes; 0 if the connection is closed without one."""
    async with await Client.connect(port) as client:
        await client.send(data)
        client.half_close()
        try:
            return (await client.read_response()).status
        except (EOFError, ConnectionError):
            return 0
