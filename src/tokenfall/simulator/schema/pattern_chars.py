r"""Character sets of patterns: ranges, escaped classes, and the preferred members of a set. Pure.

Source: ECMA-262, "CharacterClassEscape". Outside ASCII, regular expression engines differ (`\d`, `\w`, `\p{L}`), so
members on which all engines agree are preferred.
"""

from functools import lru_cache
from itertools import islice
from string import ascii_lowercase, ascii_uppercase, digits, punctuation

from msgspec import Struct

Range = tuple[int, int]

MAX_CODE_POINT = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


class Chars(Struct, frozen=True):
    """A set of characters as ranges of code points, ascending and not adjacent."""

    ranges: tuple[Range, ...]

    def has(self, char: str) -> bool:
        """Whether `char` is a member."""
        code = ord(char)
        return any(first <= code <= last for first, last in self.ranges)


class Readable(Struct, frozen=True):
    """Preferred members of a set: `members` in order of preference; texts are written by cycling through `cycle`.

    `usual` is the length of a text if its length is free.
    """

    members: str
    cycle: str
    usual: int


def chars_of(ranges: list[Range]) -> Chars:
    """The set of all `ranges`, which may overlap."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return Chars(tuple(merged))


def complement(chars: Chars) -> Chars:
    """All other characters."""
    ranges, start = [], 0
    for first, last in chars.ranges:
        if first > start:
            ranges.append((start, first - 1))
        start = last + 1
    if start <= MAX_CODE_POINT:
        ranges.append((start, MAX_CODE_POINT))
    return Chars(tuple(ranges))


@lru_cache(1_024)
def one_char(char: str) -> Chars:
    """The set of a single character. Always the same object, because results per node are cached by identity."""
    return Chars(((ord(char), ord(char)),))


def _set(text: str) -> Chars:
    return chars_of([(ord(char), ord(char)) for char in text])


_DIGITS = _set(digits)
_LOWER, _UPPER = _set(ascii_lowercase), _set(ascii_uppercase)
_LETTERS = _set(ascii_lowercase + ascii_uppercase)
_WORD = _set(ascii_lowercase + ascii_uppercase + digits + "_")
_SPACE = _set("\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B))))
_ASCII_SYMBOLS = "$+<=>^`|~"

ANY = Chars(((0, MAX_CODE_POINT),))
DOT = complement(_set("\n\r\u2028\u2029"))
ESCAPED_CLASSES = {
    "d": _DIGITS, "D": complement(_DIGITS), "w": _WORD, "W": complement(_WORD), "s": _SPACE, "S": complement(_SPACE),
}  # fmt: skip
PROPERTIES = {
    "L": _LETTERS, "Letter": _LETTERS, "Alphabetic": _LETTERS, "Alpha": _LETTERS, "ASCII": Chars(((0, 127),)),
    "Lu": _UPPER, "Uppercase_Letter": _UPPER, "Uppercase": _UPPER,
    "Ll": _LOWER, "Lowercase_Letter": _LOWER, "Lowercase": _LOWER,
    "N": _DIGITS, "Number": _DIGITS, "Nd": _DIGITS, "Decimal_Number": _DIGITS,
    "P": _set("".join(set(punctuation) - set(_ASCII_SYMBOLS))),
    "Punctuation": _set("".join(set(punctuation) - set(_ASCII_SYMBOLS))),
    "S": _set(_ASCII_SYMBOLS), "Symbol": _set(_ASCII_SYMBOLS), "Z": _set(" "), "Zs": _set(" "), "Separator": _set(" "),
}  # fmt: skip
"""The ASCII members of `\\p{…}`; others are not generated."""

_CYCLE = "tokenfall"
_ASCII = ascii_lowercase + ascii_uppercase + "1234567890" + "-_. " + punctuation
_BEYOND_ASCII = "éßñжλ中あ한😀"


def ascii_only(chars: Chars) -> Chars:
    """The ASCII members of `chars`."""
    return Chars(tuple((first, min(last, 127)) for first, last in chars.ranges if first < 128))


@lru_cache(256)
def readable(chars: Chars) -> Readable:
    """The preferred members of `chars`. `members` is empty if the set has only surrogates."""
    ascii_members = {chr(code) for first, last in ascii_only(chars).ranges for code in range(first, last + 1)}
    members = "".join(dict.fromkeys(char for char in _ASCII if char in ascii_members))
    members = members or "".join(filter(chars.has, _BEYOND_ASCII)) or _first_members(chars)
    for word in (_CYCLE, _CYCLE.upper()):
        if set(word) <= set(members):
            return Readable(members, word, 5)
    for kind in ("1234567890", ascii_lowercase, ascii_uppercase):
        cycle = "".join(char for char in kind if char in members)
        if cycle:
            return Readable(members, cycle, 3 if len(cycle) > 1 else 0)
    return Readable(members, members[:1], 0)


def _first_members(chars: Chars) -> str:
    """The first members of a set that has none of the preferred ones, without surrogates, which JSON cannot encode."""
    low, high = _SURROGATES
    codes = (
        code
        for first, last in chars.ranges
        for part in (range(first, min(last + 1, low)), range(max(first, high + 1), last + 1))
        for code in part
    )
    return "".join(map(chr, islice(codes, 64)))
