"""Maps names and ids of tool calls between clients and an OpenAI-compatible upstream. Pure.

Upstreams accept names of at most 64 letters, digits, underscores and hyphens; Anthropic clients send up to 128
characters. Upstreams generate ids of any characters (`functions.look:0`); Anthropic clients accept only letters,
digits, underscores and hyphens. Names and ids that one side does not accept are rewritten for it. An id is decoded from
itself and a name is looked up among the request's tools, so no state is stored between requests.

Gemini signs its tool calls (`extra_content`) and refuses a call that is sent back without its signature. Clients send
back nothing but ids, names and arguments, so the id that a client gets contains the signature.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec

from tokenfall.messages import Tool

MAX_NAME = 64
_DIGEST = 8
MAX_EXTRA = 16_384
"""Bytes of the `extra` of a call that an id may contain."""

_ENCODED = "call-b64-"
_WITH_EXTRA = "call-ext-"
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_extra = msgspec.json.Decoder(dict[str, Any]).decode


def upstream_name(name: str) -> str:
    """The name for the upstream: unchanged if it accepts it, else shortened and made unique with a digest."""
    if len(name) <= MAX_NAME and _ALLOWED.issuperset(name):
        return name
    readable = "".join(character if character in _ALLOWED else "_" for character in name[: MAX_NAME - _DIGEST - 1])
    return f"{readable}_{sha256(name.encode()).hexdigest()[:_DIGEST]}"


def client_names(tools: Iterable[Tool]) -> dict[str, str]:
    """Client names by shortened upstream name, for the tools whose names were shortened."""
    return {short: tool.name for tool in tools if (short := upstream_name(tool.name)) != tool.name}


def client_id(call_id: str, extra: bytes = b"") -> str:
    """An upstream's call id in a form that every dialect accepts; it contains the call's `extra`, if that is small."""
    if extra and len(extra) <= MAX_EXTRA:
        return _WITH_EXTRA + _encoded(f"{call_id}\n{extra.decode()}")
    return call_id if _ALLOWED.issuperset(call_id) else _ENCODED + _encoded(call_id)


def upstream_id(call_id: str) -> str:
    """The upstream's original id for a call id that a client sends back."""
    if call_id.startswith(_WITH_EXTRA):
        return _with_extra(call_id)[0]
    if not call_id.startswith(_ENCODED):
        return call_id
    decoded = _decoded(call_id.removeprefix(_ENCODED))
    return call_id if decoded is None or client_id(decoded) != call_id else decoded


def extra_of(call_id: str) -> dict[str, Any] | None:
    """The `extra` of the call that a client sends back under this id, None if it has none."""
    extra = _with_extra(call_id)[1] if call_id.startswith(_WITH_EXTRA) else ""
    try:
        return _extra(extra) if extra else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _with_extra(call_id: str) -> tuple[str, str]:
    """The original id and the `extra` in an id; the id itself and "" if `client_id` did not encode it."""
    original, _, extra = (_decoded(call_id.removeprefix(_WITH_EXTRA)) or "").rpartition("\n")
    return (original, extra) if extra and client_id(original, extra.encode()) == call_id else (call_id, "")


def _encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(encoded: str) -> str | None:
    try:
        return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (Error, ValueError):
        return None
