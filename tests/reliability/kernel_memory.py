"""Socket buffer memory of a server's connections, as shown by `ss -m` (sock_diag(7), INET_DIAG_SKMEMINFO)."""

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
"""Indexes in SK_MEMINFO: receive buffer, forward allocation, send queue, socket options and backlog."""

ESTABLISHED, CLOSE_WAIT = 1, 8
ALL_ATTRIBUTES = 1 << SKMEMINFO - 1


def socket_memory(port: int) -> list[int]:
    """Kernel memory of each accepted connection of `port`, in bytes."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as diag:
        body = REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, ALL_ATTRIBUTES, 0, 1 << ESTABLISHED | 1 << CLOSE_WAIT)
        diag.send(HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, REQUEST_AND_DUMP, 1, 0) + body)
        return [size_bytes for local_port, size_bytes in _replies(diag) if local_port == port]


def _replies(diag: socket.socket) -> Iterator[tuple[int, int]]:
    """The local port and the memory of each connection."""
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
    local_port = int.from_bytes(MESSAGE.unpack_from(message)[4])
    rest = message[MESSAGE.size :]
    while rest:
        size, kind = ATTRIBUTE.unpack_from(rest)
        if kind == SKMEMINFO:
            counts = struct.unpack_from("=9I", rest, ATTRIBUTE.size)
            return local_port, sum(counts[place] for place in (RECEIVED, RESERVED, QUEUED, OPTIONS, BACKLOG))
        rest = rest[size + 3 & ~3 :]
    return local_port, 0
