"""The kinds of settings: each parses the text of a value. Errors contain no value, because it may be secret."""

from __future__ import annotations

from os import path

from tokenfall.errors import InvalidRequest
from tokenfall.simulator import grammar, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class InvalidText(ValueError):
    """The text is invalid, for a reason that is more specific than `Kind.takes`."""


class Kind:
    """The parser of a setting's text: `read` raises ValueError on an invalid text, `takes` describes valid ones."""

    __slots__ = ("read", "takes")

    def __init__(self, read: Callable[[str], Any], takes: str) -> None:
        self.read = read
        self.takes = takes


def integer(least: int, most: int) -> Kind:
    """Integers from `least` to `most`."""

    def read(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return Kind(read, f"an integer from {least} to {most}")


def _number(text: str) -> float:
    value = float(text) if text.isascii() and text.replace(".", "", 1).isdigit() else -1.0
    if not 0 <= value <= 1e6:
        raise ValueError(text)
    return value


def _duration(text: str) -> float:
    value = values.seconds(text)
    if value == 0:
        raise ValueError(text)
    return value


def _expiry(text: str) -> float:
    for unit, factor in (("h", 3600.0), ("d", 86_400.0)):
        if text.endswith(unit):
            return _duration(text.removesuffix(unit) + "s") * factor
    return _duration(text)


def _store(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        scheme, separator, location = text.partition("://")
        if not separator or scheme not in schemes or any(c.isspace() for c in text):
            raise ValueError(text)
        if scheme == "sqlite" and not path.isdir(path.dirname(sqlite_path(text)) or "."):
            raise ValueError(text)
        if (scheme == "memory") == bool(location):
            raise ValueError(text)
        return text

    return read


def sqlite_path(url: str) -> str:
    """The path in `sqlite:///chat.db` (relative) or `sqlite:////var/lib/chat.db` (absolute). Raises ValueError."""
    name = url.removeprefix("sqlite:///")
    if name == url or not name or name.endswith("/"):
        raise ValueError(url)
    return name


def _size(text: str) -> int:
    for unit, factor in (("KiB", 1024), ("MiB", 1024**2), ("GiB", 1024**3), ("", 1)):
        digits = text.removesuffix(unit)
        if text.endswith(unit) and digits.isascii() and digits.isdigit() and 0 < int(digits) * factor <= 1024**4:
            return int(digits) * factor
    raise ValueError(text)


def one_of(*words: str) -> Kind:
    """One of `words`."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Kind(read, f"one of {', '.join(words)}")


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


def _list(read: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def read_all(text: str) -> tuple[Any, ...]:
        values = tuple(read(part.strip()) for part in text.split(",") if part.strip())
        if not values:
            raise ValueError(text)
        return values

    return read_all


def _api_key(text: str) -> str:
    digest = _key(text).removeprefix("sha256:")
    if text != digest and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
        raise ValueError("a key")
    return text


def _url(text: str) -> str:
    scheme, _, target = text.partition("://")
    has_host = bool(target.partition("/")[0])
    if scheme not in ("http", "https") or not has_host or "@" in target or any(c.isspace() for c in text):
        raise ValueError(text)
    for suffix in ("/chat/completions", "/models"):
        if text.rstrip("/").endswith(suffix):
            raise InvalidText(f"takes the address before {suffix}")
    return text


def _origin(text: str) -> str:
    scheme, separator, host = text.partition("://")
    if text != "*" and (not separator or not scheme or not host or "/" in host):
        raise ValueError(text)
    return text


def _network(text: str) -> str:
    from tokenfall.api.addresses import network  # noqa: PLC0415 - only needed with trusted proxies

    network(text)
    return text


def _key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a key")
    return text


def _simulation(text: str) -> str:
    try:
        grammar.parse(text)
    except InvalidRequest as error:
        raise InvalidText(error.message) from None
    return text


TEXT = Kind(str, "a text")
KEY = Kind(_key, "printable ASCII without spaces")
NUMBER = Kind(_number, "a number from 0 to 1000000")
DURATION = Kind(_duration, "a duration above 0 with a unit, such as 250ms, 10s or 2m")
EXPIRY = Kind(_expiry, "a duration above 0 with a unit, such as 30s, 12h or 30d")
IN_REDIS = "redis://[user:password@]host[:port][/database] or rediss://..."
REDIS = Kind(_store("redis", "rediss"), IN_REDIS)
STORE = Kind(_store("memory", "redis", "rediss"), f"memory:// or {IN_REDIS}")
HISTORY = Kind(
    _store("memory", "sqlite", "redis", "rediss"),
    f"memory://, sqlite:///file or sqlite:////absolute/file in a folder that exists, or {IN_REDIS}",
)
SIZE = Kind(_size, "a size above 0, in bytes or with a unit, such as 16KiB or 1MiB")
BOOLEAN = Kind(_boolean, "true or false")
API_KEYS = Kind(
    _list(_api_key),
    "keys of ASCII characters without spaces, separated by commas; sha256: and 64 hexadecimal digits in place of a key",
)
URL = Kind(_url, "an http or https address without user and password")
ORIGINS = Kind(_list(_origin), "origins separated by commas, such as https://example.com, or *")
NETWORKS = Kind(_list(_network), "networks separated by commas, such as 10.0.0.0/8")
SIMULATION = Kind(
    _simulation, f"the simulator's grammar, key=value pairs separated by commas; keys: {', '.join(grammar.KEYS)}"
)
