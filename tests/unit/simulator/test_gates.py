import pytest

from tokenfall.simulator.gates import IDLE_S, MAX_GATES, Gates, TestGate

from tests.doubles.clocks import FakeClock
from tests.doubles.waiting_streams import WaitingStream


def waiting_at(gate: TestGate, names: str, *, at_once: bool = True) -> tuple[list[WaitingStream], list[str]]:
    admitted: list[str] = []
    streams = [WaitingStream(name, admitted, at_once=at_once) for name in names]
    for stream in streams:
        assert not stream.try_pass(gate)
    return streams, admitted


def test_new_gate_is_closed_and_opening_admits_all_in_fifo_order() -> None:
    gate = TestGate()
    _, admitted = waiting_at(gate, "abc")
    assert (gate.waiting, admitted) == (3, [])
    gate.open()

    assert (gate.waiting, gate.passed, admitted) == (0, 3, ["a", "b", "c"])
    assert gate.passes(lambda: None)


def test_joining_a_gate_twice_keeps_the_position() -> None:
    gate = TestGate()
    (first, _), admitted = waiting_at(gate, "ab")
    assert not first.try_pass()
    assert gate.waiting == 2
    gate.allow(1)

    assert admitted == ["a"]


def test_reclosed_gate_passes_no_token() -> None:
    gate = TestGate()
    gate.open()
    gate.close()

    assert not gate.passes(lambda: None)
    assert not gate.is_open


def test_gate_passes_only_the_allowed_tokens() -> None:
    gate = TestGate()
    _, admitted = waiting_at(gate, "abc")
    gate.allow(2)
    assert (admitted, gate.waiting, gate.allowed) == (["a", "b"], 1, 0)
    gate.allow(3)

    assert (admitted, gate.waiting, gate.allowed) == (["a", "b", "c"], 0, 2)
    assert gate.passes(lambda: None)
    assert gate.allowed == 1


def test_closing_revokes_allowed_and_assigned_tokens() -> None:
    gate = TestGate()
    gate.allow(5)
    gate.close()
    (stream,), admitted = waiting_at(gate, "a", at_once=False)
    gate.allow(1)
    assert stream.woken == 1
    gate.close()

    assert not stream.try_pass()
    assert admitted == []


def test_tokens_are_assigned_in_fifo_order() -> None:
    gate = TestGate()
    (slow,), admitted = waiting_at(gate, "a", at_once=False)
    gate.allow(1)
    late = WaitingStream("b", admitted)

    assert not late.try_pass(gate)
    assert slow.try_pass()
    assert admitted == ["a"]


def test_waiter_cancelled_after_its_wakeup_wakes_the_next() -> None:
    gate = TestGate()
    (first, second), _ = waiting_at(gate, "ab", at_once=False)
    gate.allow(1)
    assert (first.woken, second.woken) == (1, 0)
    first.disconnect()

    assert second.woken == 1
    assert second.try_pass()


def test_cancelled_waiter_is_removed() -> None:
    gate = TestGate()
    (first, second), admitted = waiting_at(gate, "ab")
    first.disconnect()
    first.disconnect()
    gate.allow(1)

    assert (first.woken, admitted, gate.waiting) == (0, ["b"], 0)
    second.disconnect()


def test_gate_is_created_at_its_first_use_and_opened_when_dropped() -> None:
    gates = Gates()
    gate = gates.pinned("a")
    _, admitted = waiting_at(gate, "x")

    assert gates.get("a") is gate
    assert gates.all() == {"a": gate}
    assert gates.drop("a")
    assert not gates.drop("a")
    assert (admitted, gates.all()) == (["x"], {})


def test_all_gates_can_be_dropped_at_once() -> None:
    gates = Gates()
    waiters = [waiting_at(gates.get(name), name) for name in "abc"]
    gates.clear()

    assert [admitted for _, admitted in waiters] == [["a"], ["b"], ["c"]]
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
    gates_ = [gates.get(f"g{number}") for number in range(2 * MAX_GATES)]
    assert len(gates.all()) == 2 * MAX_GATES
    gates_.clear()

    assert gates.all() == {}
    assert not gates.drop("g0")


def test_pinned_gate_expires_after_its_last_use() -> None:
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
    _, admitted = waiting_at(gate, "x")
    clock.advance(2 * IDLE_S)
    gates.pinned("a").open()

    assert admitted == ["x"]


def test_owners_have_separate_gates() -> None:
    gates = Gates()
    one = gates.pinned("a", owner="one")
    one.open()
    for number in range(MAX_GATES - 1):
        gates.pinned(str(number), owner="one")

    assert not gates.pinned("a", owner="two").is_open
    assert gates.all(owner="two").keys() == {"a"}
    assert gates.drop("a", owner="two")
    assert gates.get("a", owner="one") is one
