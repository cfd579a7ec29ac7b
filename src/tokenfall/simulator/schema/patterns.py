"""Parses a JSON schema's `pattern`, a regular expression, to a tree. Pure.

Source: ECMA-262, "Patterns", as JSON Schema 2020-12 recommends it (core, section 6.4), plus named groups in Python's
syntax. Look-around, back-references and flags are refused, as no text can be generated for them. The pattern is never
run by a regular expression engine: a client could send one with exponential running time.
"""

from typing import Literal

from msgspec import Struct

from tokenfall.simulator.schema.budget import Budget, Unsatisfiable, unsatisfiable
from tokenfall.simulator.schema.pattern_chars import (
    ANY,
    DOT,
    ESCAPED_CLASSES,
    MAX_CODE_POINT,
    PROPERTIES,
    Chars,
    Range,
    ascii_only,
    chars_of,
    complement,
    one_char,
)

MAX_PATTERN = 2_000
MAX_GROUPS = 32
"""Nesting depth of groups."""

UNBOUNDED = 10**9
ACCEPTED = "literals, classes, groups, alternatives, quantifiers and anchors"

_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "0": "\0"}
_QUANTIFIERS = {"*": (0, UNBOUNDED), "+": (1, UNBOUNDED), "?": (0, 1)}
_HEX = frozenset("0123456789abcdefABCDEF")


class Assertion(Struct, frozen=True):
    """A zero-width assertion: start (`^`), end (`$`), word boundary (`b`) or no word boundary (`B`)."""

    kind: Literal["^", "$", "b", "B"]


class Concat(Struct, frozen=True):
    """A sequence of nodes."""

    items: "tuple[Node, ...]"


class Alternation(Struct, frozen=True):
    """One of several nodes."""

    options: "tuple[Node, ...]"


class Repeat(Struct, frozen=True):
    """A node repeated `least` to `most` times; `UNBOUNDED` is no limit."""

    body: "Node"
    least: int
    most: int


Node = Chars | Assertion | Concat | Alternation | Repeat


def parse_pattern(pattern: str, budget: Budget) -> Node:
    """The tree of `pattern`. Raises `Unsatisfiable` if it is invalid or not supported."""
    if len(pattern) > MAX_PATTERN:
        raise unsatisfiable(f"`pattern` has more than {MAX_PATTERN} characters")
    budget.spend(1 + len(pattern), "pattern")
    parser = _Parser(pattern)
    tree = parser.choice(depth=0)
    if not parser.at_end():
        raise parser.error("a `)` has no matching `(`")
    return tree


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def error(self, why: str) -> Unsatisfiable:
        return unsatisfiable(f"`pattern` {self._pattern[:80]!r}: {why}; accepted are {ACCEPTED}")

    def at_end(self) -> bool:
        return self._at >= len(self._pattern)

    def _consume(self, text: str) -> bool:
        found = self._pattern.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _next(self) -> str:
        if self.at_end():
            raise self.error("it is incomplete")
        self._at += 1
        return self._pattern[self._at - 1]

    def choice(self, depth: int) -> Node:
        options = [self._concat(depth)]
        while self._consume("|"):
            options.append(self._concat(depth))
        return options[0] if len(options) == 1 else Alternation(tuple(options))

    def _concat(self, depth: int) -> Node:
        items: list[Node] = []
        while not self.at_end() and self._pattern[self._at] not in "|)":
            atom = self._atom(depth)
            items.append(self._quantified(atom))
        return items[0] if len(items) == 1 else Concat(tuple(items))

    def _atom(self, depth: int) -> Node:
        char = self._next()
        if char == "(":
            return self._group(depth)
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char == ".":
            return DOT
        if char in "^$":
            return Assertion(char)  # type: ignore[arg-type] # one of its kinds
        if char in "*+?" or (char == "{" and self._braces() is not None):
            raise self.error(f"there is nothing to repeat before {char!r}")
        return self._literal(char)

    def _group(self, depth: int) -> Node:
        if depth >= MAX_GROUPS:
            raise self.error(f"groups are nested more than {MAX_GROUPS} deep")
        if self._consume("?"):
            self._group_kind()
        node = self.choice(depth + 1)
        if not self._consume(")"):
            raise self.error("a group is not closed")
        return node

    def _group_kind(self) -> None:
        if self._consume(":"):
            return
        if any(map(self._consume, ("=", "!", "<=", "<!"))):
            raise self.error("look-around is not supported")
        if not (self._consume("<") or self._consume("P<")):
            raise self.error("a group of this kind is not supported")
        end = self._pattern.find(">", self._at)
        if not self._pattern[self._at : max(end, 0)].isidentifier():
            raise self.error("the name of a group is not an identifier")
        self._at = end + 1

    def _quantified(self, atom: Node) -> Node:
        if self.at_end():
            return atom
        bounds = _QUANTIFIERS.get(self._pattern[self._at])
        if bounds is not None:
            self._at += 1
        elif self._consume("{"):
            bounds = self._braces()
            if bounds is None:  # a literal brace
                self._at -= 1
                return atom
        else:
            return atom
        if isinstance(atom, Assertion):
            raise self.error("an anchor is repeated")
        self._consume("?")  # a lazy quantifier allows the same texts
        return Repeat(atom, *bounds)

    def _braces(self) -> tuple[int, int] | None:
        """The bounds after a `{`, None if it is a literal brace."""
        end = self._pattern.find("}", self._at)
        least, comma, most = self._pattern[self._at : max(end, self._at)].partition(",")
        if not comma:
            most = least
        if not (_is_number(least) and (_is_number(most) or not most)):
            if not least and _is_number(most):
                raise self.error("a quantifier has no minimum")
            return None
        if max(len(least), len(most)) > 9:
            raise self.error(f"a quantifier has more than {UNBOUNDED - 1} repetitions")
        self._at = end + 1
        bounds = (int(least), int(most) if most else UNBOUNDED)
        if bounds[0] > bounds[1]:
            raise self.error("the minimum of a quantifier is above its maximum")
        return bounds

    def _escape(self) -> Node:
        char = self._next()
        if char in "bB":
            return Assertion(char)  # type: ignore[arg-type] # one of its kinds
        known = self._escaped_class(char)
        return known if known is not None else self._literal(self._escaped(char))

    def _escaped_class(self, char: str) -> Chars | None:
        if char not in "pP":
            return ESCAPED_CLASSES.get(char)
        end = self._pattern.find("}", self._at)
        name = self._pattern[self._at : max(end, 0)] if self._consume("{") else ""
        name = name.removeprefix("General_Category=").removeprefix("gc=")
        if name not in PROPERTIES:
            raise self.error(f"the property of {char!r} is not one of {', '.join(PROPERTIES)}")
        self._at = end + 1
        return PROPERTIES[name] if char == "p" else ascii_only(complement(PROPERTIES[name]))

    def _escaped(self, char: str) -> str:
        """The character of an escape: a backslash and `char`."""
        if char in _CONTROLS and not (char == "0" and self._pattern[self._at : self._at + 1].isdigit()):
            return _CONTROLS[char]
        if char == "x":
            return self._hex(2)
        if char == "u":
            return self._unicode()
        if char == "c":
            return chr(ord(self._next()) % 32)
        if char.isdigit() or char == "k":
            raise self.error("back-references are not supported")
        if char.isalpha():
            raise self.error(f"the escape \\{char} is not supported")
        return char

    def _hex(self, size: int) -> str:
        text = self._pattern[self._at : self._at + size]
        if len(text) != size or not _HEX.issuperset(text) or size > 8 or int(text, 16) > MAX_CODE_POINT:
            raise self.error("an escape needs hexadecimal digits")
        self._at += size
        return chr(int(text, 16))

    def _unicode(self) -> str:
        if self._consume("{"):
            digits, closed, _ = self._pattern[self._at :].partition("}")
            if not closed:
                raise self.error("an escape is not closed")
            char = self._hex(len(digits) or 1)
            self._at += 1
            return char
        char = self._hex(4)
        if "\ud800" <= char <= "\udbff" and self._consume("\\u"):
            low = self._hex(4)
            if "\udc00" <= low <= "\udfff":  # a pair of surrogates is one character
                return (char + low).encode("utf-16", "surrogatepass").decode("utf-16")
            self._at -= len("\\uXXXX")
        return char

    def _literal(self, char: str) -> Chars:
        if "\ud800" <= char <= "\udfff":
            raise self.error("half of a surrogate pair is not a character")
        return one_char(char)

    def _class(self) -> Chars:
        negated = self._consume("^")
        ranges: list[Range] = []
        within_ascii = False
        while not self._consume("]"):
            within_ascii = within_ascii or self._pattern.startswith(("\\p", "\\P"), self._at)
            ranges += self._class_ranges()
        chars = chars_of(ranges)
        if negated:
            chars = complement(chars) if ranges else ANY
            chars = ascii_only(chars) if within_ascii else chars
        if not chars.ranges:
            raise self.error("a class has no character")
        return chars

    def _class_ranges(self) -> tuple[Range, ...]:
        first = self._class_member()
        follows = self._pattern[self._at : self._at + 2]
        if isinstance(first, Chars) or not follows.startswith("-") or follows == "-]":
            return first.ranges if isinstance(first, Chars) else ((ord(first), ord(first)),)
        self._at += 1
        last = self._class_member()
        if isinstance(last, Chars):  # `[a-\d]`: the hyphen is a literal
            return ((ord(first), ord(first)), (ord("-"), ord("-")), *last.ranges)
        if last < first:
            raise self.error("a range of a class ends before it begins")
        return ((ord(first), ord(last)),)

    def _class_member(self) -> Chars | str:
        char = self._next()
        if char != "\\":
            return char
        char = self._next()
        if char == "b":
            return "\b"
        known = self._escaped_class(char)
        return known if known is not None else self._escaped(char)


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii()
