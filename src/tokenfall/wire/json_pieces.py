"""Encodes JSON documents of megabytes in pieces that take a millisecond or two each. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct

PIECE_BYTES = 32_768
SLICE_CHARACTERS = 16_384
"""Characters of a long string that are encoded at once: each becomes up to six bytes."""

_SCALARS = frozenset({bool, float, int, type(None)})
_encode = msgspec.json.encode


def json_pieces(document: Any) -> Iterator[bytes]:  # noqa: ANN401 - any JSON
    """`document` as JSON. An iterator in it becomes an array; each element is encoded in one step.

    Structs in it have neither tags nor renamed fields.
    """
    gathered: list[bytes] = []
    size = 0
    for part in _parts(document):
        gathered.append(part)
        size += len(part)
        if size >= PIECE_BYTES:
            gathered, size = [b"".join(gathered)], 0
            yield gathered.pop()  # no reference to a piece while the caller sends it
    yield b"".join(gathered)


def _parts(value: Any) -> Iterable[bytes]:  # noqa: ANN401 - any JSON
    if isinstance(value, Struct):
        return _members(msgspec.structs.asdict(value))
    if isinstance(value, dict):
        return _members(value)
    if isinstance(value, list | tuple):
        return _elements(value)
    if isinstance(value, Iterator):
        return _encoded(value)
    if isinstance(value, str) and len(value) > SLICE_CHARACTERS:
        return _slices(value)
    return (_encode(value),)


def _members(document: dict[str, Any]) -> Iterator[bytes]:
    before = b"{"
    for key, value in document.items():
        if value is UNSET:
            continue
        if _is_short(value):
            yield b"%b%b:%b" % (before, _encode(key), _encode(value))
        else:
            yield b"%b%b:" % (before, _encode(key))
            yield from _parts(value)
        before = b","
    yield b"{}" if before == b"{" else b"}"


def _elements(values: Sequence[Any]) -> Iterator[bytes]:
    before = b"["
    for value in values:
        yield before
        yield from _parts(value)
        before = b","
    yield b"]" if values else b"[]"


def _encoded(values: Iterator[Any]) -> Iterator[bytes]:
    before = b"["
    for value in values:
        yield before + _encode(value)
        before = b","
    yield b"[]" if before == b"[" else b"]"


def _slices(text: str) -> Iterator[bytes]:
    yield b'"'
    for start in range(0, len(text), SLICE_CHARACTERS):
        yield _encode(text[start : start + SLICE_CHARACTERS])[1:-1]
    yield b'"'


def _is_short(value: Any) -> bool:  # noqa: ANN401 - any JSON
    kind = type(value)
    return kind in _SCALARS or (kind is str and len(value) <= SLICE_CHARACTERS)
