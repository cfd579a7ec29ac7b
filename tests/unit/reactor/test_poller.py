import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tokenfall.reactor import poller as pollers
from tokenfall.reactor.poller import HANGUP, READ, WRITE, PollerUnavailable, available, make_poller

if TYPE_CHECKING:
    from tokenfall.reactor.poller import Poller


WITHOUT_POLL = "selectors without poll(2)"


@pytest.fixture(params=(*available(), WITHOUT_POLL))
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator["Poller"]:
    if request.param == WITHOUT_POLL:
        monkeypatch.delattr(select, "poll")
    made = make_poller("selectors" if request.param == WITHOUT_POLL else request.param)
    yield made
    made.close()


@pytest.fixture(params=[name for name in available() if name != "kqueue"])
def watchful(request: pytest.FixtureRequest) -> Iterator["Poller"]:
    """Pollers that report a hang-up for an empty mask."""
    made = make_poller(request.param)
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


Pair = tuple[socket.socket, socket.socket]


def test_wait_reports_readable_descriptors(poller: "Poller", pair: Pair) -> None:
    poller.register(pair[0].fileno(), READ)
    assert list(poller.wait(0.0)) == []
    pair[1].send(b"x")

    assert list(poller.wait(5.0)) == [(pair[0].fileno(), READ)]
    assert list(poller.wait(0.0)) == [(pair[0].fileno(), READ)], "it is level-triggered"


def test_wait_reports_both_directions_in_one_event(poller: "Poller", pair: Pair) -> None:
    poller.register(pair[0].fileno(), READ | WRITE)
    pair[1].send(b"x")

    assert list(poller.wait(5.0)) == [(pair[0].fileno(), READ | WRITE)]


def test_modify_replaces_the_mask(poller: "Poller", pair: Pair) -> None:
    fd = pair[0].fileno()
    poller.register(fd, READ)
    poller.modify(fd, WRITE)
    pair[1].send(b"x")
    assert list(poller.wait(5.0)) == [(fd, WRITE)]
    poller.modify(fd, 0)
    assert list(poller.wait(0.0)) == []
    poller.modify(fd, READ)

    assert list(poller.wait(5.0)) == [(fd, READ)]


@pytest.mark.parametrize("mask", [READ, 0])
def test_unregistered_descriptor_is_not_reported(poller: "Poller", pair: Pair, mask: int) -> None:
    poller.register(pair[0].fileno(), mask)
    poller.unregister(pair[0].fileno())
    pair[1].send(b"x")
    assert list(poller.wait(0.0)) == []
    poller.register(pair[0].fileno(), READ)

    assert len(poller.wait(5.0)) == 1


@pytest.mark.parametrize("timeout_s", [0.0003, 0.002, 0.06])
def test_wait_ends_without_an_event(poller: "Poller", pair: Pair, timeout_s: float) -> None:
    poller.register(pair[0].fileno(), READ)

    assert list(poller.wait(timeout_s)) == []


def test_wait_without_timeout_ends_with_an_event(poller: "Poller", pair: Pair) -> None:
    poller.register(pair[0].fileno(), WRITE)

    assert list(poller.wait(None)) == [(pair[0].fileno(), WRITE)]


def test_wait_returns_a_bounded_number_of_events(poller: "Poller", monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    monkeypatch.setattr(pollers, "MAX_EVENTS", 1)
    for end in pair:
        poller.register(end.fileno(), WRITE)

    assert len(poller.wait(5.0)) == 1


def test_ready_descriptors_over_the_bound_are_reported_in_rotation(
    watchful: "Poller", monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    monkeypatch.setattr(pollers, "MAX_EVENTS", 1)
    for end in pair:
        watchful.register(end.fileno(), WRITE)

    assert {fd for _ in range(4) for fd, _ in watchful.wait(5.0)} == {end.fileno() for end in pair}


def test_reset_is_reported_for_an_empty_mask(watchful: "Poller") -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with server:
        watchful.register(server.fileno(), READ)
        client.shutdown(socket.SHUT_WR)
        assert list(watchful.wait(5.0)) == [(server.fileno(), READ)]
        watchful.modify(server.fileno(), 0)
        assert list(watchful.wait(0.0)) == [], "a half-close is not a hang-up"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        ((fd, mask),) = watchful.wait(5.0)

        assert fd == server.fileno()
        assert mask & HANGUP
        watchful.unregister(fd)


def test_epoll_with_a_descriptor_over_fd_setsize_still_waits(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    monkeypatch.setattr(pollers, "FD_SETSIZE", 0)
    poller = make_poller("epoll")
    poller.register(pair[0].fileno(), READ)
    assert list(poller.wait(0.001)) == []
    pair[1].send(b"x")

    assert list(poller.wait(0.001)) == [(pair[0].fileno(), READ)]
    poller.close()


def test_auto_selects_the_platforms_best_poller() -> None:
    assert type(make_poller()) is type(make_poller(available()[0]))
    assert available()[-1] == "selectors"


def test_unavailable_poller_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")
    assert "epoll" not in available()

    with pytest.raises(
        PollerUnavailable, match=r"the poller 'epoll' is not available on this platform; use .*selectors"
    ):
        make_poller("epoll")


def test_closed_pollers_leak_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for name in available():
        make_poller(name).close()

    assert len(os.listdir("/proc/self/fd")) == before
