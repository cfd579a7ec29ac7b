"""Simulated answers as streams and documents of any dialect: no task a stream, nothing encoded a token."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import msgspec

from tokenfall.edge.response import Item, chunk
from tokenfall.engines.planning import Part, Plan, Planned
from tokenfall.events import Finished
from tokenfall.messages import ToolCall
from tokenfall.pacing.course import Course
from tokenfall.wire.dialect import Choice, Encoder, Section, Timing
from tokenfall.wire.lines import one_line

_encode = msgspec.json.encode


@lru_cache(maxsize=4096)
def _fragment(token: str) -> bytes:
    """A token's JSON string: the simulator's words are few, and are encoded once."""
    return one_line(_encode(token))


def frames(
    plan: Plan,
    encoder: Encoder,
    *,
    finished: Finished,
    timing: Callable[[], Timing],
    course: Course | None = None,
    broken: bytes = b"",
) -> Callable[[bool], Iterator[Item]]:
    """The frames of a planned answer, one a token and one for the end; `timing` is asked at the end.

    With a `course` what happens to the stream is put between them; `broken` is the dialect's last word on an error.
    """

    def coded(chunked: bool) -> Iterator[Item]:
        plain = _plain(plan, encoder, finished=finished, timing=timing, course=course)
        code = chunk if chunked else bytes
        if course is None:
            return map(chunk, plain) if chunked else plain
        return course.items(plain, tokens=plan.usage.completion_tokens, broken=broken, coded=code)

    return coded


def _plain(
    plan: Plan, encoder: Encoder, *, finished: Finished, timing: Callable[[], Timing], course: Course | None
) -> Iterator[bytes]:
    pending, said = b"", 0
    for number, choice in enumerate(plan.choices):
        for section, part in _sections(choice, number):
            pending += encoder.open(section)
            affixes = encoder.affixes()
            tokens = part.tokens if course is None else _spoken(course, part, first=said)
            said += len(part.tokens)
            if affixes is None:
                for token in tokens:
                    frame = pending + encoder.token(token)
                    pending = b""
                    if frame or course is not None:  # a course counts what the dialect leaves unsaid
                        yield frame
            else:
                before, after = affixes
                for token in tokens:
                    yield b"%b%b%b%b" % (pending, before, _fragment(token), after)
                    pending = b""
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


def choices_of(plan: Plan) -> list[Choice]:
    """The planned answers as wholes."""
    return [_choice(choice) for choice in plan.choices]


def _choice(choice: Planned) -> Choice:
    texts = [token for part in choice.parts if part.call is None and not part.thought for token in part.tokens]
    thoughts = [token for part in choice.parts if part.thought for token in part.tokens]
    calls = tuple(
        ToolCall(part.call.id, part.call.name, "".join(part.tokens)) for part in choice.parts if part.call is not None
    )
    return Choice(text="".join(texts), reason=choice.reason, thought="".join(thoughts), calls=calls, tokens=texts)
