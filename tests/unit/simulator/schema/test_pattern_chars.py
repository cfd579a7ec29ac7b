import pytest

from tokenfall.simulator.schema.budget import Budget
from tokenfall.simulator.schema.pattern_chars import (
    ANY,
    MAX_CODE_POINT,
    PROPERTIES,
    Chars,
    ascii_only,
    chars_of,
    complement,
    one_char,
    readable,
)
from tokenfall.simulator.schema.patterns import parse_pattern


def test_adjacent_ranges_are_joined() -> None:
    assert chars_of([(5, 9), (1, 2), (3, 4), (20, 30), (25, 26)]) == Chars(((1, 9), (20, 30)))


def test_complement_has_all_other_characters() -> None:
    assert complement(Chars(((0, 4), (10, 12)))) == Chars(((5, 9), (13, MAX_CODE_POINT)))
    assert complement(ANY) == Chars(())
    assert complement(Chars(())) == ANY


def test_ascii_members_are_selected() -> None:
    assert ascii_only(Chars(((100, 300), (400, 500)))) == Chars(((100, 127),))


def test_set_of_one_character_is_the_same_object() -> None:
    assert one_char("a") is one_char("a")


def test_properties_agree_with_pythons_within_ascii() -> None:
    letters = {chr(code) for code in range(128) if chr(code).isalpha()}

    assert {char for char in map(chr, range(128)) if PROPERTIES["L"].has(char)} == letters
    assert all(not PROPERTIES["P"].has(char) for char in "$+<=>^`|~")


@pytest.mark.parametrize(
    ("pattern", "cycle", "first"),
    [
        ("[a-z]", "tokenfall", "a"),
        ("[A-Z]", "TOKENFALL", "A"),
        ("[0-9a-f]", "1234567890", "a"),
        ("[b-d]", "bcd", "b"),
        ("[X-Z]", "XYZ", "X"),
        ("[.-]", "-", "-"),
        (r"[\n\t]", "\t", "\t"),
        ("[^\x00-\x7f]", "é", "é"),
        ("[\ue000-\ue001]", "\ue000", "\ue000"),
    ],
)
def test_readable_members_of_a_class_are_preferred(pattern: str, cycle: str, first: str) -> None:
    chars = parse_pattern(pattern, Budget())
    assert isinstance(chars, Chars)

    assert (readable(chars).cycle, readable(chars).members[0]) == (cycle, first)
