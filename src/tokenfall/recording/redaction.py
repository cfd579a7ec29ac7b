"""Takes secrets out of what is recorded. Pure.

A secret is found by its value, where it is a key in use; by its field's name; or by the shape that providers give
their keys. What is taken out of an answer leaves as many asterisks, so that the answer keeps its cuts.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

REMOVED = "*********"
SHORTEST_KEY = 8
"""A shorter value (`test`, `ollama`) is no secret, and to look for it would spoil the words of answers."""

REQUEST_HEADERS = frozenset({"accept", "content-type", "anthropic-version", "anthropic-beta", "openai-beta"})
ANSWER_HEADERS = frozenset(
    {
        "content-type",
        "retry-after",
        "x-request-id",
        "request-id",
        "openai-processing-ms",
        "openai-version",
        "x-groq-region",
        "x-should-retry",
    }
)
LIMIT_HEADERS = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit")
KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key", "x-auth-token")

MAX_VALUES = 16
"""Keys of one message that are looked for: the longest of them."""

MAX_LEARNED = 1_024
"""Keys that are looked for at all; the one that was learned first goes."""

MAX_KEY_BYTES = 16_384
"""Of a key in use: as long as a head."""

SHAPE_BYTES = 1_024
"""By so much of a key its shape is known."""

MAX_NAME = 128
"""Characters of a field's name that are looked at, from its end."""

_NAMES = tuple(
    name + plural
    for name in (
        "apikey", "authorization", "accesstoken", "refreshtoken", "authtoken", "sessiontoken", "clientsecret",
        "secretkey", "privatekey", "password", "passwd",
    )
    for plural in ("", "s")
)  # fmt: skip
"""How names of secrets end, without their hyphens and underscores."""

_SECRET_PARAMETERS = ("key", "token", "secret")
_SIGNATURES = ("sig", "signature")

# Each pattern takes linear time: it begins with characters that no part of it before its end can be, and no repetition
# gives back what it took.
_FIELD = re.compile(rb'"\s*+:\s*+(\\*+)"')
"""From the end of a field's name to the beginning of its value, with the backslashes of a document within a text."""

_VALUE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NESTED_VALUE = re.compile(rb'[^"\\]*+')
_SHAPE = re.compile(
    rb"(?<![A-Za-z0-9])((?:sk|pk|rk)-[A-Za-z0-9_-]{16,}+|(?:gsk|hf|r8|ghp|github_pat)_[A-Za-z0-9_]{16,}+"
    rb"|xai-[A-Za-z0-9]{16,}+|AIza[\w-]{30,}+|(?<=Bearer )[\w.~+/-]{8,}+=*+)"
)


class Redactor:
    """Knows every key that it was told: `secrets` for ever, and of what it learns the newest `MAX_LEARNED`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = [secret for secret in secrets if len(secret) >= SHORTEST_KEY]
        self._learned: dict[str, None] = {}
        self._values = _written(self._secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Take out these too, from now on."""
        fit = sorted({secret for secret in secrets if len(secret) >= SHORTEST_KEY}, key=_by_length)[-MAX_VALUES:]
        new = [secret for secret in fit if secret not in self._learned]
        if not new:
            return
        self._learned |= dict.fromkeys(new)
        for oldest in list(self._learned)[:-MAX_LEARNED]:
            del self._learned[oldest]
        self._values = _written([*self._secrets, *self._learned])

    def masked(self, content: bytes) -> bytes:
        """As long as before, with asterisks for what is secret."""
        return _SHAPE.sub(_mask, _without_fields(self._without_values(content)))

    def beginning(self, content: bytes, most: int) -> bytes:
        """The first `most` bytes of `masked`, without a look at what is far behind them."""
        near = self._without_values(content[: most + MAX_KEY_BYTES])[: most + SHAPE_BYTES]
        return self.masked(near)[:most]

    def _without_values(self, content: bytes) -> bytes:
        for value in self._values:
            content = content.replace(value, b"*" * len(value))
        return content

    def text(self, text: str) -> str:
        """`masked` for a header's value or a path."""
        return self.masked(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")

    def body(self, content: bytes) -> bytes | None:
        """A request's JSON without secrets, None when it is no JSON."""
        document = cleaned(content)
        return None if document is None else self.masked(msgspec.json.encode(document))

    def headers(self, headers: Mapping[str, str], allowed: frozenset[str]) -> dict[str, str]:
        """Those that matter, by lower-case names."""
        named = {name.lower(): value for name, value in headers.items()}
        return {
            name: self.text(value)
            for name, value in sorted(named.items())
            if name in allowed or (allowed is ANSWER_HEADERS and name.startswith(LIMIT_HEADERS))
        }

    def target(self, target: str) -> str:
        """A path with its query."""
        path, mark, query = target.partition("?")
        return self.text(path + mark + "&".join(map(_without_value, query.split("&"))))


def keys_in(headers: Mapping[str, str]) -> list[str]:
    """The values of a message's headers that must not be kept, wherever they come again."""
    found = []
    for name, value in headers.items():
        lower = name.lower()
        if lower in ("authorization", "proxy-authorization"):
            found += [value, value.partition(" ")[2].strip()]
        elif lower in KEY_HEADERS:
            found.append(value)
        elif lower == "cookie":
            found += [part.partition("=")[2] for part in value.split(";")]
        elif lower == "set-cookie":
            found.append(value.partition(";")[0].partition("=")[2])
    return found


def cleaned(content: bytes) -> Any | None:  # noqa: ANN401 - any JSON
    """A JSON document without the values of fields that are named like secrets; None for what is no JSON."""
    try:
        return _cleaned(msgspec.json.decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _cleaned(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: REMOVED if _is_secret(name) and not isinstance(each, dict | bool | None) else _cleaned(each)
        for name, each in value.items()
    }


def _written(secrets: Iterable[str]) -> list[bytes]:
    """The secrets as they may stand in a message, the longest first, so that none leaves the rest of another."""
    values = set()
    for secret in secrets:
        as_json = msgspec.json.encode(secret)[1:-1]
        values |= {secret.encode("utf-8", "surrogateescape"), as_json, as_json.replace(b"/", rb"\/")}
    return sorted(values, key=len, reverse=True)


def _by_length(secret: str) -> tuple[int, str]:
    return len(secret), secret


def _is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return name[-MAX_NAME:].lower().replace("-", "").replace("_", "").endswith(_NAMES)


def _without_fields(content: bytes) -> bytes:
    """`content` with asterisks for the values of fields that are named like secrets, also for one that is cut off."""
    made, begin, at = [], 0, 0
    while (found := _FIELD.search(content, at)) is not None:
        name = content[max(0, found.start() - MAX_NAME) : found.start()].rstrip(b"\\").rpartition(b'"')[2]
        at = found.end() - 1
        if _is_secret(name.decode("latin-1")):
            value = (_NESTED_VALUE if found[1] else _VALUE).match(content, found.end())
            at = found.end() if value is None else value.end()
            made += [content[begin : found.end()], b"*" * (at - found.end())]
            begin = at
    return b"".join((*made, content[begin:]))


def _without_value(pair: str) -> str:
    """A query's pair, without the value of a parameter that is named like a secret."""
    name, equals, _ = pair.partition("=")
    lower = name.lower()
    return f"{name}={REMOVED}" if equals and (lower.endswith(_SECRET_PARAMETERS) or lower in _SIGNATURES) else pair


def _mask(found: re.Match[bytes]) -> bytes:
    return b"*" * len(found[0])
