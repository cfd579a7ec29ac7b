"""Redacts the upstream's API key in a provider's error messages. Pure.

For local servers a key is often an ordinary word such as `test` or `key`. Such a key is redacted only where the text
introduces it as a key, so that ordinary words of the message stay readable.
"""

REPLACED_BY = "[key]"

MIN_KEY_LENGTH = 8
"""A shorter key may be a word; so may one of letters only that is shorter than `MIN_ALPHABETIC_KEY_LENGTH`."""

MIN_ALPHABETIC_KEY_LENGTH = 20

_CONTEXT = 40
"""Number of characters before a key that are examined."""

_QUOTES = "\"'`*<(["
_INTRODUCES = ("key", "token", "authorization", "provided", "credential", "credentials", "bearer", "secret")


def without_key(text: str, key: str | None) -> str:
    """`text` with the key replaced by `[key]`."""
    if not key:
        return text
    if not _may_be_a_word(key):
        return text.replace(key, REPLACED_BY)
    parts, begin, at = [], 0, text.find(key)
    while at >= 0:
        end = at + len(key)
        if not text[end : end + 1].isalnum() and _introduced(text[max(0, at - _CONTEXT) : at]):
            parts += [text[begin:at], REPLACED_BY]
            begin = end
        at = text.find(key, end)
    return "".join((*parts, text[begin:]))


def _may_be_a_word(key: str) -> bool:
    return len(key) < MIN_KEY_LENGTH or (len(key) < MIN_ALPHABETIC_KEY_LENGTH and key.isalpha())


def _introduced(prefix: str) -> bool:
    """Whether the text before a key announces one: `key provided: `, `api_key="`, `Bearer `."""
    unquoted = prefix.rstrip().rstrip(_QUOTES).rstrip()
    words = unquoted.rstrip(":=").rstrip().rstrip(_QUOTES + "]").lower()
    if words.endswith("bearer"):
        return True
    marked = prefix.endswith(tuple(_QUOTES)) or unquoted.endswith((":", "="))
    return marked and words.endswith(_INTRODUCES)
