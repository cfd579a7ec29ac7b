import pytest

from tokenfall.simulator.gates import IDLE_S, MAX_GATES, SPARE, ConcurrencyLimiter, Gates, Permit, TestGate
from tokenfall.simulator.values import Load

from tests.doubles.clocks import FakeClock


class Stream:
    """One that waits; it asks again when it is told to, as a player does."""

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
        self.hold.forget(self.resume)
        if isinstance(self.hold, Permit):
            self.hold.leave()


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


def test_who_asks_twice_waits_once_and_keeps_its_place() -> None:
    gate = TestGate()
    (first, _), passed = waiting_at(gate, "ab")
    assert not first.ask()
    assert gate.waiting == 2
    gate.allow(1)

    assert passed == ["a"]


def test_a_gate_that_is_closed_again_lets_nobody_through() -> None:
    gate = TestGate()
    gate.open()
    gate.close()

    assert not gate.passes(lambda: None)
    assert not gate.is_open


def test_so_many_tokens_and_no_more() -> None:
    gate = TestGate()
    _, passed = waiting_at(gate, "abc")
    gate.allow(2)
    assert (passed, gate.waiting, gate.allowed) == (["a", "b"], 1, 0)
    gate.allow(3)

    assert (passed, gate.waiting, gate.allowed) == (["a", "b", "c"], 0, 2)
    assert gate.passes(lambda: None)
    assert gate.allowed == 1


def test_closing_takes_back_what_was_allowed_and_what_was_promised() -> None:
    gate = TestGate()
    gate.allow(5)
    gate.close()
    (stream,), passed = waiting_at(gate, "a", at_once=False)
    gate.allow(1)
    assert stream.woken == 1
    gate.close()

    assert not stream.ask()
    assert passed == []


def test_a_token_is_promised_to_who_came_first_and_not_to_the_quickest() -> None:
    gate = TestGate()
    (slow,), passed = waiting_at(gate, "a", at_once=False)
    gate.allow(1)
    quick = Stream("b", passed)

    assert not quick.ask(gate)
    assert slow.ask()
    assert passed == ["a"]


def test_who_leaves_after_it_was_woken_wakes_the_next() -> None:
    gate = TestGate()
    (first, second), _ = waiting_at(gate, "ab", at_once=False)
    gate.allow(1)
    assert (first.woken, second.woken) == (1, 0)
    first.leave()

    assert second.woken == 1
    assert second.ask()


def test_who_leaves_while_it_waits_is_forgotten() -> None:
    gate = TestGate()
    (first, second), passed = waiting_at(gate, "ab")
    first.leave()
    first.leave()
    gate.allow(1)

    assert (first.woken, passed, gate.waiting) == (0, ["b"], 0)
    second.leave()


def test_gates_are_made_by_whoever_names_them_first_and_dropping_one_opens_it() -> None:
    gates = Gates()
    gate = gates.kept("a")
    _, passed = waiting_at(gate, "x")

    assert gates.get("a") is gate
    assert gates.known() == {"a": gate}
    assert gates.drop("a")
    assert not gates.drop("a")
    assert (passed, gates.known()) == (["x"], {})


def test_all_gates_can_be_dropped_at_once() -> None:
    gates = Gates()
    waiters = [waiting_at(gates.get(name), name) for name in "abc"]
    gates.clear()

    assert [passed for _, passed in waiters] == [["a"], ["b"], ["c"]]
    assert gates.known() == {}


def test_gates_that_are_kept_are_bounded_and_those_of_streams_are_not_counted() -> None:
    gates = Gates()
    for number in range(MAX_GATES):
        gates.kept(f"g{number}")

    assert gates.kept("g0") is gates.known()["g0"]
    assert not gates.get("one more").passes(lambda: None)
    with pytest.raises(ValueError, match=f"more than {MAX_GATES}"):
        gates.kept("one more")


def test_a_gate_that_nobody_moved_is_gone_with_the_last_stream_that_holds_it() -> None:
    gates = Gates()
    held = [gates.get(f"g{number}") for number in range(2 * MAX_GATES)]
    assert len(gates.known()) == 2 * MAX_GATES
    held.clear()

    assert gates.known() == {}
    assert not gates.drop("g0")


def test_a_gate_that_was_moved_expires_after_its_last_use() -> None:
    clock = FakeClock(0.0)
    gates = Gates(clock)
    for name in ("used", "left"):
        gates.kept(name).open()
    clock.advance(IDLE_S - 1)
    assert gates.get("used").is_open
    clock.advance(2)

    assert list(gates.known()) == ["used"]
    assert not gates.get("left").is_open


def test_a_gate_that_a_stream_holds_is_known_however_long_it_waits() -> None:
    clock = FakeClock(0.0)
    gates = Gates(clock)
    gate = gates.kept("a")
    _, passed = waiting_at(gate, "x")
    clock.advance(2 * IDLE_S)
    gates.kept("a").open()

    assert passed == ["x"]


# A full house


def test_gaps_grow_linearly_up_to_the_capacity() -> None:
    limiter, load = ConcurrencyLimiter(), Load(3.0, 4)
    factors = []
    for _ in range(6):
        factors.append(limiter.factor(load))
        limiter.enter()

    assert factors == [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]


def queued(
    limiter: ConcurrencyLimiter, names: str, load: Load, *, at_once: bool = True
) -> tuple[list[Stream], list[str]]:
    passed: list[str] = []
    streams = [Stream(name, passed, at_once=at_once) for name in names]
    for stream in streams:
        stream.ask(limiter.permit(load))
    return streams, passed


def test_latecomers_come_in_in_their_order_when_one_leaves() -> None:
    limiter = ConcurrencyLimiter()
    streams, passed = queued(limiter, "abcd", Load(1.0, 2))
    assert (passed, limiter.inside, limiter.waiting) == (["a", "b"], 2, 2)
    streams[1].leave()
    assert (passed, limiter.inside) == (["a", "b", "c"], 2)
    streams[0].leave()

    assert (passed, limiter.inside, limiter.waiting) == (["a", "b", "c", "d"], 2, 0)


def test_who_is_inside_is_let_through_again_and_leaves_once() -> None:
    limiter = ConcurrencyLimiter()
    (stream,), _ = queued(limiter, "a", Load(1.0, 1))
    assert stream.ask()
    assert limiter.inside == 1
    stream.leave()
    stream.leave()

    assert limiter.inside == 0


def test_without_load_nobody_waits() -> None:
    limiter = ConcurrencyLimiter()
    queued(limiter, "a", Load(1.0, 1))
    permit = limiter.permit(None)

    assert permit.passes(lambda: None)
    assert limiter.inside == 2


def test_who_leaves_while_queued_is_not_let_in() -> None:
    limiter = ConcurrencyLimiter()
    (first, second, third), passed = queued(limiter, "abc", Load(1.0, 1))
    second.leave()
    first.leave()

    assert (second.woken, passed, limiter.inside, limiter.waiting) == (0, ["a", "c"], 1, 0)
    third.leave()
    assert limiter.inside == 0


def test_who_was_let_in_and_leaves_before_it_hears_of_it_gives_its_place_on() -> None:
    limiter = ConcurrencyLimiter()
    (first, second, third), _ = queued(limiter, "abc", Load(1.0, 1), at_once=False)
    first.leave()
    assert (second.woken, third.woken) == (1, 0)
    second.leave()

    assert (third.woken, limiter.inside) == (1, 1)


def test_nobody_comes_in_between_a_place_and_who_was_called_to_it() -> None:
    limiter = ConcurrencyLimiter()
    (first, second), passed = queued(limiter, "ab", Load(1.0, 1), at_once=False)
    first.leave()
    _, quick = queued(limiter, "c", Load(1.0, 1))

    assert quick == []
    assert second.ask()
    assert passed == ["a", "b"]


def test_who_waits_for_more_room_holds_up_nobody() -> None:
    limiter = ConcurrencyLimiter()
    queued(limiter, "a", Load(1.0, 9))
    _, narrow = queued(limiter, "b", Load(1.0, 1))
    _, wide = queued(limiter, "c", Load(1.0, 9))

    assert (narrow, wide, limiter.inside, limiter.waiting) == ([], ["c"], 2, 1)


def test_a_place_goes_past_who_needs_more_room_to_who_has_enough() -> None:
    limiter = ConcurrencyLimiter()
    streams, _ = queued(limiter, "ab", Load(1.0, 2))
    _, narrow = queued(limiter, "c", Load(1.0, 1))
    _, wide = queued(limiter, "d", Load(1.0, 2))
    streams[0].leave()
    assert (narrow, wide) == ([], ["d"])
    streams[1].leave()

    assert narrow == []
    assert limiter.inside == 1


def test_a_queue_that_is_left_leaves_nothing_behind() -> None:
    limiter = ConcurrencyLimiter()
    (inside,), _ = queued(limiter, "a", Load(1.0, 1))
    waiting, passed = queued(limiter, "b" * 3 * SPARE, Load(1.0, 1))
    for stream in waiting[1:]:
        stream.leave()
    inside.leave()

    assert (passed, limiter.inside, limiter.waiting) == (["b"], 1, 0)


def test_who_asks_again_while_queued_keeps_its_place() -> None:
    limiter = ConcurrencyLimiter()
    (inside,), _ = queued(limiter, "a", Load(1.0, 1))
    (first, second), passed = queued(limiter, "bc", Load(1.0, 1))
    assert not first.ask()
    inside.leave()

    assert (passed, second.woken) == (["b"], 0)
