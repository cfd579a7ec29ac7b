"""How long one request keeps the server from a stream beside it: by the clock, and by the processor that it used."""

import asyncio
import re
import selectors
import socket
import threading
import time
from typing import NamedTuple

from tests.end_to_end.client import Client, request
from tests.end_to_end.process import ServerProcess

READ_BYTES = 200_000
"""Of a very long response: by then it was planned and begun."""

ENDS_S = 25.0
LAST_CHUNK = b"\r\n0\r\n\r\n"

GAP_S, FINE_GAP_S = 0.020, 0.004


class Watch:
    """Reads a stream of 20 ms and one of 4 ms in a thread, and notes what passes between two tokens at most."""

    def __init__(self, pid: int, port: int) -> None:
        self._clock = ~pid << 3 | 2  # the process's processor time; clock_getcpuclockid(3)
        self._streams = {gap_s: _stream(port, gap_s) for gap_s in (GAP_S, FINE_GAP_S)}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.late_s = 0.0
        """The longest wait for a token of the stream of 20 ms, beyond these."""
        self.held_s = 0.0
        """The most processor that the server used between two tokens of the stream of 4 ms: all that one callback of
        the loop used, and up to 4 ms of others."""
        self._thread.start()

    def processor_s(self) -> float:
        """Seconds of processor that the server has used."""
        return time.clock_gettime(self._clock)

    def reset(self) -> None:
        self.late_s = self.held_s = 0.0

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        for stream in self._streams.values():
            stream.close()

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for gap_s, stream in self._streams.items():
                selector.register(stream, selectors.EVENT_READ, gap_s)
            used_s, at_s = self.processor_s(), time.monotonic()
            while not self._stopping.is_set():
                for key, _ in selector.select(0.05):
                    if not self._streams[key.data].recv(65536):
                        return
                    if key.data == GAP_S:
                        now_s = time.monotonic()
                        self.late_s, at_s = max(self.late_s, now_s - at_s - GAP_S), now_s
                    else:
                        now_used_s = self.processor_s()
                        self.held_s, used_s = max(self.held_s, now_used_s - used_s), now_used_s


def _stream(port: int, gap_s: float) -> socket.socket:
    """An endless stream whose first token has come."""
    stream = socket.create_connection(("127.0.0.1", port), 10)
    stream.sendall(request(f"/stream-loop?gap={gap_s * 1000:g}ms"))
    data = b""
    while b"data: " not in data:
        data += stream.recv(4096)
    return stream


async def ask(server: ServerProcess, data: bytes) -> None:
    """Send a request, and read its response to the end or so far that it was made."""
    async with await Client.connect(server.port) as client:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(client.sock, data), ENDS_S)
        head = await client.until(b"\r\n\r\n", within_s=ENDS_S)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        wanted = READ_BYTES if length is None else min(READ_BYTES, int(length[1]))
        read, tail = 0, b""
        while read < wanted:
            data = await client.receive(within_s=ENDS_S)
            read += len(data)
            tail = (tail + data)[-len(LAST_CHUNK) :]  # the end may come in a read of its own
            if not data or (length is None and tail == LAST_CHUNK):
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
