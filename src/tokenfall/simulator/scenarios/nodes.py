"""The values of a scenario file with their line numbers, for JSON and YAML. Pure; depth and number are limited.

A parser calls a `Builder` in document order, without recursion; aliases are not copied.
"""

from math import isfinite
from typing import Any

from msgspec import Struct

MAX_BYTES = 1 << 20
"""Limit for a file, because it is parsed on the event loop."""

MAX_VALUES = 50_000
"""Limit for a file; the values of an alias count for each use."""

MAX_DEPTH = 64

MAX_TEXT = 60
"""Characters of a text that a message shows."""


class InvalidScenario(ValueError):
    """An invalid scenario. Its text is one line: file, line, field, problem.

    `line` counts from 1, and is 0 if the problem has no line; `field` is "" if it has no field.
    """

    def __init__(self, what: str, *, file: str = "", line: int = 0, field: str = "") -> None:
        places = [f"{file}:{line}" if line else file, field]
        super().__init__(" ".join(": ".join(filter(None, [*places, what])).split()))
        self.what = what
        self.file = file
        self.line = line
        self.field = field

    def of_file(self, file: str) -> "InvalidScenario":
        """This error with the file name."""
        return InvalidScenario(self.what, file=file, line=self.line, field=self.field)


class Node(Struct, frozen=True):
    """A value and its line. `value` is a scalar, a list of nodes or a dict of nodes; `lines` are the lines of its keys.

    `size` is the number of values including itself, `depth` the nesting depth.
    """

    value: Any
    line: int
    lines: dict[str, int] = {}
    size: int = 1
    depth: int = 1

    @property
    def plain(self) -> Any:  # noqa: ANN401 - a JSON value
        """The value without line numbers."""
        if isinstance(self.value, dict):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain for node in self.value]
        return self.value


class _Open:
    """An incomplete list or mapping; `key` is the last key if its value is still missing."""

    def __init__(self, value: list[Node] | dict[str, Node], line: int) -> None:
        self.value = value
        self.line = line
        self.lines: dict[str, int] = {}
        self.key: str | None = None
        self.size = 1
        self.depth = 1


class Builder:
    """Builds the root node from parser events. Every method raises `InvalidScenario`."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self.root: Node | None = None

    def begin(self, value: list[Node] | dict[str, Node], line: int) -> None:
        """Start a list or mapping; `value` is empty."""
        if self._expects_key():
            raise InvalidScenario("a key must be a text", line=line)
        if len(self._open) >= MAX_DEPTH:
            raise InvalidScenario(f"nested more than {MAX_DEPTH} deep", line=line)
        self._open.append(_Open(value, line))

    def end(self) -> Node:
        """End the innermost list or mapping."""
        ended = self._open.pop()
        node = Node(ended.value, ended.line, ended.lines, ended.size, ended.depth)
        self._attach(node)
        return node

    def key_or(self, text: str, value: Node) -> None:
        """Add a scalar: as the key `text` if a key is expected, else as `value`."""
        if self._expects_key():
            self._key(text, value.line)
        else:
            self.put(value)

    def put(self, node: Node) -> None:
        """Add a complete value."""
        if self._expects_key():
            raise InvalidScenario("a key must be a text", line=node.line)
        if not _fits(node.value):
            raise InvalidScenario("a number does not fit into 64 bits", line=node.line)
        self._attach(node)

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _key(self, text: str, line: int) -> None:
        mapping = self._open[-1]
        if text in mapping.lines:
            raise InvalidScenario("duplicate key", line=line, field=shown(text))
        mapping.key = text
        mapping.lines[text] = line

    def _attach(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif parent.key is not None:
            parent.value[parent.key] = node
            parent.key = None
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.size > MAX_VALUES:
            raise InvalidScenario(f"more than {MAX_VALUES} values", line=node.line)
        if len(self._open) + node.depth > MAX_DEPTH + 1:
            raise InvalidScenario(f"nested more than {MAX_DEPTH} deep", line=node.line)


def shown(value: object) -> str:
    """`value` in one line, truncated, for messages."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return repr(value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…")
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    return repr(value)


def _fits(value: object) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return not isinstance(value, int) or -(2**63) <= value < 2**64
