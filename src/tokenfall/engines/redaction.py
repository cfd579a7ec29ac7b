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

_NAMES = (
    r"[\w-]*(?:api[_-]?key|authorization|access[_-]?token|refresh[_-]?token|auth[_-]?token|session[_-]?token"
    r"|client[_-]?secret|secret[_-]?key|private[_-]?key|password|passwd)s?"
)
_NAME = re.compile(_NAMES, re.IGNORECASE)
_FIELD = re.compile(rf'"{_NAMES}"\s*:\s*"((?:[^"\\]|\\.)+)"'.encode(), re.IGNORECASE)
_NESTED_FIELD = re.compile(rf'\\+"{_NAMES}\\+"\s*:\s*\\+"([^"\\]+)'.encode(), re.IGNORECASE)
_SHAPE = re.compile(
    rb"(?<![A-Za-z0-9])((?:sk|pk|rk)-[A-Za-z0-9_-]{16,}|(?:gsk|hf|r8|ghp|github_pat)_[A-Za-z0-9_]{16,}"
    rb"|xai-[A-Za-z0-9]{16,}|AIza[\w-]{30,}|(?<=Bearer )[\w.~+/-]{8,}=*)"
)
_QUERY = re.compile(r"((?:^|&)(?:[\w-]*key|[\w-]*token|[\w-]*secret|sig|signature)=)[^&]*", re.IGNORECASE)


class Redactor:
    """Knows every key that it was told."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._values: set[bytes] = set()
        self._any: re.Pattern[bytes] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Take out these too, from now on."""
        for secret in secrets:
            if len(secret) >= SHORTEST_KEY:
                as_json = msgspec.json.encode(secret)[1:-1]
                self._values |= {secret.encode(), as_json, as_json.replace(b"/", rb"\/")}
        if self._values:  # the longest first, so that none leaves the rest of another
            self._any = re.compile(b"|".join(map(re.escape, sorted(self._values, key=len, reverse=True))))

    def masked(self, content: bytes) -> bytes:
        """As long as before, with asterisks for what is secret."""
        if self._any is not None:
            content = self._any.sub(lambda found: b"*" * len(found[0]), content)
        for pattern in (_FIELD, _NESTED_FIELD, _SHAPE):
            content = pattern.sub(_mask_group, content)
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
        return self.text(path + mark + _QUERY.sub(rf"\1{REMOVED}", query))


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
        name: REMOVED if _NAME.fullmatch(name) and not isinstance(each, dict | bool | None) else _cleaned(each)
        for name, each in value.items()
    }


def _mask_group(found: re.Match[bytes]) -> bytes:
    whole, start = found[0], found.start(1) - found.start()
    return whole[:start] + b"*" * len(found[1]) + whole[start + len(found[1]) :]
