import _socket
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tokenfall.reactor import listener as listeners
from tokenfall.reactor.listener import Listener, bind
from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.poller import READ

from tests.unit.reactor.conftest import Until

Listen = Callable[..., tuple[tuple[str, int], list[tuple[int, str]]]]


class FullSocket(socket.socket):
    """A socket whose `accept` fails while `full`, as if the process had no descriptors left."""

    full = True

    def _accept(self) -> tuple[int, Any]:
        if self.full:
            raise OSError(errno.EMFILE, "Too many open files")
        return super()._accept()  # type: ignore[misc,no-any-return] # what `socket.accept` calls


def full_socket() -> FullSocket:
    (bound,) = bind("127.0.0.1", 0)
    return FullSocket(bound.family, bound.type, bound.proto, bound.detach())


@pytest.fixture
def listen(reactor: Reactor) -> Iterator[Listen]:
    """Listens on a free port; returns the address and the accepted connections."""
    listeners_: list[Listener] = []
    accepted: list[tuple[int, str]] = []

    def listen_on(bound: "_socket.socket | None" = None) -> tuple[tuple[str, int], list[tuple[int, str]]]:
        bound = bound or bind("127.0.0.1", 0)[0]
        address = bound.getsockname()
        listeners_.append(Listener(reactor, bound, accepted=lambda fd, peer: accepted.append((fd, peer))))
        return address, accepted

    yield listen_on
    for each in listeners_:
        each.close()
    for fd, _ in accepted:
        os.close(fd)


def test_accepted_socket_is_non_blocking_and_has_its_peer_address(listen: Listen, until: Until) -> None:
    address, accepted = listen()
    with socket.create_connection(address):
        until(lambda: accepted)
        ((fd, peer),) = accepted

        assert (os.get_blocking(fd), peer) == (False, "127.0.0.1")


def test_number_of_accepts_per_turn_is_limited(
    listen: Listen, until: Until, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "ACCEPTS_PER_TURN", 2)
    address, accepted = listen()
    clients = [socket.create_connection(address) for _ in range(5)]
    reactor.turn(1.0)
    assert len(accepted) == 2
    until(lambda: len(accepted) == 5)
    for client in clients:
        client.close()


def test_accepting_without_descriptors_pauses_logs_once_and_resumes(
    listen: Listen, until: Until, reactor: Reactor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "RETRY_S", 0.01)
    bound = full_socket()
    address, accepted = listen(bound)
    with socket.create_connection(address), caplog.at_level(logging.WARNING):
        until(lambda: len(caplog.records) == 1)
        for _ in range(5):
            reactor.turn(0.02)
        assert [record.getMessage() for record in caplog.records] == [
            "cannot accept connections: [Errno 24] Too many open files"
        ]
        bound.full = False
        until(lambda: accepted)


def test_close_while_accepting_pauses_leaves_no_timer(reactor: Reactor) -> None:
    listener = Listener(reactor, full_socket(), accepted=lambda *_: None)
    listener.ready(READ)
    assert reactor.wheel.entries == 1
    listener.close()

    assert reactor.wheel.entries == 0


def test_every_address_of_a_name_gets_the_same_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = bind("localhost", 0)
    ports = {sock.getsockname()[1] for sock in bound}
    for sock in bound:
        sock.close()

    assert len(ports) == 1
    assert 0 not in ports


def test_port_in_use_is_an_error_and_leaks_no_socket() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", 0)) as occupied, pytest.raises(OSError, match="Address already in use"):
        bind("127.0.0.1", occupied.getsockname()[1])

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("host", ["no.such.host.invalid", "h\xf6st.invalid"])
def test_unknown_host_name_is_an_error(host: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        bind(host, 0)


def test_port_is_shared_with_reuse_port() -> None:
    (one,) = bind("127.0.0.1", 0, reuse_port=True)
    (other,) = bind("127.0.0.1", one.getsockname()[1], reuse_port=True)
    ports = {sock.getsockname()[1] for sock in (one, other)}
    one.close()
    other.close()

    assert len(ports) == 1


def test_descriptor_whose_callback_raises_is_closed_and_accepting_continues(
    reactor: Reactor, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[int] = []

    def accepted(fd: int, peer: str) -> None:
        taken.append(fd)
        if len(taken) == 1:
            raise RuntimeError("a defect")

    (bound,) = bind("127.0.0.1", 0)
    address = bound.getsockname()
    listener = Listener(reactor, bound, accepted=accepted)
    with socket.create_connection(address) as client, caplog.at_level(logging.ERROR):
        until(lambda: taken)
        client.settimeout(5)
        assert client.recv(1) == b"", "it was closed"
    with socket.create_connection(address):
        until(lambda: len(taken) == 2)
        os.close(taken[1])
    listener.close()

    assert [record.getMessage() for record in caplog.records] == ["a handler of a descriptor failed"]
