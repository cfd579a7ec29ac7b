"""Ends a simulated response at a stop sequence. Pure, and sliced: text and stop sequences may each have a megabyte."""

from collections.abc import Iterator, Sequence
from itertools import islice

from tokenfall.simulator.paragraph import WORDS
from tokenfall.simulator.prose import Prose
from tokenfall.slicing.computation import Sliced
from tokenfall.tokens import SLICE_CHARACTERS, SLICE_TOKENS


def truncate_at_stop(text: Sequence[str], stops: Sequence[str]) -> Sliced[tuple[Sequence[str], str]]:
    """`text` up to the first stop sequence in it, and that sequence ("" for none). Searches overlapping windows."""
    if not stops:
        return text, ""
    longest = max(map(len, stops))
    if isinstance(text, Prose):  # it is periodic: a match occurs in its beginning or nowhere
        text = text[: 2 * len(WORDS) + longest]
    window = ""
    begin = 0  # position of the window in the text
    at, stop = 0, ""
    tokens, at_least = iter(text), max(SLICE_CHARACTERS, longest)
    while piece := (yield from _next_piece(tokens, at_least)):
        window += piece
        at, stop = yield from _first(window, stops)
        if stop and at + longest <= len(window):  # otherwise an earlier match may end in the next piece
            break
        cut = max(0, len(window) - longest)
        begin, window = begin + cut, window[cut:]
    else:
        at, stop = yield from _first(window, stops)
    return ((yield from _up_to(text, begin + at)), stop) if stop else (text, "")


def _first(window: str, stops: Sequence[str]) -> Sliced[tuple[int, str]]:
    """Position and text of the first stop sequence in `window`, "" for none."""
    found: list[tuple[int, str]] = []
    spent = 0
    for stop in stops:
        at = window.find(stop)
        if at >= 0:
            found.append((at, stop))
        spent += len(window)
        if spent >= SLICE_CHARACTERS:
            spent = 0
            yield
    return min(found, default=(0, ""))


def _next_piece(tokens: Iterator[str], at_least: int) -> Sliced[str]:
    """At least `at_least` characters of the remaining text, fewer at its end, "" after it."""
    gathered: list[str] = []
    size = 0
    while size < at_least and (chunk := list(islice(tokens, SLICE_TOKENS))):
        gathered += chunk
        size += sum(map(len, chunk))
        if len(chunk) < SLICE_TOKENS:
            break
        yield
    return "".join(gathered)


def _up_to(text: Sequence[str], end: int) -> Sliced[list[str]]:
    """The tokens of the first `end` characters of `text`."""
    result: list[str] = []
    tokens = iter(text)
    while end > 0 and (chunk := list(islice(tokens, SLICE_TOKENS))):
        size = sum(map(len, chunk))
        if size <= end:
            result += chunk
            end -= size
            yield
            continue
        for token in chunk:
            if not token[:end].strip():  # trailing white space belongs to the token before it
                result[-1:] = [last + token[:end] for last in result[-1:]]
                return result
            result.append(token[:end])
            end -= len(result[-1])
            if end <= 0:
                return result
    return result
