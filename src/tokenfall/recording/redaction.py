"""Removes secrets from recorded data. Pure. Also used by the request log.

A secret is recognized by its value (a key in use), by the name of its field, or by a provider's key format. In a
response each byte of a secret becomes an asterisk, so that the chunk boundaries stay valid.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from tokenfall.recording.windows import WINDOW_BYTES, end_of_repetition, mask, mask_text, search

MASK = "*********"
MIN_KEY_LENGTH = 8
"""Shorter values (`test`, `ollama`) are not treated as secrets: masking them would damage ordinary text."""

REQUEST_HEADERS = frozenset({"accept", "content-type", "anthropic-version", "anthropic-beta", "openai-beta"})
RESPONSE_HEADERS = frozenset(
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
"""Maximum number of keys learned from one message: the longest ones."""

MAX_LEARNED = 1_024
"""Maximum number of learned keys in total; the oldest are dropped first."""

MAX_KEY_BYTES = 16_384
"""Longest key in use: the limit for a request head."""

MAX_LEVELS = 8
"""Levels of a large JSON document that are decoded one by one; each is scanned once a level."""

KEY_FORMAT_BYTES = 1_024
"""Bytes of a key that suffice to recognize its format."""

MIN_FORMAT_BYTES = 64
"""At least the length of the shortest key of each format."""

MAX_NAME_LENGTH = 128
"""Characters at the end of a field's name that are compared."""

_NAMES = tuple(
    name + plural
    for name in (
        "apikey", "authorization", "accesstoken", "refreshtoken", "authtoken", "sessiontoken", "clientsecret",
        "secretkey", "privatekey", "password", "passwd",
    )
    for plural in ("", "s")
)  # fmt: skip
"""Suffixes of the names of secret fields, without hyphens and underscores."""

_SECRET_PARAMETERS = ("key", "token", "secret")
_SIGNATURES = ("sig", "signature")

# Each pattern takes linear time: its first characters cannot occur in the rest of it before its end, and all
# repetitions are possessive.
_FIELD = re.compile(rb'"\s*+:\s*+(\\*+)"')
"""From the end of a field's name to the start of its value; group 1: backslashes of a JSON document in a string."""

_VALUE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NESTED_VALUE = re.compile(rb'[^"\\]*+')
_KEY_FORMAT = re.compile(
    rb"(?<![A-Za-z0-9])((?:sk|pk|rk)-[A-Za-z0-9_-]{16,}+|(?:gsk|hf|r8|ghp|github_pat)_[A-Za-z0-9_]{16,}+"
    rb"|xai-[A-Za-z0-9]{16,}+|AIza[\w-]{30,}+|(?<=Bearer )[\w.~+/-]{8,}+=*+)"
)


class Redactor:
    """Masks secrets: the given `secrets` always, and the newest `MAX_LEARNED` learned ones."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = [secret for secret in secrets if len(secret) >= MIN_KEY_LENGTH]
        self._learned: dict[str, None] = {}
        self._values = _encoded_forms(self._secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Also mask these secrets from now on."""
        fit = sorted({secret for secret in secrets if len(secret) >= MIN_KEY_LENGTH}, key=_by_length)[-MAX_VALUES:]
        new = [secret for secret in fit if secret not in self._learned]
        if not new:
            return
        self._learned |= dict.fromkeys(new)
        for oldest in list(self._learned)[:-MAX_LEARNED]:
            del self._learned[oldest]
        self._values = _encoded_forms([*self._secrets, *self._learned])

    def masked(self, content: bytes | bytearray) -> bytes:
        """`content` with every byte of a secret replaced by an asterisk."""
        buffer = bytearray(content)
        for value in self._values:
            mask_text(value, buffer)
        _mask_fields(buffer)
        _mask_key_formats(buffer)
        return bytes(buffer)

    def beginning(self, content: bytes, most: int) -> bytes:
        """The first `most` bytes of `masked(content)`, without scanning all of a large content."""
        near = self._without_values(content[: most + MAX_KEY_BYTES])[: most + KEY_FORMAT_BYTES]
        return self.masked(near)[:most]

    def _without_values(self, content: bytes) -> bytes:
        for value in self._values:
            content = content.replace(value, b"*" * len(value))
        return content

    def text(self, text: str) -> str:
        """`masked` for a header value or a path."""
        return self.masked(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")

    def body(self, content: bytes) -> bytes | None:
        """A request body without secrets, None if it is not JSON."""
        text = bytearray()
        try:
            for piece in cleaned_pieces(content):
                text += piece
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return self.masked(text)

    def copy(self) -> "Redactor":
        """A redactor that masks what this one masks now; it does not mask what this one learns later."""
        copied = Redactor()
        copied._values = self._values
        return copied

    def headers(self, headers: Mapping[str, str], allowed: frozenset[str]) -> dict[str, str]:
        """The allowed headers, redacted, by lower-case names."""
        named = {name.lower(): value for name, value in headers.items()}
        return {
            name: self.text(value)
            for name, value in sorted(named.items())
            if name in allowed or (allowed is RESPONSE_HEADERS and name.startswith(LIMIT_HEADERS))
        }

    def target(self, target: str) -> str:
        """A path with its query, redacted."""
        path, mark, query = target.partition("?")
        return self.text(path + mark + "&".join(map(_without_value, query.split("&"))))


def keys_in(headers: Mapping[str, str]) -> list[str]:
    """The secrets in a message's headers, to be masked wherever they occur."""
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
    """A decoded JSON document without the values of secret fields; None if it is not JSON."""
    try:
        return _cleaned(msgspec.json.decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def cleaned_pieces(content: bytes | msgspec.Raw, levels: int = MAX_LEVELS) -> Iterator[bytes]:
    """As `cleaned`, encoded, in pieces. Raises an error if it is not JSON.

    Members and elements of more than `WINDOW_BYTES` are split again, in `levels` levels, because decoding them would
    hold the interpreter.
    """
    start = bytes(memoryview(content)[:WINDOW_BYTES]).lstrip()[:1]
    if len(memoryview(content)) <= WINDOW_BYTES or not levels or start not in (b"{", b"["):
        yield msgspec.json.encode(_cleaned(msgspec.json.decode(content)))
        return
    separator = start
    if start == b"[":
        for element in _elements.decode(content):
            yield separator
            yield from cleaned_pieces(element, levels - 1)
            separator = b","
    else:
        for name, member in _members.decode(content).items():
            yield separator + msgspec.json.encode(name) + b":"
            is_masked = _is_secret(name) and bytes(memoryview(member)[:1]) not in (b"{", b"t", b"f", b"n")
            yield from (msgspec.json.encode(MASK),) if is_masked else cleaned_pieces(member, levels - 1)
            separator = b","
    yield b"}" if start == b"{" else b"]"


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])


def _cleaned(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: MASK if _is_secret(name) and not isinstance(each, dict | bool | None) else _cleaned(each)
        for name, each in value.items()
    }


def _encoded_forms(secrets: Iterable[str]) -> list[bytes]:
    """All encodings of the secrets in a message, longest first, so that no part of a longer one remains."""
    values = set()
    for secret in secrets:
        as_json = msgspec.json.encode(secret)[1:-1]
        values |= {secret.encode("utf-8", "surrogateescape"), as_json, as_json.replace(b"/", rb"\/")}
    return sorted(values, key=len, reverse=True)


def _by_length(secret: str) -> tuple[int, str]:
    return len(secret), secret


def _is_secret(name: str) -> bool:
    """Whether a field of this name contains a secret."""
    return name[-MAX_NAME_LENGTH:].lower().replace("-", "").replace("_", "").endswith(_NAMES)


def _mask_fields(content: bytearray) -> None:
    """Mask the values of secret fields, including one that is truncated."""
    at = 0
    while (found := search(_FIELD, content, at=at, first_cut=_last_quote)) is not None:
        before = bytes(content[max(0, found.start() - MAX_NAME_LENGTH) : found.start()])
        name = before.rstrip(b"\\").rpartition(b'"')[2]
        at = found.end() - 1
        if _is_secret(name.decode("latin-1")):
            at = end_of_repetition(_NESTED_VALUE if found[1] else _VALUE, content, at=found.end())
            mask(content, start=found.end(), end=at)


def _last_quote(content: bytearray, window: range) -> int:
    """A match of `_FIELD` begins with its only quote but the last."""
    at = content.rfind(b'"', window.start, window.stop)
    return window.stop if at < 0 else at


def _mask_key_formats(content: bytearray) -> None:
    at = 0
    while (found := search(_KEY_FORMAT, content, at=at, first_cut=_possible_key)) is not None:
        at = found.end()
        mask(content, start=found.start(), end=at)


def _possible_key(_content: bytearray, window: range) -> int:
    """Keys of all formats are recognized within `MIN_FORMAT_BYTES`."""
    return window.stop - MIN_FORMAT_BYTES


def _without_value(pair: str) -> str:
    """A query pair; the value of a secret parameter is removed."""
    name, equals, _ = pair.partition("=")
    lower = name.lower()
    return f"{name}={MASK}" if equals and (lower.endswith(_SECRET_PARAMETERS) or lower in _SIGNATURES) else pair
