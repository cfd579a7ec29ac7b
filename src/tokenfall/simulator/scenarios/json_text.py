"""Parses JSON to nodes with line numbers. msgspec validates the text; the scan after it only finds the lines."""

import re

import msgspec

from tokenfall.simulator.scenarios.nodes import Builder, InvalidScenario, Node

_PIECE = re.compile(r'[\[\]{}]|"(?:[^"\\]++|\\.)*+"?|[-+.\w]++|\n')
_AT_BYTE = re.compile(r" \(byte (\d++)\)")


def read(text: str) -> Node:
    """The root node of `text`. Raises `InvalidScenario`."""
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise _malformed(text, str(error)) from None
    except RecursionError:
        raise InvalidScenario("nested too deep") from None
    return _scanned(text)


def _malformed(text: str, message: str) -> InvalidScenario:
    at = _AT_BYTE.search(message)
    before = text.encode()[: int(at[1])] if at else text.encode()
    return InvalidScenario(_AT_BYTE.sub("", message), line=before.count(b"\n") + 1)


def _scanned(text: str) -> Node:
    builder, line = Builder(), 1
    for piece in _PIECE.findall(text):
        if piece == "\n":
            line += 1
        elif piece == "{":
            builder.begin({}, line)
        elif piece == "[":
            builder.begin([], line)
        elif piece in "]}":
            builder.end()
        else:
            value = msgspec.json.decode(piece)
            builder.key_or(value, Node(value, line))
    if builder.root is None:
        raise InvalidScenario("the file is empty", line=1)
    return builder.root
