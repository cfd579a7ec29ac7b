"""Searches of large content in windows. Pure.

A search in C holds the interpreter until it returns, also in a thread. So each search here examines one window, and the
event loop runs between two of them. The results are those of one search of the whole content.
"""

import re
from collections.abc import Callable

WINDOW_BYTES = 65_536
"""Takes up to two milliseconds. At least 2, so that an escape fits into a window."""

FirstCut = Callable[[bytearray, range], int]
"""The first position of a window at which a match may begin that the window's end cuts; its end if there is none."""


def search(pattern: re.Pattern[bytes], content: bytearray, *, at: int, first_cut: FirstCut) -> re.Match[bytes] | None:
    """As `pattern.search(content, at)`. A window grows while a match of `pattern` fills it."""
    size, span = len(content), WINDOW_BYTES
    while True:
        end = min(size, at + span)
        found = pattern.search(content, at, end)
        if end == size or (found is not None and found.end() < end):
            return found
        start = max(at, first_cut(content, range(at, end)))
        start = start if found is None else min(start, found.start())
        span = 2 * span if start == at else WINDOW_BYTES
        at = start


def end_of_repetition(pattern: re.Pattern[bytes], content: bytearray, *, at: int) -> int:
    """The end of `pattern.match(content, at)`; `pattern` is a repetition of one or two bytes."""
    while True:
        end = min(len(content), at + WINDOW_BYTES)
        found = pattern.match(content, at, end)
        stop = at if found is None else found.end()
        if end == len(content) or stop < end - 1:
            return stop
        at = stop


def mask_text(text: bytes, content: bytearray) -> None:
    """Replace every byte of each `text` in `content` by an asterisk; `text` is not empty."""
    at = 0
    while at < len(content):
        end = at + WINDOW_BYTES
        found = content.find(text, at, end + len(text) - 1)
        if found < 0:
            at = end
        else:
            at = found + len(text)
            mask(content, start=found, end=at)


def mask(content: bytearray, *, start: int, end: int) -> None:
    """Replace the bytes from `start` to `end` by asterisks."""
    content[start:end] = b"*" * (end - start)
