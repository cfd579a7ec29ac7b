"""Encodes flat JSON objects without the `json` package or msgspec, which cost megabytes. Pure."""

try:
    from _json import encode_basestring as _quoted  # the C accelerator only: the `json` package imports `re`
except ImportError:  # an interpreter without the accelerator
    from json.encoder import encode_basestring as _quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def quoted(text: str) -> str:
    """A JSON string. A lone surrogate is written as its escape."""
    return _quoted(text.encode(errors="backslashreplace").decode()) if not text.isascii() else _quoted(text)


def flat_object(fields: "Mapping[str, str | int | bool]") -> bytes:
    """A JSON object of strings, integers and booleans, without white space."""
    return ("{" + ",".join(f"{quoted(name)}:{_value(value)}" for name, value in fields.items()) + "}").encode()


def _value(value: str | int | bool) -> str:
    if isinstance(value, str):
        return quoted(value)
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
