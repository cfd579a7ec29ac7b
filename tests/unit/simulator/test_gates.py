import weakref

import pytest

from tokenfall.simulator.gates import (
    IDLE_S,
    MAX_GATES,
    SPARE,
    ConcurrencyLimiter,
    ConcurrencyLimiters,
    Gates,
    Permit,
    TestGate,
)
from tokenfall.simulator.values import Load

from tests.doubles.clocks import FakeClock


class Stream:
    """One that waits; it checks again when notified, as a player does."""

    def __init__(self, name: str, passed: list[str], *, at_once: bool = True) -> None:
        self.name = name
        self.hold: TestGate | Permit | None = None
        self.woken = 0
        self._passed = passed
        self._at_once = at_once

    def resume(self) -> None:
        self.woken += 1
        if self._at_once:
            self.ask()

    def ask(self, hold: TestGate | Permit | None = None) -> bool:
        self.hold = hold or self.hold
        assert self.hold is not None
        passes = self.hold.passes(self.resume)
        if passes:
            self._passed.append(self.name)
        return passes

    def leave(self) -> None:
        assert self.hold is not None
        self.hold.cancel_wait(self.resume)
        if isinstance(self.hold, Permit):
            self.hold.release()


def waiting_at(gate: TestGate, names: str, *, at_once: bool = True) -> tuple[list[Stream], list[str]]:
    passed: list[str] = []
    streams = [Stream(name, passed, at_once=at_once) for name in names]
    for stream in streams:
        assert not stream.ask(gate)
    return streams, passed


# A test's gates


def test_a_gate_begins_closed_and_opens_for_all_in_their_order() -> None:
    gate = TestGate()
    _, passed = waiting_at(gate, "abc")
    assert (gate.waiting, passed) == (3, [])
    gate.open()

    assert (gate.waiting, gate.passed, passed) == (0, 3, ["a", "b", "c"])
    assert gate.passes(lambda: None)


def test_joining_a_gate_twice_keeps_the_position() -> None:
    gate = TestGate()
    (first, _), passed = waiting_at(gate, "ab")
    assert not first.ask()
    assert gate.waiting == 2
    gate.allow(1)

    assert passed == ["a"]


def test_reclosed_gate_passes_no_token() -> None:
    gate = TestGate()
    gate.open()
    gate.close()

    assert not gate.passes(lambda: None)
    assert not gate.is_open


def test_gate_passes_only_the_allowed_tokens() -> None:
    gate = TestGate()
    _, passed = waiting_at(gate, "abc")
    gate.allow(2)
    assert (passed, gate.waiting, gate.allowed) == (["a", "b"], 1, 0)
    gate.allow(3)

    assert (passed, gate.waiting, gate.allowed) == (["a", "b", "c"], 0, 2)
    assert gate.passes(lambda: None)
    assert gate.allowed == 1


def test_closing_revokes_allowed_and_assigned_tokens() -> None:
    gate = TestGate()
    gate.allow(5)
    gate.close()
    (stream,), passed = waiting_at(gate, "a", at_once=False)
    gate.allow(1)
    assert stream.woken == 1
    gate.close()

    assert not stream.ask()
    assert passed == []


def test_tokens_are_assigned_in_fifo_order() -> None:
    gate = TestGate()
    (slow,), passed = waiting_at(gate, "a", at_once=False)
    gate.allow(1)
    quick = Stream("b", passed)

    assert not quick.ask(gate)
    assert slow.ask()
    assert passed == ["a"]


def test_waiter_cancelled_after_its_wakeup_wakes_the_next() -> None:
    gate = TestGate()
    (first, second), _ = waiting_at(gate, "ab", at_once=False)
    gate.allow(1)
    assert (first.woken, second.woken) == (1, 0)
    first.leave()

    assert second.woken == 1
    assert second.ask()


def test_cancelled_waiter_is_removed() -> None:
    gate = TestGate()
    (first, second), passed = waiting_at(gate, "ab")
    first.leave()
    first.leave()
    gate.allow(1)

    assert (first.woken, passed, gate.waiting) == (0, ["b"], 0)
    second.leave()


def test_gate_is_created_at_its_first_use_and_opened_when_dropped() -> None:
    gates = Gates()
    gate = gates.pinned("a")
    _, passed = waiting_at(gate, "x")

    assert gates.get("a") is gate
    assert gates.all() == {"a": gate}
    assert gates.drop("a")
    assert not gates.drop("a")
    assert (passed, gates.all()) == (["x"], {})


def test_all_gates_can_be_dropped_at_once() -> None:
    gates = Gates()
    waiters = [waiting_at(gates.get(name), name) for name in "abc"]
    gates.clear()

    assert [passed for _, passed in waiters] == [["a"], ["b"], ["c"]]
    assert gates.all() == {}


def test_pinned_gates_are_limited_and_gates_of_streams_are_not_counted() -> None:
    gates = Gates()
    for number in range(MAX_GATES):
        gates.pinned(f"g{number}")

    assert gates.pinned("g0") is gates.all()["g0"]
    assert not gates.get("one more").passes(lambda: None)
    with pytest.raises(ValueError, match=f"more than {MAX_GATES}"):
        gates.pinned("one more")


def test_unchanged_gate_is_removed_with_its_last_stream() -> None:
    gates = Gates()
    held = [gates.get(f"g{number}") for number in range(2 * MAX_GATES)]
    assert len(gates.all()) == 2 * MAX_GATES
    held.clear()

    assert gates.all() == {}
    assert not gates.drop("g0")


def test_a_gate_that_was_moved_expires_after_its_last_use() -> None:
    clock = FakeClock(0.0)
    gates = Gates(clock)
    for name in ("used", "left"):
        gates.pinned(name).open()
    clock.advance(IDLE_S - 1)
    assert gates.get("used").is_open
    clock.advance(2)

    assert list(gates.all()) == ["used"]
    assert not gates.get("left").is_open


def test_gate_held_by_a_stream_stays_registered() -> None:
    clock = FakeClock(0.0)
    gates = Gates(clock)
    gate = gates.pinned("a")
    _, passed = waiting_at(gate, "x")
    clock.advance(2 * IDLE_S)
    gates.pinned("a").open()

    assert passed == ["x"]


# A full house


def test_gaps_grow_linearly_up_to_the_capacity() -> None:
    limiter, load = ConcurrencyLimiter(), Load(3.0, 4)
    factors = []
    for _ in range(6):
        factors.append(limiter.factor(load))
        limiter.acquire()

    assert factors == [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]


def queued(
    limiter: ConcurrencyLimiter, names: str, load: Load, *, at_once: bool = True
) -> tuple[list[Stream], list[str]]:
    passed: list[str] = []
    streams = [Stream(name, passed, at_once=at_once) for name in names]
    for stream in streams:
        stream.ask(limiter.permit(load))
    return streams, passed


def test_queued_streams_are_admitted_in_fifo_order() -> None:
    limiter = ConcurrencyLimiter()
    streams, passed = queued(limiter, "abcd", Load(1.0, 2))
    assert (passed, limiter.active, limiter.waiting) == (["a", "b"], 2, 2)
    streams[1].leave()
    assert (passed, limiter.active) == (["a", "b", "c"], 2)
    streams[0].leave()

    assert (passed, limiter.active, limiter.waiting) == (["a", "b", "c", "d"], 2, 0)


def test_running_stream_passes_the_concurrency_limit_again() -> None:
    limiter = ConcurrencyLimiter()
    (stream,), _ = queued(limiter, "a", Load(1.0, 1))
    assert stream.ask()
    assert limiter.active == 1
    stream.leave()
    stream.leave()

    assert limiter.active == 0


def test_concurrency_limit_without_load_admits_at_once() -> None:
    limiter = ConcurrencyLimiter()
    queued(limiter, "a", Load(1.0, 1))
    permit = limiter.permit(None)

    assert permit.passes(lambda: None)
    assert limiter.active == 2


def test_cancelled_queued_stream_is_not_admitted() -> None:
    limiter = ConcurrencyLimiter()
    (first, second, third), passed = queued(limiter, "abc", Load(1.0, 1))
    second.leave()
    first.leave()

    assert (second.woken, passed, limiter.active, limiter.waiting) == (0, ["a", "c"], 1, 0)
    third.leave()
    assert limiter.active == 0


def test_permit_of_a_stream_cancelled_before_its_wakeup_goes_to_the_next() -> None:
    limiter = ConcurrencyLimiter()
    (first, second, third), _ = queued(limiter, "abc", Load(1.0, 1), at_once=False)
    first.leave()
    assert (second.woken, third.woken) == (1, 0)
    second.leave()

    assert (third.woken, limiter.active) == (1, 1)


def test_assigned_permit_cannot_be_taken_by_another_stream() -> None:
    limiter = ConcurrencyLimiter()
    (first, second), passed = queued(limiter, "ab", Load(1.0, 1), at_once=False)
    first.leave()
    _, quick = queued(limiter, "c", Load(1.0, 1))

    assert quick == []
    assert second.ask()
    assert passed == ["a", "b"]


def test_stream_with_a_smaller_limit_does_not_block_others() -> None:
    limiter = ConcurrencyLimiter()
    queued(limiter, "a", Load(1.0, 9))
    _, narrow = queued(limiter, "b", Load(1.0, 1))
    _, wide = queued(limiter, "c", Load(1.0, 9))

    assert (narrow, wide, limiter.active, limiter.waiting) == ([], ["c"], 2, 1)


def test_free_permit_skips_streams_with_a_smaller_limit() -> None:
    limiter = ConcurrencyLimiter()
    streams, _ = queued(limiter, "ab", Load(1.0, 2))
    _, narrow = queued(limiter, "c", Load(1.0, 1))
    _, wide = queued(limiter, "d", Load(1.0, 2))
    streams[0].leave()
    assert (narrow, wide) == ([], ["d"])
    streams[1].leave()

    assert narrow == []
    assert limiter.active == 1


def test_disconnect_in_the_queue_releases_everything() -> None:
    limiter = ConcurrencyLimiter()
    (inside,), _ = queued(limiter, "a", Load(1.0, 1))
    waiting, passed = queued(limiter, "b" * 3 * SPARE, Load(1.0, 1))
    for stream in waiting[1:]:
        stream.leave()
    inside.leave()

    assert (passed, limiter.active, limiter.waiting) == (["b"], 1, 0)


def test_joining_the_queue_twice_keeps_the_position() -> None:
    limiter = ConcurrencyLimiter()
    (inside,), _ = queued(limiter, "a", Load(1.0, 1))
    (first, second), passed = queued(limiter, "bc", Load(1.0, 1))
    assert not first.ask()
    inside.leave()

    assert (passed, second.woken) == (["b"], 0)


# Callers apart


def test_queues_of_callers_are_apart() -> None:
    limiters, load = ConcurrencyLimiters(), Load(1.0, 1)
    passed: list[str] = []
    streams = [Stream(name, passed) for name in "abc"]
    for stream, caller in zip(streams, ("one", "one", "two"), strict=True):
        stream.ask(limiters.permit(load, caller=caller))
    assert (passed, limiters.active, limiters.waiting) == (["a", "c"], 2, 1)
    streams[0].leave()

    assert (passed, limiters.active, limiters.waiting) == (["a", "c", "b"], 2, 0)


def test_load_counts_the_streams_of_its_caller_only() -> None:
    limiters, load = ConcurrencyLimiters(), Load(3.0, 2)
    permit = limiters.permit(load, caller="one")
    assert permit.passes(lambda: None)

    assert limiters.of("one").factor(load) == 2.0
    assert limiters.of("two").factor(load) == 1.0


def test_callers_without_streams_are_forgotten() -> None:
    limiters, load = ConcurrencyLimiters(), Load(1.0, 1)
    first = weakref.ref(limiters.of("one"))
    assert first() is None
    permit = limiters.permit(load, caller="one")
    second = weakref.ref(limiters.of("one"))
    assert second() is limiters.of("one")
    permit.release()
    del permit

    assert second() is None


def test_streams_without_load_count_for_the_sum_only() -> None:
    limiters = ConcurrencyLimiters()
    limiters.acquire()
    permit = limiters.permit(None, caller="one")
    assert permit.passes(lambda: None)
    assert (limiters.active, limiters.of("one").active) == (2, 0)
    permit.release()
    limiters.release()

    assert limiters.active == 0


def test_gates_of_owners_are_apart() -> None:
    gates = Gates()
    one = gates.pinned("a", owner="one")
    one.open()
    for number in range(MAX_GATES - 1):
        gates.pinned(str(number), owner="one")

    assert not gates.pinned("a", owner="two").is_open
    assert gates.all(owner="two").keys() == {"a"}
    assert gates.drop("a", owner="two")
    assert gates.get("a", owner="one") is one
