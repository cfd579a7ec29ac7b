"""Simulated answers as streams and documents of any dialect: no task a stream, nothing encoded a token."""

from __future__ import annotations

from itertools import islice

import msgspec
from msgspec.structs import replace

from tokenfall.errors import InvalidRequest
from tokenfall.events import Finished
from tokenfall.http.response import chunk
from tokenfall.simulator.fault_plan import Course
from tokenfall.simulator.planning import Part, Plan, Planned
from tokenfall.slices import Sliced
from tokenfall.tokens import SLICE_TOKENS
from tokenfall.wire.api_error import Fault
from tokenfall.wire.dialect import Choice, Dialect, Encoder, Section, Timing
from tokenfall.wire.json_lines import one_line

MOST_WHOLE = 131_072
"""Characters of a whole response, which are held until its reader has taken them."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenfall.http.response import Item


_encode = msgspec.json.encode


def frames(
    plan: Plan,
    encoder: Encoder,
    *,
    finished: Finished,
    timing: Callable[[], Timing],
    course: Course | None = None,
    last_word: LastWord | None = None,
) -> Callable[[bool], Iterator[Item]]:
    """The frames of a planned answer, one a token and one for the end; `timing` is asked at the end.

    With a `course` what happens to the stream is put between them; `last_word` is then said of an error.
    """

    def coded(chunked: bool) -> Iterator[Item]:
        if course is None:
            return _ready(plan, encoder, finished=finished, timing=timing, chunked=chunked)
        plain = _enacted(plan, encoder, finished=finished, timing=timing, course=course)
        code = chunk if chunked else bytes

        def counted(frame: bytes) -> bytes:
            if last_word is None:
                return code(frame)
            if frame is BROKEN:
                return code(last_word.frame())
            last_word.note_sent()
            return code(frame)

        return course.items(plain, tokens=plan.usage.completion_tokens, broken=BROKEN, coded=counted)

    return coded


BROKEN = b"broken"
"""Stands for the last word on an error, which is made when it is said."""


class LastWord:
    """The last frame of a stream that breaks: it may have to count the frames that were sent before."""

    def __init__(self, dialect: Dialect, encoder: Encoder, *, fault: Fault) -> None:
        self._dialect = dialect
        self._encoder = encoder
        self._fault = fault
        self._frames = 0

    def note_sent(self) -> None:
        """All that the encoder has written until now was sent."""
        self._frames = self._dialect.frames_of(self._encoder)

    def frame(self) -> bytes:
        """The frame."""
        return self._dialect.broken(self._fault, self._frames)


def _ready(
    plan: Plan, encoder: Encoder, *, finished: Finished, timing: Callable[[], Timing], chunked: bool
) -> Iterator[bytes]:
    """The frames as they go out, where nothing happens to them."""
    code = chunk if chunked else bytes
    pending = b""
    for number, choice in enumerate(plan.choices):
        for section, part in _sections(choice, number):
            pending += encoder.open(section)
            affixes = encoder.affixes()
            if affixes is None:
                for token in part.tokens:
                    frame = pending + encoder.token(token)
                    pending = b""
                    if frame:
                        yield code(frame)
                continue
            fragments = map(fragment, part.tokens)
            first = next(fragments, None)
            if first is not None:
                yield code(b"%b%b%b%b" % (pending, affixes[0], first, affixes[1]))
                pending = b""
            yield from _framed(fragments, affixes, chunked=chunked)
        pending += encoder.finish(number, choice.reason)
    yield code(pending + encoder.end(finished, timing()))


def _framed(fragments: Iterator[bytes], affixes: tuple[bytes, bytes], *, chunked: bool) -> Iterator[bytes]:
    """A section's frames after its first: four ready pieces each, for this is what a simulated token costs."""
    before, after = affixes
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
    """The lines before chunks, by their size: a few dozen, made when first needed and shared by all streams."""

    def __missing__(self, size: int) -> bytes:
        line = b"%x\r\n" % size
        if len(self) < MOST_KEPT:
            self[size] = line
        return line


class _Fragments(dict[str, bytes]):
    """Tokens as JSON strings: the simulator's words are few, and are encoded once."""

    def __missing__(self, token: str) -> bytes:
        encoded = one_line(_encode(token))
        if len(self) < MOST_KEPT and len(token) <= LONGEST_KEPT:
            self[token] = encoded
        return encoded


MOST_KEPT = 4096
LONGEST_KEPT = 32
"""Longer words are not the simulator's own: somebody sent them to be echoed."""

LINES = _Lines()
fragment = _Fragments().__getitem__
"""A token as a JSON string."""


def _enacted(
    plan: Plan, encoder: Encoder, *, finished: Finished, timing: Callable[[], Timing], course: Course
) -> Iterator[bytes]:
    """The frames of a stream on a course, not yet coded; b"" for a token that the dialect leaves unsaid."""
    pending, said = b"", 0
    for number, choice in enumerate(plan.choices):
        for section, part in _sections(choice, number):
            pending += encoder.open(section)
            affixes = encoder.affixes()
            for token in _spoken(course, part, first=said):
                told = encoder.token(token) if affixes is None else affixes[0] + fragment(token) + affixes[1]
                yield pending + told
                pending = b""
            said += len(part.tokens)
        pending += encoder.finish(number, choice.reason)
    yield pending + encoder.end(finished, timing())


def _spoken(course: Course, part: Part, *, first: int) -> Iterator[str]:
    """A part's tokens as they are said on this course; a call's arguments stay what they are.

    `first` is the number of the first of them in the stream.
    """
    if part.call is not None:
        return iter(part.tokens)
    return (course.spoken(number, token) for number, token in enumerate(part.tokens, first))


def _sections(choice: Planned, number: int) -> Iterator[tuple[Section, Part]]:
    index = 0
    for part in choice.parts:
        if part.call is not None:
            yield Section("call", choice=number, call=part.call, index=index), part
            index += 1
        else:
            yield Section("thought" if part.thought else "text", choice=number), part


def choices_of(plan: Plan) -> Sliced[list[Choice]]:
    """The planned answers as wholes. Raises `InvalidRequest` where they are too long to be held in memory."""
    made: dict[int, Choice] = {}  # the choices of one request are one object
    for planned in plan.choices:
        if id(planned) not in made:
            made[id(planned)] = yield from _choice(planned)
    choices = [made[id(planned)] for planned in plan.choices]
    return choices


def _choice(choice: Planned) -> Sliced[Choice]:
    said: list[str] = []
    characters = 0
    parts = [part for part in choice.parts if part.call is None and not part.thought]
    for part in parts:
        tokens = iter(part.tokens)
        while some := list(islice(tokens, SLICE_TOKENS)):
            said.append("".join(some))
            characters += len(said[-1])
            if characters > MOST_WHOLE:
                raise InvalidRequest(
                    f"a whole response has at most {MOST_WHOLE} characters here: ask for fewer tokens, or for a stream"
                )
            if len(some) == SLICE_TOKENS:
                yield
    thoughts = [token for part in choice.parts if part.thought for token in part.tokens]
    calls = tuple(replace(part.call, arguments="".join(part.tokens)) for part in choice.parts if part.call is not None)
    return Choice(
        text="".join(said),
        reason=choice.reason,
        thought="".join(thoughts),
        calls=calls,
        tokens=parts[0].tokens if len(parts) == 1 else [token for part in parts for token in part.tokens],
    )
