import asyncio
import selectors
import socket
from collections.abc import Callable, Iterator
from time import monotonic

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
    """A selector that is closed before the sockets that it watches."""
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


def test_descriptor_is_registered_once(selector: ReactorSelector, pair: Pair) -> None:
    selector.register(pair[0].fileno(), selectors.EVENT_READ)

    with pytest.raises(KeyError, match="already registered"):
        selector.register(pair[0], selectors.EVENT_READ)


def test_unregistering_an_unknown_descriptor_is_a_key_error(selector: ReactorSelector, pair: Pair) -> None:
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


def test_select_continues_to_wait_after_turns_without_work_for_asyncio(
    selector: ReactorSelector, pair: Pair, reactor: Reactor
) -> None:
    key = selector.register(pair[0], selectors.EVENT_READ)
    turned: list[str] = []
    reactor.call_at(reactor.wheel.now() + 0.001, lambda: turned.append("deadline"))
    reactor.call_at(reactor.wheel.now() + 0.002, lambda: pair[1].send(b"x"))

    assert selector.select(None) == [(key, selectors.EVENT_READ)]
    assert turned == ["deadline"]


def test_select_ends_at_its_timeout_despite_turns_without_work(selector: ReactorSelector, reactor: Reactor) -> None:
    turned: list[str] = []

    def turn() -> None:
        turned.append("deadline")
        reactor.call_at(reactor.wheel.now() + 0.001, turn)

    turn()
    started_s = monotonic()

    assert selector.select(0.02) == []
    assert monotonic() - started_s >= 0.02
    assert len(turned) > 1


@pytest.mark.parametrize("schedule", ["call_soon", "call_at", "stop"])
def test_call_scheduled_by_a_handler_of_the_reactor_ends_the_wait(reactor: Reactor, schedule: str) -> None:
    called: list[str] = []

    async def wait_forever() -> None:
        loop = asyncio.get_running_loop()
        schedules: dict[str, Callable[[], object]] = {
            "call_soon": lambda: loop.call_soon(finish),
            "call_at": lambda: loop.call_at(loop.time() + 0.001, finish),
            "stop": finish,
        }
        reactor.call_at(reactor.wheel.now() + 0.001, schedules[schedule])
        await loop.create_future()

    def finish() -> None:
        called.append(schedule)
        reactor.stop()

    task = reactor.spawn(wait_forever())
    reactor.run()
    task.cancel()

    assert called == [schedule]
