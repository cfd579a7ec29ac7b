"""Names and ids of tool calls on both sides of a relay. Pure.

OpenAI-compatible upstreams take names of at most 64 letters, digits, underscores and hyphens; Anthropic's clients send
up to 128 characters. Upstreams make ids of any characters (`functions.look:0`); Anthropic's clients take letters,
digits, underscores and hyphens. What one side forbids is written in another way there, and read back on the way back:
nothing has to be remembered between requests.
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
    """The name of a tool for the upstream: shortened, and told apart by a digest, where that is refused."""
    if len(name) <= MAX_NAME and _ALLOWED.issuperset(name):
        return name
    readable = "".join(character if character in _ALLOWED else "_" for character in name[: MAX_NAME - _DIGEST - 1])
    return f"{readable}_{sha256(name.encode()).hexdigest()[:_DIGEST]}"


def names_of(tools: Iterable[Tool]) -> dict[str, str]:
    """The callers' names of tools whose names the upstream knows shortened, by the latter."""
    return {short: tool.name for tool in tools if (short := upstream_name(tool.name)) != tool.name}


def client_id(call_id: str) -> str:
    """The id of an upstream's call for a client of any dialect."""
    if _ALLOWED.issuperset(call_id):
        return call_id
    return _ENCODED + urlsafe_b64encode(call_id.encode()).decode().rstrip("=")


def upstream_id(call_id: str) -> str:
    """The id that the upstream gave a call which a client sends back."""
    if not call_id.startswith(_ENCODED):
        return call_id
    encoded = call_id.removeprefix(_ENCODED)
    try:
        decoded = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (Error, ValueError):
        return call_id
    return decoded if client_id(decoded) == call_id else call_id
