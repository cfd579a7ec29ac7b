"""Each state and transition of the table in `stream_socket.py`, on real sockets and on every poller."""

import contextlib
import gc
import os
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.stream_socket import FLUSH_BYTES, StreamSocket

from tests.unit.reactor.conftest import Until

SMALL = 4_096


class Recording(StreamSocket):
    """Records the callbacks of the socket."""

    __slots__ = ("calls", "keeps_open", "received")

    def __init__(self, reactor: Reactor, fd: int, *, keeps_open: bool = True) -> None:
        self.received = b""
        self.calls: list[str] = []
        self.keeps_open = keeps_open
        super().__init__(reactor, fd)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.keeps_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self) -> None:
        self.calls.append("lost")


class Pair:
    """A stream socket and its peer."""

    def __init__(self, reactor: Reactor, *, keeps_open: bool = True) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
            self.peer = socket.socket()
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            self.peer.connect(listener.getsockname())
            self.peer.settimeout(5)
            accepted, _ = listener.accept()
        accepted.setblocking(False)
        self.socket = Recording(reactor, accepted.detach(), keeps_open=keeps_open)

    def reset(self) -> None:
        """The peer ends the connection with a RST."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def read(self, count: int, until: Until) -> bytes:
        """The next bytes that the peer receives while the reactor turns."""
        got = bytearray()
        self.peer.setblocking(False)

        def has_all() -> bool:
            with contextlib.suppress(BlockingIOError):
                got.extend(self.peer.recv(65_536))
            return len(got) >= count

        until(has_all)
        self.peer.settimeout(5)
        return bytes(got)


def read_to_the_end(peer: socket.socket) -> None:
    while peer.recv(65_536):
        pass


Connect = Callable[..., Pair]


@pytest.fixture
def connect(reactor: Reactor) -> Iterator[Connect]:
    """Creates pairs and asserts after the test that all descriptors are closed."""
    before = len(os.listdir("/proc/self/fd"))
    pairs: list[Pair] = []

    def make(*, keeps_open: bool = True) -> Pair:
        pairs.append(Pair(reactor, keeps_open=keeps_open))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.peer.close()
        pair.socket.abort()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_open_socket_reads_and_writes(connect: Connect, until: Until) -> None:
    pair = connect()
    pair.peer.send(b"hello")
    until(lambda: pair.socket.received)
    pair.socket.write(b"hi")

    assert pair.socket.received == b"hello"
    assert pair.peer.recv(10) == b"hi"
    assert pair.socket.calls == []


def test_unaccepted_bytes_are_sent_later_in_order(connect: Connect, until: Until) -> None:
    pair = connect()
    large = os.urandom(3 * FLUSH_BYTES)
    pair.socket.write(large)
    assert (pair.socket.calls, pair.socket.paused) == (["pause"], True)
    assert 0 < pair.socket.unsent_bytes < len(large)
    pair.socket.write(b"and more")

    assert pair.read(len(large) + 8, until) == large + b"and more"
    until(lambda: pair.socket.calls == ["pause", "resume"])
    assert (pair.socket.paused, pair.socket.unsent_bytes) == (False, 0)


def test_paused_reading_leaves_bytes_in_the_kernel(connect: Connect, reactor: Reactor, until: Until) -> None:
    pair = connect()
    pair.socket.pause_reading()
    pair.peer.send(b"later")
    reactor.turn(0.01)
    assert pair.socket.received == b""
    pair.socket.resume_reading()
    until(lambda: pair.socket.received)

    assert pair.socket.received == b"later"


def test_half_closed_socket_still_writes(connect: Connect, until: Until) -> None:
    pair = connect()
    pair.peer.send(b"last")
    pair.peer.shutdown(socket.SHUT_WR)
    until(lambda: "eof" in pair.socket.calls)
    pair.socket.write(b"answer")
    pair.socket.resume_reading()
    pair.socket.close()

    assert pair.socket.received == b"last"
    assert (pair.peer.recv(10), pair.peer.recv(10)) == (b"answer", b"")
    assert pair.socket.calls == ["eof", "lost"]


def test_eof_closes_unless_the_callback_keeps_the_socket_open(connect: Connect, until: Until) -> None:
    pair = connect(keeps_open=False)
    pair.peer.shutdown(socket.SHUT_WR)
    until(lambda: "lost" in pair.socket.calls)

    assert pair.socket.calls == ["eof", "lost"]
    assert pair.peer.recv(10) == b""


def test_shut_write_sends_a_fin_and_keeps_reading(connect: Connect, until: Until) -> None:
    pair = connect(keeps_open=False)
    pair.socket.write(b"refused")
    pair.socket.shut_write()
    pair.socket.write(b"never")
    assert (pair.peer.recv(100), pair.peer.recv(100)) == (b"refused", b"")
    pair.peer.send(b"still talking")
    until(lambda: pair.socket.received)
    pair.peer.close()
    until(lambda: "lost" in pair.socket.calls)

    assert pair.socket.calls == ["eof", "lost"]


def test_fin_follows_the_unsent_bytes(connect: Connect, until: Until) -> None:
    pair = connect()
    large = b"x" * 300_000
    pair.socket.write(large)
    pair.socket.shut_write()

    assert pair.read(len(large), until) == large
    assert pair.peer.recv(10) == b""
    assert "resume" not in pair.socket.calls


def test_close_sends_the_unsent_bytes_first(connect: Connect, until: Until) -> None:
    pair = connect()
    large = b"x" * 300_000
    pair.socket.write(large)
    pair.socket.close()
    pair.socket.write(b"never")

    assert pair.read(len(large), until) == large
    until(lambda: "lost" in pair.socket.calls)
    assert pair.peer.recv(10) == b""
    assert pair.socket.calls == ["pause", "lost"]


@pytest.mark.parametrize("unsent", [b"", b"x" * 300_000], ids=["no unsent bytes", "unsent bytes"])
def test_abort_resets_and_drops_the_unsent_bytes(connect: Connect, unsent: bytes) -> None:
    pair = connect()
    pair.socket.write(unsent)
    pair.socket.abort()
    pair.socket.abort()
    pair.socket.close()

    assert pair.socket.calls.count("lost") == 1
    assert pair.socket.fd == -1
    with pytest.raises(ConnectionResetError):
        read_to_the_end(pair.peer)


@pytest.mark.parametrize(("unsent", "calls"), [(b"", ["lost"]), (b"x" * 300_000, ["pause", "lost"])])
def test_reset_by_the_peer_calls_connection_lost(
    connect: Connect, until: Until, unsent: bytes, calls: list[str]
) -> None:
    pair = connect()
    pair.socket.write(unsent)
    pair.reset()
    until(lambda: "lost" in pair.socket.calls)

    assert pair.socket.calls == calls


def test_write_after_a_reset_calls_connection_lost_later_and_raises_nothing(connect: Connect, until: Until) -> None:
    pair = connect()
    pair.socket.pause_reading()
    pair.reset()

    def written() -> bool:
        pair.socket.write(b"x")
        return "lost" in pair.socket.calls

    until(written)
    assert pair.socket.calls == ["lost"]


def test_spurious_ready_call_changes_nothing(connect: Connect) -> None:
    pair = connect()
    pair.socket.ready(29)

    assert (pair.socket.calls, pair.socket.received) == ([], b"")


def test_set_option_on_a_reset_socket_is_ignored(connect: Connect) -> None:
    pair = connect()
    pair.socket.set_option(socket.SOL_SOCKET, socket.SO_SNDBUF, value=65_536)
    pair.socket.abort()
    pair.socket.set_option(socket.SOL_SOCKET, socket.SO_SNDBUF, value=65_536)
    pair.socket.shut_write()

    assert pair.socket.fd == -1
