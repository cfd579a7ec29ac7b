"""Takes the upstream's key out of what a provider says. Pure.

A key such as `test` or `key`, which local servers are given, is an ordinary word: it is taken out only where a text
introduces it as a key, or it would blank the words of errors.
"""

REPLACED_BY = "[key]"

SHORTEST = 8
"""A shorter key, or one of letters alone below `LONGEST_WORD`, may be a word."""

LONGEST_WORD = 20

_CONTEXT = 40
"""So many characters before a key are looked at."""

_QUOTES = "\"'`*<(["
_INTRODUCES = ("key", "token", "authorization", "provided", "credential", "credentials", "bearer", "secret")


def without_key(text: str, key: str | None) -> str:
    """`text` with `[key]` in place of the key."""
    if not key:
        return text
    if not _may_be_a_word(key):
        return text.replace(key, REPLACED_BY)
    made, begin, at = [], 0, text.find(key)
    while at >= 0:
        end = at + len(key)
        if not text[end : end + 1].isalnum() and _introduced(text[max(0, at - _CONTEXT) : at]):
            made += [text[begin:at], REPLACED_BY]
            begin = end
        at = text.find(key, end)
    return "".join((*made, text[begin:]))


def _may_be_a_word(key: str) -> bool:
    return len(key) < SHORTEST or (len(key) < LONGEST_WORD and key.isalpha())


def _introduced(before: str) -> bool:
    """Whether what stands before a key says that one follows: `key provided: `, `api_key="`, `Bearer `."""
    unquoted = before.rstrip().rstrip(_QUOTES).rstrip()
    words = unquoted.rstrip(":=").rstrip().rstrip(_QUOTES + "]").lower()
    if words.endswith("bearer"):
        return True
    marked = before.endswith(tuple(_QUOTES)) or unquoted.endswith((":", "="))
    return marked and words.endswith(_INTRODUCES)
