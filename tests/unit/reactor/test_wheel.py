import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.metrics.registry import Histogram
from tokenfall.reactor.wheel import CLOCK_EVERY, MAX_LIST_ENTRIES, MAX_SLOT_TICKS, TICKS_PER_S, TURN_S, TimerWheel

from tests.doubles.clocks import FakeClock

TICK_S = 1 / TICKS_PER_S
ROUNDING_S = 1e-9
START_S = 1000.0
TURNS = 200_000
"""More turns than any test needs."""


class Entry:
    """Records when it was called, acts, and returns the configured deadline."""

    def __init__(self, act: Callable[[float], float | None] = lambda _: None) -> None:
        self.slot: int | None = None
        self.deadline_s = 0.0
        self.called: list[float] = []
        self._act = act

    def due(self, now_s: float) -> float | None:
        self.called.append(now_s)
        return self._act(now_s)


class Bench:
    """A wheel on a fake clock."""

    def __init__(self) -> None:
        self.clock = FakeClock(START_S)
        self.late_s = Histogram()
        self.wheel = TimerWheel(self.late_s, now=self.clock)

    def schedule(self, after_s: float, act: Callable[[float], float | None] = lambda _: None) -> Entry:
        entry = Entry(act)
        self.wheel.schedule(entry, START_S + after_s)
        return entry

    def turn(self, *, late_s: float = 0.0) -> None:
        """Advance the clock by the wheel's wait plus `late_s`, then turn the wheel."""
        wait_s = self.wheel.wait_s()
        assert wait_s is not None, "nothing waits"
        self.clock.advance(wait_s + late_s)
        self.wheel.turn()

    def run(self) -> None:
        """Turn until the wheel is empty."""
        for _ in range(TURNS):
            if self.wheel.wait_s() is None:
                return
            self.turn(late_s=ROUNDING_S)
        raise AssertionError("the wheel never becomes empty")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@given(st.lists(st.floats(-1, 10), min_size=1, max_size=20), st.integers(0, 5))
def test_entry_is_called_at_its_deadline_or_up_to_one_slot_later(delays_s: list[float], doublings: int) -> None:
    bench = Bench()
    for _ in range(doublings):
        bench.wheel.adapt(1.0)
    entries = [(bench.schedule(delay_s), START_S + delay_s) for delay_s in delays_s]
    bench.run()
    for entry, deadline_s in entries:
        (called_s,) = entry.called
        assert max(deadline_s, START_S) - ROUNDING_S <= called_s
        assert called_s <= max(deadline_s, START_S) + (2**doublings + 1) * TICK_S + 2 * ROUNDING_S


@pytest.mark.parametrize("gap_s", [0.0101, 0.007, 0.001, 0.00037])
def test_deadlines_stay_exact_over_a_thousand_gaps(bench: Bench, gap_s: float) -> None:
    def play(now_s: float) -> float | None:
        bench.clock.advance(gap_s / 50)  # each call takes its time
        return START_S + gap_s * (len(entry.called) + 1) if len(entry.called) < 1_000 else None

    entry = bench.schedule(gap_s, play)
    while bench.wheel.wait_s() is not None:
        bench.turn(late_s=gap_s / 20)

    late_s = [called_s - START_S - gap_s * number for number, called_s in enumerate(entry.called, 1)]
    assert len(late_s) == 1_000
    assert max(late_s) < TICK_S + gap_s / 10


def test_missed_slots_are_called_in_the_order_of_their_deadlines(bench: Bench) -> None:
    called: list[float] = []
    for after_s in (0.3, 0.1, 0.2):
        bench.schedule(after_s, lambda _, after_s=after_s: called.append(after_s))  # type: ignore[misc]
    bench.turn(late_s=5.0)

    assert called == [0.1, 0.2, 0.3]


SLOT_SIZES = (1, 2, MAX_LIST_ENTRIES, MAX_LIST_ENTRIES + 1, 3 * MAX_LIST_ENTRIES)
"""Slot sizes: one entry, several in a list, and many in a dict."""


@pytest.mark.parametrize("size", SLOT_SIZES)
def test_entries_of_a_slot_are_called_in_the_order_of_scheduling(bench: Bench, size: int) -> None:
    called: list[int] = []
    for number in range(size):
        bench.schedule(0.1, lambda _, number=number: called.append(number))  # type: ignore[misc]
    assert bench.wheel.entries == size
    bench.run()

    assert called == list(range(size))


@pytest.mark.parametrize("size", SLOT_SIZES)
def test_any_entries_of_a_slot_may_be_cancelled_before_it_is_called(bench: Bench, size: int) -> None:
    entries = [bench.schedule(0.1) for _ in range(size)]
    for entry in entries[::2]:
        bench.wheel.cancel(entry)
    assert bench.wheel.entries == size // 2
    bench.run()

    assert [len(entry.called) for entry in entries] == [number % 2 for number in range(size)]


@pytest.mark.parametrize("size", SLOT_SIZES)
def test_emptied_slot_causes_no_wake_up_and_cancel_may_be_repeated(bench: Bench, size: int) -> None:
    assert bench.wheel.wait_s() is None
    for entry in 2 * [bench.schedule(0.1) for _ in range(size)]:
        bench.wheel.cancel(entry)

    assert bench.wheel.wait_s() is None


def test_cancelled_earlier_entry_does_not_shorten_the_wait(bench: Bench) -> None:
    later = bench.schedule(2.0)
    bench.wheel.cancel(bench.schedule(1.0))

    assert bench.wheel.wait_s() == pytest.approx(2.0, abs=2 * TICK_S)
    bench.turn(late_s=ROUNDING_S)
    assert len(later.called) == 1


def test_emptied_slots_are_removed_from_the_heap(bench: Bench) -> None:
    keeps = bench.schedule(3_600.0)
    for number in range(20_000):
        bench.wheel.cancel(bench.schedule(60.0 + number))

    assert bench.wheel.slots < 5_000
    bench.run()
    assert len(keeps.called) == 1


def test_entry_cancelled_while_its_slot_is_called_is_not_called(bench: Bench) -> None:
    bench.schedule(0.1, lambda _: bench.wheel.cancel(other))
    other = bench.schedule(0.1)
    bench.run()

    assert other.called == []


def test_moved_entry_is_called_once_at_its_new_deadline(bench: Bench) -> None:
    entry = bench.schedule(0.1)
    bench.wheel.schedule(entry, START_S + 0.2)
    bench.run()

    assert entry.called == [pytest.approx(START_S + 0.2, abs=2 * TICK_S)]


def test_entry_moved_while_its_slot_is_called_waits_for_its_new_deadline(bench: Bench) -> None:
    bench.schedule(0.1, lambda _: bench.wheel.schedule(other, START_S + 0.5))
    other = bench.schedule(0.1)
    bench.run()

    assert other.called == [pytest.approx(START_S + 0.5, abs=2 * TICK_S)]


def test_entry_may_schedule_another_while_it_is_called(bench: Bench) -> None:
    other = Entry()
    bench.schedule(0.1, lambda _: bench.wheel.schedule(other, START_S + 0.2))
    bench.run()

    assert other.called == [pytest.approx(START_S + 0.2, abs=2 * TICK_S)]


def test_entry_scheduled_past_its_deadline_is_due_in_the_next_turn(bench: Bench) -> None:
    entry = bench.schedule(-1.0)

    assert bench.wheel.wait_s() == 0
    bench.wheel.turn()
    assert entry.called == [START_S]


def test_entry_that_is_always_due_is_called_once_a_turn(bench: Bench) -> None:
    always = bench.schedule(-1.0, lambda _: START_S - 1.0)
    other = bench.schedule(0.001)
    for _ in range(10):
        bench.clock.advance(0.0002)
        bench.wheel.turn()

    assert len(always.called) == 10
    assert len(other.called) == 1


def test_overdue_entry_cancelled_while_slots_are_called_is_not_called(bench: Bench) -> None:
    overdue = bench.schedule(-1.0)
    bench.schedule(0.001, lambda _: bench.wheel.cancel(overdue))
    bench.clock.advance(0.1)
    bench.wheel.turn()

    assert overdue.called == []
    assert bench.wheel.wait_s() is None


def test_exception_in_an_entry_is_logged_and_other_entries_are_called(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(now_s: float) -> None:
        raise ZeroDivisionError

    broken, other = bench.schedule(0.1, fail), bench.schedule(0.1)
    with caplog.at_level(logging.ERROR):
        bench.run()

    assert (len(broken.called), len(other.called)) == (1, 1)
    assert broken.slot is None
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_slow_turn_leaves_later_slots_to_the_next(bench: Bench) -> None:
    def take_time(now_s: float) -> None:
        bench.clock.advance(TURN_S * 0.6)

    entries = [bench.schedule(0.1 + number * 2 * TICK_S, take_time) for number in range(5)]
    bench.clock.advance(1.0)
    bench.wheel.turn()
    assert [len(entry.called) for entry in entries] == [1, 1, 0, 0, 0]
    assert bench.wheel.wait_s() == 0
    bench.run()

    assert [len(entry.called) for entry in entries] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("after_s", [0.1, -1.0], ids=["in a slot", "overdue"])
def test_slow_turn_leaves_remaining_entries_to_the_next(bench: Bench, after_s: float) -> None:
    order: list[int] = []

    def act(number: int) -> Callable[[float], float | None]:
        def take_time(now_s: float) -> float | None:
            order.append(number)
            bench.clock.advance(TURN_S / CLOCK_EVERY)
            return START_S if len(order) < 60 else None

        return take_time

    for number in range(3 * CLOCK_EVERY):
        bench.schedule(after_s, act(number))
    bench.clock.advance(1.0)
    bench.wheel.turn()
    first = len(order)
    assert first < 3 * CLOCK_EVERY
    bench.run()

    assert list(dict.fromkeys(order)) == list(range(3 * CLOCK_EVERY)), "every entry is called"


def test_wait_ends_at_the_earliest_deadline(bench: Bench) -> None:
    for after_s in (0.5, 0.1, 0.3):
        bench.schedule(after_s)

    assert bench.wheel.wait_s() == pytest.approx(0.1, abs=2 * TICK_S)


def test_turn_before_the_deadline_calls_no_entry(bench: Bench) -> None:
    entry = bench.schedule(0.1)
    bench.clock.advance(0.0999)
    bench.wheel.turn()

    assert entry.called == []


def test_lateness_counts_from_the_requested_deadline(bench: Bench) -> None:
    for _ in range(3):
        bench.schedule(0.1 + TICK_S / 3)
    bench.clock.advance(0.15)
    bench.wheel.turn()

    assert sum(bench.late_s.counts) == 3
    assert bench.late_s.total == pytest.approx(3 * (0.05 - TICK_S / 3))


def test_lateness_counts_the_width_of_coarse_slots(bench: Bench) -> None:
    for _ in range(10):
        bench.wheel.adapt(1.0)
    width_s = bench.wheel.resolution_s
    for number in range(2_000):
        bench.schedule(0.1 + number * width_s * 0.377)
    bench.run()

    assert bench.late_s.total / 2_000 == pytest.approx(width_s / 2, rel=0.1)


def test_slots_are_coarser_under_load_and_finer_when_idle() -> None:
    wheel = Bench().wheel
    widths = []
    for share in (0.5, 0.5, 0.9, 0.9, *[1.0] * 4, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1):
        wheel.adapt(share)
        widths.append(wheel.slot_ticks)

    assert widths == [2, 2, 4, 4, 8, 16, MAX_SLOT_TICKS, MAX_SLOT_TICKS, 16, 8, 4, 4, 2, 1, 1]


def test_clear_removes_every_entry(bench: Bench) -> None:
    entries = [bench.schedule(0.1), bench.schedule(-1.0)]
    bench.wheel.clear()

    assert bench.wheel.wait_s() is None
    assert [entry.slot for entry in entries] == [None, None]
