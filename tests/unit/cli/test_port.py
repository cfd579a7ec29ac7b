import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tokenfall.cli.port import reserve


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listener(stack: ExitStack, port: int = 0, *, reuse_port: bool) -> socket.socket:
    listening = stack.enter_context(socket.socket())
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
    listening.bind(("127.0.0.1", port))
    listening.listen()
    return listening


def reserved_port(stack: ExitStack, port: int = 0) -> int:
    (only,) = reserve("127.0.0.1", port)
    stack.enter_context(only)
    found: int = only.getsockname()[1]
    return found


def test_held_port_may_have_several_listeners_that_get_all_connections(stack: ExitStack) -> None:
    port = reserved_port(stack)
    listeners = [listener(stack, port, reuse_port=True) for _ in range(2)]
    for _ in range(20):
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))

    accepted = 0
    for each in listeners:
        each.setblocking(False)
        while True:
            try:
                stack.enter_context(each.accept()[0])
            except BlockingIOError:
                break
            accepted += 1
    assert accepted == 20


def test_held_port_cannot_be_bound_by_others(stack: ExitStack) -> None:
    port = reserved_port(stack)

    with pytest.raises(OSError, match="in use"):
        listener(stack, port, reuse_port=False)


@pytest.mark.parametrize("reuse_port", [False, True], ids=["exclusive", "with reuse_port"])
def test_port_with_a_listener_is_refused(stack: ExitStack, reuse_port: bool) -> None:
    port = listener(stack, reuse_port=reuse_port).getsockname()[1]

    with pytest.raises(OSError, match="in use"):
        reserve("127.0.0.1", port)


def test_all_addresses_of_a_host_get_the_same_port(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    both = reserve("many", 0)
    for each in both:
        stack.enter_context(each)

    (first, port), (second, same) = (each.getsockname() for each in both)
    assert (first, second) == ("127.0.0.1", "127.0.0.2")
    assert port == same > 0


def test_failure_of_one_address_releases_all(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    port = listener(stack, reuse_port=False).getsockname()[1]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    with pytest.raises(OSError, match="in use"):
        reserve("many", port)
    with socket.socket() as free:
        free.bind(("127.0.0.2", port))
