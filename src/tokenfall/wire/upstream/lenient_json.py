"""Lenient JSON decoding: accepts lone surrogates, NaN, raw control characters and invalid UTF-8. Pure.

Time is linear in the size of the text, which the caller must limit; nesting and digits of a number are limited here.
"""

import json
from typing import Any

_MAX_DIGITS = 19


def _number(digits: str) -> int | float:
    """An integer, or a float if it has many digits: int conversion takes more than linear time."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_decode = json.JSONDecoder(strict=False, parse_int=_number).decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class NotJSON(ValueError):
    """The text is not JSON, or is nested too deeply."""


def decode_leniently(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    """The value of a JSON text. Its strings may contain surrogate halves. Raises `NotJSON`."""
    try:
        return _decode(data.decode(errors="replace").removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise NotJSON from None


def compact_json(value: Any) -> str:  # noqa: ANN401 - any JSON
    """The compact JSON text of a decoded value. Raises `NotJSON` for NaN and too deep nesting."""
    try:
        return _encode(value)
    except (ValueError, RecursionError):
        raise NotJSON from None
