"""Encodes JSON documents of megabytes in pieces that take a millisecond or two each. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

PIECE_BYTES = 32_768
SLICE_CHARACTERS = 16_384
"""Characters of a long string that are encoded at once: each becomes up to six bytes."""

_encode = msgspec.json.encode


def json_pieces(document: Any) -> Iterator[bytes]:  # noqa: ANN401 - any JSON
    """`document` as JSON. An iterator in it becomes an array; each element is encoded in one step."""
    gathered: list[bytes] = []
    size = 0
    for part in _parts(document):
        gathered.append(part)
        size += len(part)
        if size >= PIECE_BYTES:
            gathered, size = [b"".join(gathered)], 0
            yield gathered.pop()  # keep no reference while the caller sends the piece
    yield b"".join(gathered)


def _parts(value: Any) -> Iterator[bytes]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        before = b"{"
        for key, each in value.items():
            yield b"%b%b:" % (before, _encode(key))
            yield from _parts(each)
            before = b","
        yield b"}" if value else b"{}"
    elif isinstance(value, list | tuple):
        before = b"["
        for each in value:
            yield before
            yield from _parts(each)
            before = b","
        yield b"]" if value else b"[]"
    elif isinstance(value, Iterator):
        before = b"["
        for each in value:
            yield before + _encode(each)
            before = b","
        yield b"[]" if before == b"[" else b"]"
    elif isinstance(value, str) and len(value) > SLICE_CHARACTERS:
        yield b'"'
        for start in range(0, len(value), SLICE_CHARACTERS):
            yield _encode(value[start : start + SLICE_CHARACTERS])[1:-1]
        yield b'"'
    else:
        yield _encode(value)
