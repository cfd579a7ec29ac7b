from itertools import islice, repeat

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.gates import MAX_GATES
from tokenfall.simulator.grammar import Spread, parse
from tokenfall.simulator.state import Stage
from tokenfall.simulator.values import Load, faults


@pytest.mark.parametrize("text", ["", "gap=1s,ttft=2s", "tokens=5,status=500,limit=rpm=1,text=words"])
def test_to_most_streams_nothing_happens(text: str) -> None:
    assert Stage().course(parse(text), ()) is None


@pytest.mark.parametrize("text", ["gate=a", "load=2@3"])
def test_to_others_something_may(text: str) -> None:
    assert Stage().course(parse(text), ()) is not None
    assert Stage().course(parse(""), faults("reset@1")) is not None


def test_a_gate_is_the_one_of_that_name() -> None:
    stage = Stage()
    course = stage.course(parse("gate=a@1"), ())
    assert course is not None
    items = course.items(iter([b"0", b"1"]), tokens=2, broken=b"", coded=bytes)

    assert list(items) == [course.ticket, b"0", stage.gates.get("a"), b"1"]


def test_too_many_gates_are_the_callers_mistake() -> None:
    stage = Stage()
    for number in range(MAX_GATES):
        stage.gates.get(str(number))
    with pytest.raises(InvalidRequest, match="gates"):
        stage.course(parse("gate=a"), ())


def test_gaps_follow_the_load_of_the_moment() -> None:
    stage = Stage()
    gaps = stage.gaps(repeat(1.0), Load(3.0, 2))
    first = next(gaps)
    stage.house.enter()
    second = next(gaps)
    stage.house.leave()

    assert (first, second, next(gaps)) == (1.0, 2.0, 1.0)
    assert list(islice(stage.gaps(repeat(1.0), None), 2)) == [1.0, 1.0]


def test_what_is_said_lies_over_what_holds_anyway() -> None:
    assert Stage().defaults.gap == Spread(0.1)
    assert Stage(parse("gap=1s,seed=1")).defaults == parse("gap=1s,seed=1")
