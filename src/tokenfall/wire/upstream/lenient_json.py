"""JSON as providers send it: lone surrogates, NaN, raw control characters and bytes that are not UTF-8 pass. Pure.

Linear in the size of the text, which its caller bounds; nesting and the digits of a number are bounded here.
"""

import json
from typing import Any

_MOST_DIGITS = 19


def _number(digits: str) -> int | float:
    """An integer; converting one of thousands of digits takes time that is not linear."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


_decode = json.JSONDecoder(strict=False, parse_int=_number).decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class NotJSON(ValueError):
    """The text is not JSON, or is nested too deeply."""


def decode_leniently(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    """The value of a JSON text. Halves of surrogate pairs stay in its strings. Raises `NotJSON`."""
    try:
        return _decode(data.decode(errors="replace").removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise NotJSON from None


def compact_json(value: Any) -> str:  # noqa: ANN401 - any JSON
    """The JSON text of a decoded value. Raises `NotJSON` for NaN and what is nested too deeply."""
    try:
        return _encode(value)
    except (ValueError, RecursionError):
        raise NotJSON from None
