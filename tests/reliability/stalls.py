"""Measures how long a request stalls concurrent streams: by token delay and by CPU time."""

import asyncio
import re
import selectors
import socket
import threading
import time
from typing import NamedTuple

from tests.end_to_end.client import Client, request
from tests.end_to_end.process import ServerProcess

MAX_READ_BYTES = 200_000
"""A longer response is not read to its end, because the expensive work precedes its first bytes."""

RESPONSE_S = 25.0
LAST_CHUNK = b"\r\n0\r\n\r\n"

GAP_S, FINE_GAP_S = 0.020, 0.004


class StallProbe:
    """Reads one stream with a gap of 20 ms and one with 4 ms in a thread, and records the longest stalls."""

    def __init__(self, pid: int, port: int) -> None:
        self._clock = ~pid << 3 | 2  # CPU-time clock of the process; clock_getcpuclockid(3)
        self._streams = {gap_s: _stream(port, gap_s) for gap_s in (GAP_S, FINE_GAP_S)}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.delay_s = 0.0
        """The longest delay of a token of the 20 ms stream."""
        self.blocking_s = 0.0
        """The most CPU time that the server used between two tokens of the 4 ms stream: the CPU time of one blocking
        callback, plus at most 4 ms of others."""
        self._thread.start()

    def cpu_s(self) -> float:
        """The CPU time used by the server, in seconds."""
        return time.clock_gettime(self._clock)

    def reset(self) -> None:
        self.delay_s = self.blocking_s = 0.0

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        for stream in self._streams.values():
            stream.close()

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for gap_s, stream in self._streams.items():
                selector.register(stream, selectors.EVENT_READ, gap_s)
            used_s, at_s = self.cpu_s(), time.monotonic()
            while not self._stopping.is_set():
                for key, _ in selector.select(0.05):
                    if not self._streams[key.data].recv(65536):
                        return
                    if key.data == GAP_S:
                        now_s = time.monotonic()
                        self.delay_s, at_s = max(self.delay_s, now_s - at_s - GAP_S), now_s
                    else:
                        now_used_s = self.cpu_s()
                        self.blocking_s, used_s = max(self.blocking_s, now_used_s - used_s), now_used_s


def _stream(port: int, gap_s: float) -> socket.socket:
    """Open an endless stream; return after its first token."""
    stream = socket.create_connection(("127.0.0.1", port), 10)
    stream.sendall(request(f"/stream-loop?gap={gap_s * 1000:g}ms"))
    data = b""
    while b"data: " not in data:
        data += stream.recv(4096)
    return stream


async def send_request(server: ServerProcess, data: bytes) -> None:
    """Send a request and read its response, at most `MAX_READ_BYTES`."""
    async with await Client.connect(server.port) as client:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(client.sock, data), RESPONSE_S)
        head = await client.until(b"\r\n\r\n", within_s=RESPONSE_S)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        limit = MAX_READ_BYTES if length is None else min(MAX_READ_BYTES, int(length[1]))
        read, tail = 0, b""
        while read < limit:
            data = await client.receive(within_s=RESPONSE_S)
            read += len(data)
            tail = (tail + data)[-len(LAST_CHUNK) :]  # the last chunk may be split across reads
            if not data or (length is None and tail == LAST_CHUNK):
                return


class Stall(NamedTuple):
    """The effect of one request on concurrent streams, as in `StallProbe`, and its CPU time; all in seconds."""

    delay: float
    blocking: float
    cpu: float


async def measure_stall(probe: StallProbe, server: ServerProcess, data: bytes) -> Stall:
    await asyncio.sleep(0.03)
    probe.reset()
    before_s = probe.cpu_s()
    await send_request(server, data)
    await asyncio.sleep(0.03)
    return Stall(probe.delay_s, probe.blocking_s, probe.cpu_s() - before_s)
