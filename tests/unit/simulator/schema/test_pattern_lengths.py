from itertools import islice

import pytest

from tokenfall.simulator.schema.budget import Budget
from tokenfall.simulator.schema.pattern_lengths import Lengths
from tokenfall.simulator.schema.patterns import Concat, Repeat, parse_pattern


def lengths(pattern: str, *, least: int = 0, most: int = 40) -> list[int]:
    return list(Lengths(Budget(), bound=100).between(parse_pattern(pattern, Budget()), least=least, most=most))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", [0]),
        ("^a$", [1]),
        ("ab?c", [2, 3]),
        ("a|bcd|", [0, 1, 3]),
        ("(?:ab){2,4}", [4, 6, 8]),
        ("(?:aaa|bbbbb){2}", [6, 8, 10]),
        ("(?:a?){3}", [0, 1, 2, 3]),
        ("(?:a?b?){2,3}", [0, 1, 2, 3, 4, 5, 6]),
        ("(?:){5}", [0]),
        ("a{0}", [0]),
        ("(?:aa|bbb){1,}c", [3, 4, *range(5, 41)]),
        ("(?:a{10}){4}", [40]),
        ("(?:a{60}){2}", []),
    ],
)
def test_pattern_has_its_possible_lengths(pattern: str, expected: list[int]) -> None:
    assert lengths(pattern) == expected


def test_lengths_are_limited_by_the_bounds() -> None:
    assert lengths("(?:ab)*", least=3, most=9) == [4, 6, 8]
    assert lengths("a*", least=99, most=500) == [99, 100]
    assert lengths("a*", least=3, most=2) == []


@pytest.mark.parametrize(
    ("pattern", "length", "shares"),
    [("[a-z]+[0-9]+", 9, [5, 4]), ("[a-z]+[0-9]+", 2, [1, 1]), ("(?:aa|b)(?:ccc|d)", 4, [1, 3])],
)
def test_length_is_distributed_among_items(pattern: str, length: int, shares: list[int]) -> None:
    node = parse_pattern(pattern, Budget())
    assert isinstance(node, Concat)

    assert Lengths(Budget(), bound=100).shares(node, length) == shares


@pytest.mark.parametrize(
    ("pattern", "length", "copies"),
    [
        ("(?:ab)*", 6, [2, 2, 2]),
        ("(?:aa|bbb)+", 7, [2, 2, 3]),
        ("(?:aa|bbb){3}", 9, [3, 3, 3]),
        ("(?:a|bb|ccc){2,3}", 7, [1, 3, 3]),
        ("(?:a?){9}", 2, [1, 1]),
        ("(?:)*", 0, []),
    ],
)
def test_length_is_distributed_among_copies(pattern: str, length: int, copies: list[int]) -> None:
    node = parse_pattern(pattern, Budget())
    assert isinstance(node, Repeat)

    assert Lengths(Budget(), bound=100).copies(node, length) == copies


def test_work_on_lengths_depends_on_the_bound_not_on_the_counts() -> None:
    steps = []
    for count in (10, 1_000, 1_000_000):
        budget = Budget()
        tree = parse_pattern(f"(?:(?:aa|bbb){{1,{count}}}){{1,{count}}}", budget)
        list(islice(Lengths(budget, bound=200).between(tree, least=0, most=200), 9))
        steps.append(budget.spent)

    assert steps[2] < 2 * steps[0]
