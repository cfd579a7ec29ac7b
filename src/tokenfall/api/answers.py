"""Simulated answers as streams and documents of any dialect: no task a stream, nothing encoded a token."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice

import msgspec

from tokenfall.edge.response import chunk
from tokenfall.engines.planning import Part, Plan, Planned
from tokenfall.events import Finished
from tokenfall.messages import ToolCall
from tokenfall.wire.dialect import Answer, Asked, Choice, Dialect, Encoder, Identity, Section, Timing
from tokenfall.wire.lines import one_line

_encode = msgspec.json.encode


@lru_cache(maxsize=4096)
def _fragment(token: str) -> bytes:
    """A token's JSON string: the simulator's words are few, and are encoded once."""
    return one_line(_encode(token))


def frames(
    plan: Plan, encoder: Encoder, *, finished: Finished, timing: Callable[[], Timing]
) -> Callable[[bool], Iterator[bytes]]:
    """The frames of a planned answer, one a token and one for the end; `timing` is asked at the end."""

    def plain() -> Iterator[bytes]:
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
                            yield frame
                else:
                    before, after = affixes
                    for token in part.tokens:
                        yield b"%b%b%b%b" % (pending, before, _fragment(token), after)
                        pending = b""
            pending += encoder.finish(number, choice.reason)
        yield pending + encoder.end(finished, timing())

    def coded(chunked: bool) -> Iterator[bytes]:
        return map(chunk, plain()) if chunked else plain()

    return coded


def _sections(choice: Planned, number: int) -> Iterator[tuple[Section, Part]]:
    index = 0
    for part in choice.parts:
        if part.call is not None:
            yield Section("call", choice=number, call=part.call, index=index), part
            index += 1
        else:
            yield Section("thought" if part.thought else "text", choice=number), part


def whole(plan: Plan, dialect: Dialect, *, asked: Asked, identity: Identity, finished: Finished) -> tuple[bytes, float]:
    """The whole answer, and how many seconds it takes."""
    gaps = list(islice(plan.gaps, plan.usage.completion_tokens + 1))
    timing = Timing(total_s=sum(gaps), first_token_s=gaps[0])
    choices = [_choice(choice) for choice in plan.choices]
    answer = Answer(identity=identity, choices=choices, finished=finished, timing=timing)
    return dialect.whole(asked, answer), timing.total_s


def _choice(choice: Planned) -> Choice:
    texts = [token for part in choice.parts if part.call is None and not part.thought for token in part.tokens]
    thoughts = [token for part in choice.parts if part.thought for token in part.tokens]
    calls = tuple(
        ToolCall(part.call.id, part.call.name, "".join(part.tokens)) for part in choice.parts if part.call is not None
    )
    return Choice(text="".join(texts), reason=choice.reason, thought="".join(thoughts), calls=calls, tokens=texts)
