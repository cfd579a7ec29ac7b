from itertools import islice, repeat

import pytest

from tokenfall.simulator.gates import MAX_GATES
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.state import SimulatorState
from tokenfall.simulator.values import Load, Spread, faults


@pytest.mark.parametrize("text", ["", "gap=1s,ttft=2s", "tokens=5,status=500,limit=rpm=1,text=words"])
def test_stream_without_gate_load_and_faults_has_no_fault_plan(text: str) -> None:
    assert SimulatorState().fault_plan(parse(text), ()) is None


@pytest.mark.parametrize("text", ["gate=a", "load=2@3"])
def test_stream_with_gate_load_or_faults_has_a_fault_plan(text: str) -> None:
    assert SimulatorState().fault_plan(parse(text), ()) is not None
    assert SimulatorState().fault_plan(parse(""), faults("reset@1")) is not None


def test_fault_plan_uses_the_gate_of_the_configured_name() -> None:
    state = SimulatorState()
    fault_plan = state.fault_plan(parse("gate=a@1"), ())
    assert fault_plan is not None
    items = fault_plan.items(iter([b"0", b"1", b"end"]), tokens=2, error_frame=lambda: b"")

    assert list(items) == [fault_plan.permit, b"0", state.gates.get("a"), b"1", b"end"]


def test_gates_of_others_never_refuse_a_stream() -> None:
    state = SimulatorState()
    for number in range(MAX_GATES):
        state.gates.pinned(str(number))

    assert state.fault_plan(parse("gate=a"), ()) is not None


def test_gaps_follow_the_current_load() -> None:
    state = SimulatorState()
    gaps = state.gaps(repeat(1.0), Load(3.0, 2))
    first = next(gaps)
    state.limiter.of("").acquire()
    second = next(gaps)
    state.limiter.of("").release()

    assert (first, second, next(gaps)) == (1.0, 2.0, 1.0)
    assert list(islice(state.gaps(repeat(1.0), None), 2)) == [1.0, 1.0]


def test_request_settings_override_the_defaults() -> None:
    assert SimulatorState().defaults.gap == Spread(0.1)
    assert SimulatorState(parse("gap=1s,seed=1")).defaults == parse("gap=1s,seed=1")
