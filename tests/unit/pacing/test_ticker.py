import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.metrics import Histogram
from tokenfall.pacing.ticker import EARLY_S, SLOTS_A_SECOND, TURN_S, Ticker
from tokenfall.ports import Timed

from tests.doubles.clocks import FakeClock, FakeLoop

SLOT_S = 1 / SLOTS_A_SECOND
ROUNDING_S = 1e-9
START_S = 1000.0


class Entry:
    """Notes when it was called, acts, and returns what it is told to."""

    def __init__(self, act: Callable[[float], float | None] = lambda _: None) -> None:
        self.slot: dict[Timed, None] | None = None
        self.called: list[float] = []
        self._act = act

    def due(self, now_s: float) -> float | None:
        self.called.append(now_s)
        return self._act(now_s)


class House:
    """A ticker on a loop and a clock that a test moves."""

    def __init__(self) -> None:
        self.clock = FakeClock(START_S)
        self.loop = FakeLoop(self.clock)
        self.late_s = Histogram()
        self.ticker = Ticker(self.loop.as_loop(), self.late_s, now=self.clock)

    def join(self, after_s: float, act: Callable[[float], float | None] = lambda _: None) -> Entry:
        entry = Entry(act)
        self.ticker.join(entry, START_S + after_s)
        return entry


@pytest.fixture
def house() -> House:
    return House()


@given(st.lists(st.floats(-1, 10), min_size=1, max_size=20))
def test_each_is_called_at_its_deadline_or_up_to_one_slot_later(delays_s: list[float]) -> None:
    house = House()
    entries = [(house.join(delay_s), START_S + delay_s) for delay_s in delays_s]
    house.loop.run()
    for entry, deadline_s in entries:
        (called_s,) = entry.called
        assert max(deadline_s, START_S) - ROUNDING_S <= called_s
        assert called_s <= max(deadline_s, START_S) + SLOT_S + ROUNDING_S


def test_deadlines_are_absolute_so_that_lateness_does_not_add_up(house: House) -> None:
    def play(now_s: float) -> float | None:
        house.clock.advance(0.001)  # each play takes its time
        return START_S + 0.0101 * (len(entry.called) + 1) if len(entry.called) < 1_000 else None

    entry = house.join(0.0101, play)
    while house.loop.armed:
        house.loop.fire(late_s=0.002)

    assert len(entry.called) == 1_000
    assert entry.called[-1] - (START_S + 10.1) < SLOT_S + 0.002 + ROUNDING_S


def test_what_was_missed_is_played_in_the_order_of_its_slots(house: House) -> None:
    played: list[float] = []
    for after_s in (0.3, 0.1, 0.2):
        house.join(after_s, lambda _, after_s=after_s: played.append(after_s))  # type: ignore[misc]
    house.loop.fire(late_s=5.0)

    assert played == [0.1, 0.2, 0.3]


def test_entries_of_a_slot_are_played_in_the_order_of_joining(house: House) -> None:
    played: list[int] = []
    for number in range(5):
        house.join(0.1, lambda _, number=number: played.append(number))  # type: ignore[misc]
    house.loop.run()

    assert played == [0, 1, 2, 3, 4]


def test_an_entry_that_left_is_not_called(house: House) -> None:
    entry = house.join(0.1)
    house.ticker.leave(entry)
    house.ticker.leave(entry)
    house.loop.run()

    assert entry.called == []


def test_what_was_left_long_before_it_is_due_takes_no_room(house: House) -> None:
    keeps = house.join(3_600.0)
    for number in range(20_000):
        house.ticker.leave(house.join(60.0 + number))

    assert len(house.ticker._slots) == len(house.ticker._order) < 5_000
    house.loop.run()
    assert len(keeps.called) == 1


def test_an_entry_that_left_while_its_slot_was_played_is_not_called(house: House) -> None:
    house.join(0.1, lambda _: house.ticker.leave(other))
    other = house.join(0.1)
    house.loop.run()

    assert other.called == []


def test_an_entry_that_was_moved_is_called_once_at_its_new_deadline(house: House) -> None:
    entry = house.join(0.1)
    house.ticker.join(entry, START_S + 0.2)
    house.loop.run()

    assert entry.called == [pytest.approx(START_S + 0.2)]


def test_an_entry_that_was_moved_while_its_slot_was_played_waits_for_its_new_deadline(house: House) -> None:
    house.join(0.1, lambda _: house.ticker.join(other, START_S + 0.5))
    other = house.join(0.1)
    house.loop.run()

    assert other.called == [pytest.approx(START_S + 0.5)]


def test_an_entry_may_join_another_while_it_is_played(house: House) -> None:
    other = Entry()
    house.join(0.1, lambda _: house.ticker.join(other, START_S + 0.2))
    house.loop.run()

    assert other.called == [pytest.approx(START_S + 0.2)]


def test_an_entry_that_joins_what_is_due_already_does_not_wait_for_it(house: House) -> None:
    other = Entry()
    house.join(0.1, lambda _: house.ticker.join(other, START_S))
    house.loop.run()

    assert other.called == [pytest.approx(START_S + 0.1)]


def test_an_exception_ends_one_entry_and_is_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def fail(now_s: float) -> None:
        raise ZeroDivisionError

    broken, other = house.join(0.1, fail), house.join(0.1)
    with caplog.at_level(logging.ERROR):
        house.loop.run()

    assert (len(broken.called), len(other.called)) == (1, 1)
    assert broken.slot is None
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_turn_that_takes_too_long_lets_the_loop_have_its_say(house: House) -> None:
    def take_time(now_s: float) -> None:
        house.clock.advance(TURN_S * 0.6)

    entries = [house.join(0.1 + number * SLOT_S, take_time) for number in range(5)]
    house.clock.advance(1.0)
    house.loop.fire()
    assert [len(entry.called) for entry in entries] == [1, 1, 0, 0, 0]
    assert [handle.when_s for handle in house.loop.armed] == [house.clock()]
    house.loop.run()

    assert [len(entry.called) for entry in entries] == [1, 1, 1, 1, 1]


def test_at_rest_nothing_is_armed(house: House) -> None:
    assert house.loop.armed == []
    entry = house.join(0.1)
    assert len(house.loop.armed) == 1
    house.loop.run()

    assert len(entry.called) == 1
    assert house.loop.armed == []


def test_after_all_have_left_the_timer_is_not_armed_again(house: House) -> None:
    house.ticker.leave(house.join(0.1))
    house.loop.fire()

    assert house.loop.armed == []


def test_one_timer_serves_all_and_is_the_next_ones(house: House) -> None:
    for after_s in (0.5, 0.1, 0.3):
        house.join(after_s)

    assert [handle.when_s for handle in house.loop.armed] == [pytest.approx(START_S + 0.1)]
    house.loop.fire()
    assert [handle.when_s for handle in house.loop.armed] == [pytest.approx(START_S + 0.3, abs=SLOT_S)]


def test_a_timer_that_fires_too_early_is_armed_again(house: House) -> None:
    entry = house.join(0.1)
    house.loop.fire(late_s=-2 * EARLY_S)
    assert entry.called == []
    house.loop.run()

    assert len(entry.called) == 1


def test_a_timer_that_fires_a_trifle_early_is_on_time(house: House) -> None:
    entry = house.join(0.1)
    house.loop.fire(late_s=-EARLY_S / 2)

    assert len(entry.called) == 1


def test_it_measures_how_late_it_plays(house: House) -> None:
    for _ in range(3):
        house.join(0.1)
    house.loop.fire(late_s=0.05)

    assert sum(house.late_s.counts) == 3
    assert house.late_s.total == pytest.approx(0.15)


def test_being_a_trifle_early_is_no_negative_lateness(house: House) -> None:
    house.join(0.1)
    house.loop.fire(late_s=-EARLY_S / 2)

    assert house.late_s.total == 0


def test_closing_stops_the_timer_and_forgets_all(house: House) -> None:
    entry = house.join(0.1)
    house.ticker.close()
    house.ticker.close()
    house.loop.run()

    assert entry.called == []
