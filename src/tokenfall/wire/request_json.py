"""Checks of a JSON request body that its decoder does not make, because it skips unknown members. Pure.

Refused are an object with two members of one name, a fraction beyond the range of float64, and an integer that Python
does not read: two programs may read different values of them (RFC 8259, sections 4 and 6). All other errors in a body
are left to its decoder.

A body with few values is parsed once more, in C. Others are scanned in slices without parsing: split at its quotes, a
body is an alternation of strings and of the text between them.
"""

import re
from collections.abc import Iterator
from json.scanner import make_scanner
from math import isinf
from typing import NoReturn

from tokenfall.errors import InvalidRequest
from tokenfall.slicing.computation import Sliced

SHORT_BYTES = 16_384
MAX_MARKS = 16_384
"""A longer body is parsed at once if it has no more quotes, brackets, commas and backslashes: in up to 4 ms."""

SLICE_BYTES = 8_192
"""Takes up to two milliseconds, with very many objects."""

MAX_DEPTH = 1_000
"""Limit for nested objects. Decoders refuse documents that are nested deeper; they also count arrays."""

_MAX_NAME = 100
_FLOAT_DIGITS = 309
"""Digits of the largest float64."""
_MAX_DIGITS = 4_300
"""Digits of an integer: Python's limit, `sys.get_int_max_str_digits`."""
_MAX_LONG_INTEGERS = 16
"""Integers beyond float64 in a body: reading and writing one takes up to 0.4 ms."""

MAX_STRINGS = 32_768
MAX_CONTAINERS = 32_768
MAX_VALUES = 100_000
"""Limits for a JSON body: strings including object keys, objects plus arrays, and values of all types."""

_BACKSLASH, _QUOTE = b"\0", b"\1"
"""Replace the escapes of these characters, so that every quote delimits a string. They do not occur in valid JSON."""

_SEPARATORS = frozenset({b":", b",", b": ", b", ", b""})
_BRACES = re.compile(rb"[{}]")
_NUMBER_BYTES = b"0123456789+-.eE"
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_MANY_ZEROS = b"0" * 209
_LARGE_EXPONENT = re.compile(rb"[eE]\+?[0-9]{3}")
"""A number without this and with fewer digits is below 10^(208 + 99)."""
_NUMBER = re.compile(rb"([0-9]++)(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?")


def check_members(body: bytes) -> Sliced[None]:
    """Raises `InvalidRequest` with the name of the member."""
    is_long = len(body) > SHORT_BYTES
    is_checked = (not is_long or _count(b'"{[,\\', body) <= MAX_MARKS) and _passes_parser(body)
    if is_long:
        yield
    if not is_checked:
        yield from _check_counts(body)
        yield from _scan(body)


# Size


def _check_counts(body: bytes) -> Sliced[None]:
    """Raise `InvalidRequest` if a body has more values than can be decoded within milliseconds.

    Does not validate the JSON. Counts delimiters anywhere in the body first (an upper bound of the values), and only if
    that exceeds a limit, those outside strings.
    """
    counts = []
    for characters in (b'"', b"{[", b","):
        counts.append(_count(characters, body))
        yield
    strings, containers, commas = counts
    if strings <= 2 * MAX_STRINGS and containers <= MAX_CONTAINERS and commas < MAX_VALUES:
        return
    without_escapes = body.replace(b"\\\\", b"")
    yield
    without_escapes = without_escapes.replace(b'\\"', b"")
    yield
    if _count(b'"', without_escapes) > 2 * MAX_STRINGS:
        raise InvalidRequest(f"the body has more than {MAX_STRINGS} strings, the keys of objects among them")
    outside = b"".join(without_escapes.split(b'"')[::2])
    if _count(b"{[", outside) > MAX_CONTAINERS:
        raise InvalidRequest(f"the body has more than {MAX_CONTAINERS} objects and arrays")
    if _count(b",", outside) >= MAX_VALUES:
        raise InvalidRequest(f"the body has more than {MAX_VALUES} values")


def _count(characters: bytes, text: bytes) -> int:
    """How many of these characters `text` contains. `bytes.count` takes ten times as long if there are many."""
    return len(text) - len(text.translate(None, characters))


# Bodies with few values


class _Scanner:
    """The options of `json.scanner`."""

    strict = True
    object_hook = None
    memo: dict[str, str] = {}  # noqa: RUF012 - its interface; the scanner clears it

    @staticmethod
    def object_pairs_hook(pairs: list[tuple[str, object]]) -> None:
        if len(dict(pairs)) != len(pairs):
            raise ValueError

    @staticmethod
    def parse_float(text: str) -> None:
        if isinf(float(text)):
            raise ValueError

    parse_int = parse_float  # the rare integers beyond float64 are counted by the scan

    @staticmethod
    def parse_constant(_: str) -> NoReturn:
        raise ValueError


_parse = make_scanner(_Scanner)  # type: ignore[arg-type] # a class with the attributes of a decoder


def _passes_parser(body: bytes) -> bool:
    """Whether the body can be parsed and has nothing that is refused here."""
    try:
        _parse(body.decode(), 0)
    except (ValueError, StopIteration, RecursionError):
        return False
    return True


# Other bodies


def _scan(body: bytes) -> Sliced[None]:
    objects = _Objects()
    unread = b""
    for piece in _pieces(body):
        parts = piece.split(b'"')
        parts[0] = unread + parts[0]
        unread = parts.pop()
        objects.read(parts)
        if not objects.in_string:  # text without strings can be as long as the body: keep only its last number
            read = unread.rstrip(_NUMBER_BYTES)
            unread = unread[len(read) :]
            objects.read_gap(read)
            if len(unread) > SLICE_BYTES:
                raise objects.out_of_range()
        yield
    if not objects.in_string:
        objects.read_gap(unread)


def _pieces(body: bytes) -> Iterator[bytes]:
    """The body in slices, none of which ends within an escape; with the two escapes replaced."""
    start = 0
    while start < len(body):
        piece = body[start : start + SLICE_BYTES]
        if b"\\" in piece and (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = body[start : start + SLICE_BYTES + 1]
        start += len(piece)
        yield piece.replace(b"\\\\", _BACKSLASH).replace(b'\\"', _QUOTE) if b"\\" in piece else piece


class _Objects:
    """The names in each object that is open, and the last string, which is a name if a colon follows."""

    def __init__(self) -> None:
        self.in_string = False
        self._names: set[bytes] | None = None
        """None until the object has a member: an empty set takes 216 bytes."""
        self._name: bytes | None = None
        self._outer: list[set[bytes] | None] = []
        self._string = b""
        self._long_integers = 0

    def read(self, parts: list[bytes]) -> None:
        """Text and strings by turns, as split at the quotes. Raises `InvalidRequest`."""
        for part in parts:
            if self.in_string:
                self._string = part
            elif part != b",":
                self.read_gap(part)
            self.in_string = not self.in_string

    def read_gap(self, text: bytes) -> None:
        """Text outside strings. Raises `InvalidRequest`."""
        if text.lstrip()[:1] == b":":
            self._add_name()
        if text in _SEPARATORS:
            return
        if _LARGE_EXPONENT.search(text) or _MANY_ZEROS in text.translate(_ZEROS):
            self._check_numbers(text)
        for brace in _BRACES.findall(text):
            if brace == b"{":
                if len(self._outer) == MAX_DEPTH:
                    raise InvalidRequest("the body is nested too deeply")
                self._outer.append(self._names)
                self._names = None
            elif self._outer:
                self._names = self._outer.pop()

    def _add_name(self) -> None:
        self._name = name = _canonical(self._string)
        if self._names is None:
            self._names = {name}
            return
        if name in self._names:
            shown = _shown(name)
            raise InvalidRequest(f"{shown}: an object has this member twice", param=shown)
        self._names.add(name)

    def _check_numbers(self, text: bytes) -> None:
        for number in _NUMBER.finditer(text):
            if self._is_out_of_range(number[0], integer=number[0] == number[1]):
                raise self.out_of_range()

    def out_of_range(self) -> InvalidRequest:
        """The error for a number of the last member."""
        shown = None if self._name is None else _shown(self._name)
        return InvalidRequest(f"{shown or 'the body'}: a number is out of range", param=shown)

    def _is_out_of_range(self, number: bytes, *, integer: bool) -> bool:
        if not integer:
            return isinf(float(number))
        if len(number) < _FLOAT_DIGITS:
            return False
        self._long_integers += 1
        return len(number) > _MAX_DIGITS or self._long_integers > _MAX_LONG_INTEGERS


def _canonical(string: bytes) -> bytes:
    """The UTF-8 of a JSON string; unchanged if it is invalid."""
    if b"\\" not in string and _BACKSLASH not in string and _QUOTE not in string:
        return string
    escaped = string.replace(_QUOTE, b'\\"').replace(_BACKSLASH, b"\\\\")
    try:
        return str(_parse(f'"{escaped.decode()}"', 0)[0]).encode()
    except (ValueError, StopIteration):
        return string


def _shown(name: bytes) -> str:
    """A name as it appears in a message: short, printable."""
    text = name.decode(errors="replace")[:_MAX_NAME] or '""'
    return text if text.isprintable() else ascii(text)[1:-1]
