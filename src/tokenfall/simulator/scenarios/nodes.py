"""The values of a file with the lines where they stand, whatever its notation. Pure, and bounded in depth and number.

A reader tells a `Builder` what it sees, in order; it never recurses, and expands nothing.
"""

from math import isfinite
from typing import Any

from msgspec import Struct

MAX_BYTES = 1 << 20
"""Of a file: it is read where streams are paced, so that reading it must be short."""

MAX_VALUES = 50_000
"""In a file, those behind aliases counted as often as they are used."""

MAX_DEPTH = 64

MAX_TEXT = 60
"""How much of a text is shown in a message."""


class InvalidScenario(ValueError):
    """A script that cannot be used. Its text is one line: file, line, field, what is wrong.

    `line` counts from 1, 0 where the fault has no place in the file; `field` is "" where none is at fault.
    """

    def __init__(self, what: str, *, file: str = "", line: int = 0, field: str = "") -> None:
        places = [f"{file}:{line}" if line else file, field]
        super().__init__(" ".join(": ".join(filter(None, [*places, what])).split()))
        self.what = what
        self.file = file
        self.line = line
        self.field = field

    def of_file(self, file: str) -> "InvalidScenario":
        """The same fault, in that file."""
        return InvalidScenario(self.what, file=file, line=self.line, field=self.field)


class Node(Struct, frozen=True):
    """A value and its line. `value` is a scalar, a list of nodes, or a dict of them; `lines` are those of its keys.

    `size` is how many values it holds, itself included, `depth` how many nest in it.
    """

    value: Any
    line: int
    lines: dict[str, int] = {}
    size: int = 1
    depth: int = 1

    @property
    def plain(self) -> Any:  # noqa: ANN401 - a JSON value
        """The value without lines."""
        if isinstance(self.value, dict):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain for node in self.value]
        return self.value


class _Open:
    """A list or mapping whose end has not come; `key` is the one that waits for its value."""

    def __init__(self, value: list[Node] | dict[str, Node], line: int) -> None:
        self.value = value
        self.line = line
        self.lines: dict[str, int] = {}
        self.key: str | None = None
        self.size = 1
        self.depth = 1


class Builder:
    """Makes one node of what a reader sees. Every method raises `InvalidScenario`."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self.root: Node | None = None

    def begin(self, value: list[Node] | dict[str, Node], line: int) -> None:
        """An empty list or mapping begins."""
        if self._awaits_key():
            raise InvalidScenario("a key is a text", line=line)
        if len(self._open) >= MAX_DEPTH:
            raise InvalidScenario(f"nested more than {MAX_DEPTH} deep", line=line)
        self._open.append(_Open(value, line))

    def end(self) -> Node:
        """The list or mapping that began last ends."""
        ended = self._open.pop()
        node = Node(ended.value, ended.line, ended.lines, ended.size, ended.depth)
        self._place(node)
        return node

    def key_or(self, text: str, value: Node) -> None:
        """A scalar: the key `text` where a key stands, else `value`."""
        if self._awaits_key():
            self._key(text, value.line)
        else:
            self.put(value)

    def put(self, node: Node) -> None:
        """A finished value."""
        if self._awaits_key():
            raise InvalidScenario("a key is a text", line=node.line)
        if not _fits(node.value):
            raise InvalidScenario("a number that fits no 64 bits", line=node.line)
        self._place(node)

    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _key(self, text: str, line: int) -> None:
        mapping = self._open[-1]
        if text in mapping.lines:
            raise InvalidScenario("said twice", line=line, field=shown(text))
        mapping.key = text
        mapping.lines[text] = line

    def _place(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        around = self._open[-1]
        if isinstance(around.value, list):
            around.value.append(node)
        elif around.key is not None:
            around.value[around.key] = node
            around.key = None
        around.size += node.size
        around.depth = max(around.depth, node.depth + 1)
        if around.size > MAX_VALUES:
            raise InvalidScenario(f"more than {MAX_VALUES} values", line=node.line)
        if len(self._open) + node.depth > MAX_DEPTH + 1:
            raise InvalidScenario(f"nested more than {MAX_DEPTH} deep", line=node.line)


def shown(value: object) -> str:
    """`value` in one line, shortened."""
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
