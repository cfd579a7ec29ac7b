import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.simulator.format_grammar import format_grammar
from tokenfall.simulator.grammar import TEXTS, Simulation, parse
from tokenfall.simulator.values import FAULT_KINDS, MAX_TOKENS, Fault, GatePosition, Length, Limit, Load, Spread, Status

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
PLACES = st.integers(0, MAX_TOKENS)


def numbers(most: float) -> st.SearchStrategy[float]:
    return st.just(0.0) | st.floats(1e-15, most)


SPREADS = st.builds(Spread, numbers(86_400), numbers(10))
CHANCES = numbers(1)


def faults() -> st.SearchStrategy[Fault]:
    timed = st.builds(Fault, st.sampled_from(("stall", "drip")), PLACES, time_s=numbers(86_400), probability=CHANCES)
    plain = st.builds(Fault, st.sampled_from(FAULT_KINDS[2:]), PLACES, probability=CHANCES)
    return timed | plain


def maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


SIMULATIONS = st.builds(
    Simulation,
    gap=maybe(SPREADS),
    ttft=maybe(SPREADS),
    tokens=maybe(st.lists(PLACES, min_size=2, max_size=2).map(sorted).map(lambda ends: Length(*ends))),
    seed=maybe(st.integers(0, 10**18 - 1)),
    prefill_s=maybe(numbers(86_400)),
    load=maybe(st.builds(Load, st.floats(1, 1000), st.integers(1, MAX_TOKENS))),
    text=maybe(st.sampled_from(TEXTS)),
    fault=maybe(st.lists(faults(), min_size=1, max_size=16).map(tuple)),
    status=maybe(
        st.lists(
            st.builds(
                Status,
                st.integers(400, 599),
                maybe(PLACES),
                probability=CHANCES,
                retry_after_s=maybe(numbers(86_400)),
            ),
            min_size=1,
            max_size=16,
        ).map(tuple)
    ),
    limit=maybe(
        st.builds(Limit, st.integers(1, 10**9), maybe(st.integers(1, 10**9)))
        | st.builds(Limit, st.none(), st.integers(1, 10**9))
    ),
    profile=maybe(NAMES),
    gate=maybe(st.builds(GatePosition, NAMES, PLACES)),
    script=maybe(NAMES),
    speed=maybe(st.floats(0.001, 1000)),
)


@given(SIMULATIONS)
def test_formatted_grammar_parses_to_the_same_settings(simulation: Simulation) -> None:
    assert parse(format_grammar(simulation)) == simulation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("gap=100ms", "gap=0.1s"),
        ("tps=50", "gap=0.02s"),
        ("ttft=300ms~0.4,gap=2m", "gap=120s,ttft=0.3s~0.4"),
        ("gap=0ms", "gap=0s"),
        ("gap=1us", "gap=0.000001s"),
        ("tps=3", "gap=0.3333333333333333s"),
        ("tokens=5", "tokens=5..5"),
        ("seed=0", "seed=0"),
        ("fault=stall@1:5s%0.5+reset@9", "fault=stall@1:5s%0.5+reset@9"),
        ("status=429x2+503:retry=3", "status=429x2+503:retry=3"),
        ("limit=tpm=5,rpm=6", "limit=rpm=6,tpm=5"),
        ("gate=a", "gate=a@0"),
        ("load=2@64,text=echo,speed=2", "load=2@64,text=echo,speed=2"),
    ],
)
def test_format_grammar_uses_the_short_form(text: str, expected: str) -> None:
    assert format_grammar(parse(text)) == expected
