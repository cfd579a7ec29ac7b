import re

import pytest

from tokenfall.simulator.scenarios import patterns
from tokenfall.simulator.scenarios.patterns import (
    MAX_PATTERN,
    SEARCHED,
    SEARCHED_BY_RE2,
    SEARCHED_WITH_A_REPEAT,
    compile_pattern,
)

from tests.doubles.growth import cpu_s

LINEAR = (
    "refund", r"(?i)\bhello\b", "^a|b$", "colou?r", "[0-9]{4}-[0-9]{2}", "(?:ab){3}", r"(?=a)(?!b)(?<=c)(?<!d)x",
    "x{2,9}", "(?>ab?)c", r"(?:a|bc|d)e\d",
)  # fmt: skip
ONE_REPEAT = ("(?i)weather.*paris", r"\d+", "a*?b", "a++b", "[^x]{3,}", "(?P<n>.+)", "x{0,400}", "(?=.*a)b", "a.*|b")
HOSTILE = (
    "(a+)+$", "(a|a)*b", "a*b*c", "(a|aa)+$", ".*a.*b", "(a?){30}a{30}", "(?:x{0,5}y)+", "(?:a+)*", "((a*)*)*b",
    "(.*)(.*)x", "(?:ab|c){0,20}d", "a?a?a?a?a?",
)  # fmt: skip
BEYOND_RE2 = ("(?=a*)(?=a*)b", r"(a)\1", "(?=a*b*)c", "(?>a*b*)c", r"(a+)+(?!b)", "(x)?(?(1)a|b)", "(.{0,300}x){9}")
TEXTS = ("a" * 40_000, "ab" * 20_000, "weather" * 5_000, " " * 40_000, "x" * 40_000, "é" * 40_000, "1a y" * 10_000)


@pytest.fixture
def no_re2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "installed_re2", lambda: None)


@pytest.mark.parametrize("pattern", LINEAR)
def test_pattern_with_few_ways_is_searched_by_re(pattern: str) -> None:
    made = compile_pattern(pattern)

    assert made.search == re.compile(pattern).search
    assert made.searched == SEARCHED


@pytest.mark.parametrize("pattern", [*ONE_REPEAT, *HOSTILE])
def test_repetitions_are_searched_by_re2_if_it_supports_them(pattern: str) -> None:
    made = compile_pattern(pattern)
    by_re = made.search == re.compile(pattern).search

    assert made.searched == (SEARCHED_WITH_A_REPEAT if by_re else SEARCHED_BY_RE2)
    assert by_re is (pattern in {"a++b", "(?=.*a)b", "x{0,400}"})


@pytest.mark.usefixtures("no_re2")
@pytest.mark.parametrize("pattern", ONE_REPEAT)
def test_single_repetition_is_searched_by_re_without_re2(pattern: str) -> None:
    assert compile_pattern(pattern).searched == SEARCHED_WITH_A_REPEAT


@pytest.mark.usefixtures("no_re2")
@pytest.mark.parametrize("pattern", [*HOSTILE, *BEYOND_RE2])
def test_slow_pattern_is_refused_without_re2(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^might take too long: without google-re2 .* at most one unbounded"):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", BEYOND_RE2)
def test_slow_pattern_that_re2_does_not_support_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^might take too long: RE2 takes no look-around"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("(", "is not a regular expression"),
        ("a" * (MAX_PATTERN + 1), "at most 500"),
        ("a{99999999999}", "is not a regular"),
    ],
)
def test_invalid_pattern_is_refused(pattern: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("(a+)+$", "xaa", True),
        ("(a+)+$", "aab", False),
        ("(?i)weather.*paris", "The Weather in PARIS", True),
        ("a.*b", "a\nb", False),
        (r"\d+ years", "12 years", True),
        ("é+x", "ééx", True),
    ],
)
def test_search_finds_a_match(pattern: str, text: str, found: bool) -> None:
    assert compile_pattern(pattern).found(text) is found


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("pattern", [*LINEAR, *ONE_REPEAT, *HOSTILE])
def test_every_search_is_fast(pattern: str, installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not installed:
        monkeypatch.setattr(patterns, "installed_re2", lambda: None)
    try:
        made = compile_pattern(pattern)
    except ValueError:
        return

    assert max(cpu_s(lambda text=text: made.found(text)) for text in TEXTS) < 0.1  # type: ignore[misc] # bound as default


def test_re2_is_none_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "re2", None)
    patterns.installed_re2.cache_clear()
    try:
        assert patterns.installed_re2() is None
    finally:
        patterns.installed_re2.cache_clear()
