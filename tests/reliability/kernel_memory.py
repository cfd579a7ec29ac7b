"""What the kernel holds for the connections of a server, as `ss -m` shows it (sock_diag(7), INET_DIAG_SKMEMINFO)."""

import socket
import struct
from collections.abc import Iterator

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
REQUEST_AND_DUMP = 0x301
DONE, ERROR = 3, 2
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBBI48x")
MESSAGE = struct.Struct("=BBBB2s2s44x5I")
ATTRIBUTE = struct.Struct("=HH")
SKMEMINFO = 7
RECEIVED, RESERVED, QUEUED, OPTIONS, BACKLOG = 0, 4, 5, 6, 7
"""Places in SK_MEMINFO: what was received, is allocated in advance, is to be sent, and what waits to be handled."""

ESTABLISHED, CLOSE_WAIT = 1, 8
ALL_ATTRIBUTES = 1 << SKMEMINFO - 1


def held_by_kernel(port: int) -> list[int]:
    """Bytes for each connection that was accepted on `port`."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as diag:
        body = REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, ALL_ATTRIBUTES, 0, 1 << ESTABLISHED | 1 << CLOSE_WAIT)
        diag.send(HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, REQUEST_AND_DUMP, 1, 0) + body)
        return [held for own, held in _answers(diag) if own == port]


def _answers(diag: socket.socket) -> Iterator[tuple[int, int]]:
    """The local port of each connection and what is held for it."""
    while True:
        data = diag.recv(1 << 20)
        while data:
            size, kind, *_ = HEADER.unpack_from(data)
            if kind == DONE:
                return
            assert kind != ERROR, data[:size]
            yield _read(data[HEADER.size : size])
            data = data[size + 3 & ~3 :]


def _read(message: bytes) -> tuple[int, int]:
    own = int.from_bytes(MESSAGE.unpack_from(message)[4])
    rest = message[MESSAGE.size :]
    while rest:
        size, kind = ATTRIBUTE.unpack_from(rest)
        if kind == SKMEMINFO:
            counts = struct.unpack_from("=9I", rest, ATTRIBUTE.size)
            return own, sum(counts[place] for place in (RECEIVED, RESERVED, QUEUED, OPTIONS, BACKLOG))
        rest = rest[size + 3 & ~3 :]
    return own, 0
