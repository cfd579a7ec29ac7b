"""Planned responses as frames or as complete choices, for any dialect.

A stream needs no task of its own, and most tokens are not encoded but taken from a cache.
"""

from __future__ import annotations

from itertools import islice

import msgspec
from msgspec.structs import replace

from tokenfall.errors import InvalidRequest
from tokenfall.events import Finished
from tokenfall.http.encoding import chunk
from tokenfall.simulator.fault_plan import FaultPlan
from tokenfall.simulator.planning import Plan, PlannedPart, PlannedResponse
from tokenfall.slicing.computation import Sliced
from tokenfall.tokens import SLICE_TOKENS
from tokenfall.wire.dialect import ContentBlock, Encoder, ResponseChoice, ResponseTiming
from tokenfall.wire.json_lines import one_line

MAX_COMPLETE_CHARACTERS = 131_072
"""Maximum characters of a complete response, which is held in memory until the client has read it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_encode = msgspec.json.encode


def frames(
    plan: Plan, encoder: Encoder, *, finished: Finished, timing: Callable[[], ResponseTiming], chunked: bool
) -> Iterator[bytes]:
    """The frames of a planned response, one for each token and one for the end; `timing` is called at the end."""
    code = chunk if chunked else bytes
    pending = b""
    for number, choice in enumerate(plan.choices):
        for block, part in _blocks(choice, number):
            pending += encoder.open(block)
            frame_template = encoder.frame_template()
            if frame_template is None:
                for token in part.tokens:
                    frame = pending + encoder.token(token)
                    pending = b""
                    if frame:
                        yield code(frame)
                continue
            fragments = map(fragment, part.tokens)
            first = next(fragments, None)
            if first is not None:
                yield code(b"%b%b%b%b" % (pending, frame_template[0], first, frame_template[1]))
                pending = b""
            yield from _framed(fragments, frame_template, chunked=chunked)
        pending += encoder.finish(number, choice.reason)
    yield code(pending + encoder.end(finished, timing()))


def _framed(fragments: Iterator[bytes], frame_template: tuple[bytes, bytes], *, chunked: bool) -> Iterator[bytes]:
    """A block's frames after the first. Joins encoded pieces only: this loop is the cost of a simulated token."""
    before, after = frame_template
    join = b"".join
    if not chunked:
        for each in fragments:
            yield join((before, each, after))
        return
    around, tail = len(before) + len(after), after + b"\r\n"
    lines = LINES
    for each in fragments:
        yield join((lines[around + len(each)], before, each, tail))


class _Lines(dict[int, bytes]):
    """Chunk size lines by chunk size: a few dozen, created when first needed and shared by all streams."""

    def __missing__(self, size: int) -> bytes:
        line = b"%x\r\n" % size
        if len(self) < MAX_CACHED:
            self[size] = line
        return line


class _Fragments(dict[str, bytes]):
    """Tokens as JSON strings. The simulator uses few different words, and each is encoded once."""

    def __missing__(self, token: str) -> bytes:
        encoded = one_line(_encode(token))
        if len(self) < MAX_CACHED and len(token) <= MAX_CACHED_CHARACTERS:
            self[token] = encoded
        return encoded


MAX_CACHED = 4096
MAX_CACHED_CHARACTERS = 32
"""Longer tokens are echoed from a request and are not cached."""

LINES = _Lines()
fragment = _Fragments().__getitem__
"""A token as a JSON string."""


def frames_with_faults(
    plan: Plan, encoder: Encoder, *, finished: Finished, timing: Callable[[], ResponseTiming], fault_plan: FaultPlan
) -> Iterator[bytes]:
    """As `frames`, with the texts of a fault plan, before chunked coding; b"" for a token that the dialect omits."""
    pending, count = b"", 0
    for number, choice in enumerate(plan.choices):
        for block, part in _blocks(choice, number):
            pending += encoder.open(block)
            frame_template = encoder.frame_template()
            for token in _token_texts(fault_plan, part, first=count):
                frame = (
                    encoder.token(token)
                    if frame_template is None
                    else frame_template[0] + fragment(token) + frame_template[1]
                )
                yield pending + frame
                pending = b""
            count += len(part.tokens)
        pending += encoder.finish(number, choice.reason)
    yield pending + encoder.end(finished, timing())


def _token_texts(fault_plan: FaultPlan, part: PlannedPart, *, first: int) -> Iterator[str]:
    """A part's tokens with the changes of the fault plan, except for the arguments of a tool call.

    `first` is the number of the part's first token in the stream.
    """
    if part.call is not None:
        return iter(part.tokens)
    return (fault_plan.token_text(number, token) for number, token in enumerate(part.tokens, first))


def _blocks(choice: PlannedResponse, number: int) -> Iterator[tuple[ContentBlock, PlannedPart]]:
    index = 0
    for part in choice.parts:
        if part.call is not None:
            yield ContentBlock("call", choice=number, call=part.call, index=index), part
            index += 1
        else:
            yield ContentBlock("thought" if part.thought else "text", choice=number), part


def choices_of(plan: Plan) -> Sliced[list[ResponseChoice]]:
    """The planned choices with their complete text. Raises `InvalidRequest` if one is too long to be held in memory."""
    made: dict[int, ResponseChoice] = {}  # all choices of a request are the same object
    for planned in plan.choices:
        if id(planned) not in made:
            made[id(planned)] = yield from _choice(planned)
    return [made[id(planned)] for planned in plan.choices]


def _choice(choice: PlannedResponse) -> Sliced[ResponseChoice]:
    texts: list[str] = []
    characters = 0
    parts = [part for part in choice.parts if part.call is None and not part.thought]
    for part in parts:
        tokens = iter(part.tokens)
        while some := list(islice(tokens, SLICE_TOKENS)):
            texts.append("".join(some))
            characters += len(texts[-1])
            if characters > MAX_COMPLETE_CHARACTERS:
                raise InvalidRequest(
                    f"a non-streaming response of the simulator has at most {MAX_COMPLETE_CHARACTERS} characters: "
                    "request fewer tokens, or a stream"
                )
            if len(some) == SLICE_TOKENS:
                yield
    thoughts = [token for part in choice.parts if part.thought for token in part.tokens]
    calls = tuple(replace(part.call, arguments="".join(part.tokens)) for part in choice.parts if part.call is not None)
    return ResponseChoice(
        text="".join(texts),
        reason=choice.reason,
        thought="".join(thoughts),
        calls=calls,
        tokens=parts[0].tokens if len(parts) == 1 else [token for part in parts for token in part.tokens],
    )
