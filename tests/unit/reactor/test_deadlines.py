import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.reactor.deadlines import DEADLINE_STEPS_PER_S, Deadlined

from tests.doubles.clocks import FakeWheel

START_S = 1000.1
COARSE_S = 1 / DEADLINE_STEPS_PER_S


class Watched(Deadlined):
    def __init__(self, wheel: FakeWheel, again_s: float | None = None) -> None:
        super().__init__(wheel)
        self.expirations: list[float] = []
        self._again_s = again_s

    def expired(self) -> None:
        self.expirations.append(self._wheel.now())
        if self._again_s is not None:
            self.set_deadline(self._again_s)
            self._again_s = None


@pytest.fixture
def wheel() -> FakeWheel:
    return FakeWheel(START_S)


@pytest.mark.parametrize("deadline_s", [1002.25 + 0.01, 1002.5])
def test_deadline_expires_once_rounded_up_to_a_quarter_second(wheel: FakeWheel, deadline_s: float) -> None:
    watched = Watched(wheel)
    watched.set_deadline(deadline_s)
    wheel.advance(60)

    assert watched.expirations == [1002.5]
    assert watched.slot is None


def test_postponing_a_deadline_does_not_touch_the_wheel(wheel: FakeWheel) -> None:
    watched = Watched(wheel)
    for later_s in range(1, 50):
        watched.set_deadline(START_S + later_s)
    assert wheel.scheduled_count == 1
    wheel.advance(60)

    assert watched.expirations == [pytest.approx(START_S + 49, abs=COARSE_S)]


def test_cleared_deadline_never_expires_and_may_be_set_again(wheel: FakeWheel) -> None:
    watched = Watched(wheel)
    watched.set_deadline(1010.0)
    watched.clear_deadline()
    watched.clear_deadline()
    wheel.advance(100)
    assert (watched.expirations, wheel.waiting) == ([], {})
    watched.set_deadline(1120.0)
    wheel.advance(100)

    assert watched.expirations == [1120.0]


def test_new_deadline_may_be_set_when_one_expires(wheel: FakeWheel) -> None:
    watched = Watched(wheel, again_s=1030.0)
    watched.set_deadline(1010.0)
    wheel.advance(100)

    assert watched.expirations == [1010.0, 1030.0]


MOVES = st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 20)), min_size=1, max_size=20)


@given(MOVES)
def test_last_deadline_set_expires_at_most_a_quarter_second_late(
    moves: list[tuple[float, float]],
) -> None:
    wheel = FakeWheel(START_S)
    watched = Watched(wheel)
    expected: list[float] = []
    deadline_s = float("inf")
    for pause_s, later_s in moves:
        wheel.advance(pause_s)
        if len(watched.expirations) > len(expected):
            expected.append(deadline_s)
        deadline_s = wheel.now() + later_s
        watched.set_deadline(deadline_s)
    wheel.advance(60)
    expected.append(deadline_s)

    assert len(watched.expirations) == len(expected)
    for expired_s, due_s in zip(watched.expirations, expected, strict=True):
        assert due_s <= expired_s <= due_s + COARSE_S
