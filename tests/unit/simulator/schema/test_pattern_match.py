import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenfall.simulator.schema.budget import Budget
from tokenfall.simulator.schema.pattern_match import matches
from tokenfall.simulator.schema.patterns import parse_pattern

from tests.doubles.patterns import patterns


def found(pattern: str, text: str) -> bool:
    return matches(parse_pattern(pattern, Budget()), text, budget=Budget())


@given(patterns, st.text("abcxyz 01-,.é", min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_match_is_found_if_pythons_re_finds_one(pattern: str, text: str) -> None:
    assert found(pattern, text) == bool(re.search(pattern, text))


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("a", "", False),
        ("a", "xax", True),
        ("^a", "xa", False),
        ("a$", "ax", False),
        ("a$", "a\n", False),
        (r"\bfoo\b", "a foo b", True),
        (r"\bfoo\b", "afoo", False),
        (r"o\B", "foo", True),
        (r"^o\B$", "o", False),
        ("^(a|ab)(c|bcd)$", "abcd", True),
        ("^(?:a{2}){2,3}$", "aaaaaa", True),
        ("^(?:a{2}){2,3}$", "aaaaa", False),
        ("^(a?){3}$", "aa", True),
        ("^(a*)*$", "aaab", False),
    ],
)
def test_text_matches_the_pattern(pattern: str, text: str, expected: bool) -> None:
    assert found(pattern, text) is expected


def test_repetition_ends_when_further_copies_change_nothing() -> None:
    budget = Budget()

    assert matches(parse_pattern("^(a?){1000000}$", Budget()), "aaa", budget=budget)
    assert budget.spent < 100


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a*)*b", "(.?){40}Q", "^(a|a)*$", "(a|aa)+$"])
def test_work_depends_on_the_text_length_not_on_backtracking(pattern: str) -> None:
    steps = []
    for size in (100, 200, 400):
        budget = Budget()
        matches(parse_pattern(pattern, Budget()), "a" * size + "!", budget=budget)
        steps.append(budget.spent)

    assert steps[2] - steps[1] <= 2 * (steps[1] - steps[0]) + 100
