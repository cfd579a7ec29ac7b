"""Maps names and ids of tool calls between clients and an OpenAI-compatible upstream. Pure.

Upstreams accept names of at most 64 letters, digits, underscores and hyphens; Anthropic clients send up to 128
characters. Upstreams generate ids of any characters (`functions.look:0`); Anthropic clients accept only letters,
digits, underscores and hyphens. Names and ids that one side does not accept are rewritten for it. An id is decoded from
itself and a name is looked up among the request's tools, so no state is stored between requests.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Iterable
from hashlib import sha256

from tokenfall.messages import Tool

MAX_NAME = 64
_DIGEST = 8
_ENCODED = "call-b64-"
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def upstream_name(name: str) -> str:
    """The name for the upstream: unchanged if it accepts it, else shortened and made unique with a digest."""
    if len(name) <= MAX_NAME and _ALLOWED.issuperset(name):
        return name
    readable = "".join(character if character in _ALLOWED else "_" for character in name[: MAX_NAME - _DIGEST - 1])
    return f"{readable}_{sha256(name.encode()).hexdigest()[:_DIGEST]}"


def names_of(tools: Iterable[Tool]) -> dict[str, str]:
    """Client names by shortened upstream name, for the tools whose names were shortened."""
    return {short: tool.name for tool in tools if (short := upstream_name(tool.name)) != tool.name}


def client_id(call_id: str) -> str:
    """An upstream's call id in a form that every dialect accepts."""
    if _ALLOWED.issuperset(call_id):
        return call_id
    return _ENCODED + urlsafe_b64encode(call_id.encode()).decode().rstrip("=")


def upstream_id(call_id: str) -> str:
    """The upstream's original id for a call id that a client sends back."""
    if not call_id.startswith(_ENCODED):
        return call_id
    encoded = call_id.removeprefix(_ENCODED)
    try:
        decoded = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (Error, ValueError):
        return call_id
    return decoded if client_id(decoded) == call_id else call_id
