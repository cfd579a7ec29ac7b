"""Regular expressions of scenarios, searched in bounded time in any client text. Pure.

A backtracking search makes one attempt for each way to distribute a text among repetitions. Therefore the ways of an
expression are counted from its parse tree:

- With few ways (`FEW_WAYS`), Python's `re` searches the first `SEARCHED` characters.
- With more, RE2 searches the first `SEARCHED_BY_RE2`, if the package `google-re2` is installed and supports the syntax.
- Otherwise, if there is a single unbounded repetition, of a single character, `re` searches the first
  `SEARCHED_WITH_A_REPEAT`.
- All other expressions are refused.

With these limits the slowest search takes about 10 ms. In RE2, classes of letters, digits and white space are ASCII
only; in `re` they are Unicode.
"""

import re
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from re import _constants as tree
from re import _parser as parser
from types import ModuleType
from typing import Any

from msgspec import Struct

MAX_PATTERN = 500
"""Limit for an expression, in characters."""

SEARCHED = 20_000
SEARCHED_BY_RE2 = 4_000
SEARCHED_WITH_A_REPEAT = 1_000
MAX_INSTRUCTIONS = 200
"""Limit for RE2's program: a search takes at most this number of steps per character."""

RE2_MEMORY = 1 << 20

FEW_WAYS = 16
MAX_CHOICES = 64
"""A repetition with more choices than these counts as unbounded."""

ACCEPTED = (
    "without google-re2 (the image `full` or pip install 'tokenfall[scripts]') a pattern takes at most one unbounded "
    "repetition, of a single character or class and not within another repetition"
)
ACCEPTED_BY_RE2 = f"RE2 takes no look-around and no backreference, and programs of at most {MAX_INSTRUCTIONS} steps"


class TextPattern(Struct, frozen=True):
    """A compiled expression that is searched in the first `searched` characters of a text."""

    search: Callable[[str], Any]
    searched: int

    def found(self, text: str) -> bool:
        return self.search(text[: self.searched]) is not None


class _Ways(Struct, frozen=True):
    """The number of ways to match: `count`, times the text length for each of the unbounded `repeats`."""

    count: int = 1
    repeats: int = 0

    def then(self, other: "_Ways") -> "_Ways":
        """The ways of a concatenation."""
        return _Ways(min(self.count * other.count, TOO_MANY), self.repeats + other.repeats)


TOO_MANY = 1_000_000
_UNLIMITED = _Ways(TOO_MANY, 2)
_ONE_CHARACTER = (tree.LITERAL, tree.NOT_LITERAL, tree.ANY, tree.IN)


def compile_pattern(pattern: str) -> TextPattern:
    """Compile `pattern`. Raises ValueError; the message lists the accepted syntax."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search = re.compile(pattern).search
            ways = _ways_of_all(parser.parse(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    if not ways.repeats and ways.count <= FEW_WAYS:
        return TextPattern(search, SEARCHED)
    linear = _re2_search(pattern)
    if linear is not None:
        return TextPattern(linear, SEARCHED_BY_RE2)
    if ways.repeats <= 1 and ways.count <= 2:
        return TextPattern(search, SEARCHED_WITH_A_REPEAT)
    raise ValueError(f"might take too long: {ACCEPTED if installed_re2() is None else ACCEPTED_BY_RE2}")


@cache
def installed_re2() -> ModuleType | None:
    """The package, None if it is not installed."""
    try:
        import re2  # type: ignore[import-untyped,unused-ignore] # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        return None
    return re2  # type: ignore[no-any-return,unused-ignore] # see above


def _re2_search(pattern: str) -> Callable[[str], Any] | None:
    """The search function of RE2, None if it is not installed or does not accept the pattern."""
    re2 = installed_re2()
    if re2 is None:
        return None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = RE2_MEMORY
    try:
        expression = re2.compile(pattern, options=options)
    except re2.error:
        return None
    return expression.search if expression.programsize <= MAX_INSTRUCTIONS else None


def _ways_of_all(items: Iterable[Any]) -> _Ways:
    ways = _Ways()
    for operation, argument in items:
        ways = ways.then(_ways_of(operation, argument))
    return ways


def _ways_of(operation: Any, argument: Any) -> _Ways:  # noqa: ANN401 - the parser has no types
    """The ways of one operation of the tree."""
    if operation in _ONE_CHARACTER or operation is tree.AT:
        return _Ways()
    if operation is tree.SUBPATTERN:
        return _ways_of_all(argument[-1])
    if operation is tree.BRANCH:
        branches = [_ways_of_all(branch) for branch in argument[1]]
        return _Ways(sum(branch.count for branch in branches), max(branch.repeats for branch in branches))
    if operation in (tree.ASSERT, tree.ASSERT_NOT):
        return _ways_of_all(argument[1])
    if operation is tree.ATOMIC_GROUP:
        return _ways_of_all(argument)
    if operation in (tree.MAX_REPEAT, tree.MIN_REPEAT, tree.POSSESSIVE_REPEAT):
        least, most, items = argument
        return _ways_of_repeat(items, least, most=most)
    return _UNLIMITED  # references to groups, whose length is unknown


def _ways_of_repeat(items: Any, least: int, *, most: int) -> _Ways:  # noqa: ANN401 - see above
    within = _ways_of_all(items)
    if within.repeats or (within.count > 1 and most > 1):
        return _UNLIMITED
    choices = most - least + 1
    if choices > MAX_CHOICES:
        return _Ways(1, 1) if len(items) == 1 and items[0][0] in _ONE_CHARACTER else _UNLIMITED
    return _Ways(choices * within.count)
