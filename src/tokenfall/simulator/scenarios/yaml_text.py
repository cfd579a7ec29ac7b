"""Parses YAML to nodes with line numbers. The only module that uses PyYAML.

It uses only the parser events of the safe loader and constructs no objects. Plain scalars are resolved per the core
schema of YAML 1.2 (section 10.3), so that `yes`, `no` and `12:30` are texts; explicit tags and a second document are
refused.
"""

import re
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore] # the stubs would be an additional package
from msgspec.structs import replace

from tokenfall.simulator.scenarios.nodes import Builder, InvalidScenario, Node

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, if in the wheel, is ten times as fast

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE, _FALSE = re.compile(r"true|True|TRUE"), re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,20}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def read(text: str) -> Node:
    """The root node of the document in `text`. Raises `InvalidScenario`."""
    reader = _Reader()
    try:
        for event in yaml.parse(text, Loader=LOADER):
            reader.on_event(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidScenario(f"invalid YAML: {error.problem}", line=mark.line + 1 if mark else 0) from None
    except yaml.YAMLError as error:
        raise InvalidScenario(f"invalid YAML: {str(error)[:200]}") from None
    except InvalidScenario:
        raise
    except (ValueError, OverflowError):
        # An escape above U+10FFFF, which PyYAML's scanner passes to chr() unchecked.
        raise InvalidScenario("invalid YAML: an escape is not a character") from None
    if reader.builder.root is None:
        raise InvalidScenario("the file is empty", line=1)
    return reader.builder.root


class _Reader:
    """State of parsing a document; an anchor is defined once its node is complete."""

    def __init__(self) -> None:
        self.builder = Builder()
        self._anchors: dict[str, Node] = {}
        self._anchor_stack: list[str | None] = []
        self._documents = 0

    def on_event(self, event: Any) -> None:  # noqa: ANN401 - PyYAML has no types
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) not in (None, "!"):
            raise InvalidScenario(f"the tag {event.tag[:80]!r}: tags are not supported", line=line)
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._anchor_stack.append(event.anchor)
            self.builder.begin({} if isinstance(event, yaml.MappingStartEvent) else [], line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._anchor(self._anchor_stack.pop(), self.builder.end())
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor, line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise InvalidScenario("a second document", line=line)

    def _scalar(self, event: Any, line: int) -> None:  # noqa: ANN401 - PyYAML has no types
        text = event.value
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidScenario("an escape is half of a surrogate pair", line=line)
        node = Node(_plain(text) if event.implicit[0] else text, line)
        self._anchor(event.anchor, node)
        self.builder.key_or(text, node)

    def _anchor(self, name: str | None, node: Node) -> None:
        if name is not None:
            self._anchors[name] = node

    def _alias(self, name: str, line: int) -> None:
        if name not in self._anchors:
            raise InvalidScenario(f"the alias {name[:80]!r} is undefined or recursive", line=line)
        self.builder.put(replace(self._anchors[name], line=line))  # errors in it are reported at the line of the alias


def _plain(text: str) -> str | float | bool | None:
    """The value of a plain scalar. An integer of more than 20 digits becomes a float, which `Builder` checks."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
