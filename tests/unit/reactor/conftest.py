"""A real reactor on each of the platform's pollers."""

from collections.abc import Callable, Iterator

import pytest

from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.poller import available, make_poller

Until = Callable[[Callable[[], object]], None]

TURNS = 10_000
"""More turns than any test needs."""


@pytest.fixture(params=available())
def reactor(request: pytest.FixtureRequest) -> Iterator[Reactor]:
    made = Reactor(make_poller(request.param))
    yield made
    made.close()


@pytest.fixture
def until(reactor: Reactor) -> Until:
    """Turns the reactor until a condition holds."""

    def turn_until(holds: Callable[[], object]) -> None:
        for _ in range(TURNS):
            if holds():
                return
            reactor.turn(0.01)
        raise AssertionError("it never held")

    return turn_until
