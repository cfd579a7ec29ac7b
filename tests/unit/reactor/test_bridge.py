import selectors
import socket
from collections.abc import Iterator

import pytest

from tokenfall.reactor.bridge import ReactorSelector
from tokenfall.reactor.loop import Reactor

BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.fixture
def selector(reactor: Reactor, pair: "Pair") -> Iterator[ReactorSelector]:
    """Closed before the sockets that it may watch."""
    made = ReactorSelector(reactor)
    yield made
    made.close()


Pair = tuple[socket.socket, socket.socket]


def test_select_returns_only_registered_events(selector: ReactorSelector, pair: Pair) -> None:
    key = selector.register(pair[0], selectors.EVENT_READ, "data")
    assert selector.select(0) == []
    pair[1].send(b"x")

    assert selector.select(5) == [(key, selectors.EVENT_READ)]
    assert selector.get_key(pair[0]) == key


def test_modify_changes_events_and_data(selector: ReactorSelector, pair: Pair) -> None:
    selector.register(pair[0], selectors.EVENT_READ)
    pair[1].send(b"x")
    key = selector.modify(pair[0], BOTH, "both")
    assert selector.select(5) == [(key, BOTH)]
    key = selector.modify(pair[0], BOTH, "again")

    assert selector.select(5) == [(key, BOTH)]


def test_hang_up_is_reported_as_readable_and_writable(selector: ReactorSelector, pair: Pair) -> None:
    key = selector.register(pair[0], BOTH)
    pair[1].close()

    assert selector.select(5) == [(key, BOTH)]


def test_a_descriptor_is_registered_once(selector: ReactorSelector, pair: Pair) -> None:
    selector.register(pair[0].fileno(), selectors.EVENT_READ)

    with pytest.raises(KeyError, match="already registered"):
        selector.register(pair[0], selectors.EVENT_READ)


def test_an_unknown_descriptor_is_a_key_error(selector: ReactorSelector, pair: Pair) -> None:
    with pytest.raises(KeyError, match="not registered"):
        selector.unregister(pair[0])


def test_unregistering_a_closed_descriptor_raises_nothing(selector: ReactorSelector, pair: Pair) -> None:
    selector.register(pair[0].fileno(), selectors.EVENT_READ)
    fd = pair[0].fileno()
    pair[0].close()
    selector.unregister(fd)

    assert dict(selector.get_map()) == {}


def test_close_unregisters_all_and_keeps_the_reactor_open(
    selector: ReactorSelector, pair: Pair, reactor: Reactor
) -> None:
    selector.register(pair[0], selectors.EVENT_READ)
    selector.close()
    pair[1].send(b"x")
    reactor.turn(0.0)

    assert dict(selector.get_map()) == {}
