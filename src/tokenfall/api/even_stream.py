"""The most common simulated response as a stream: filler text at a constant gap, in any dialect.

Its frames differ only in one word, so it stores the prefix and suffix around that word and builds each frame when it
is due. `tokenfall.api.simulated_response` makes all other responses, with more memory and CPU time.
"""

from __future__ import annotations

from functools import lru_cache

from tokenfall.api.simulated_response import LINES, MAX_CACHED, fragment
from tokenfall.http.encoding import chunk
from tokenfall.http.response import SteadyStream
from tokenfall.simulator.paragraph import WORDS
from tokenfall.simulator.prose import SPACED_WORDS, Prose
from tokenfall.wire.dialect import ContentBlock, ResponseTiming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.events import Finished
    from tokenfall.http.response import StreamHead
    from tokenfall.simulator.grammar import Simulation
    from tokenfall.simulator.planning import Plan
    from tokenfall.wire.dialect import Encoder

_TEXT = ContentBlock("text")
_FIRST = fragment(WORDS[0])
_WORDS = tuple(map(fragment, SPACED_WORDS))


def is_even(plan: Plan, simulation: Simulation) -> bool:
    """Whether the response is filler text with a constant gap between tokens; the gap before the first may differ."""
    if simulation.seed is not None or simulation.profile is not None or len(plan.choices) != 1:
        return False  # a seed accumulates the times; a profile may be a measured one
    if any(spread is not None and spread.cv for spread in (simulation.gap, simulation.ttft)):
        return False
    parts = plan.choices[0].parts
    return len(parts) == 1 and isinstance(parts[0].tokens, Prose) and len(parts[0].tokens) > 0


class EvenStream(SteadyStream):
    """A response for which `is_even` is true. It can be played once."""

    __slots__ = (
        "_chunked", "_encoder", "_finished", "_first_bytes", "_now", "_opened", "_prefix", "_started_s", "_suffix",
        "_template_bytes",
    )  # fmt: skip

    def __init__(
        self,
        head: StreamHead,
        plan: Plan,
        *,
        encoder: Encoder,
        finished: Finished,
        now: Callable[[], float],
        started_s: float,
    ) -> None:
        """Takes the first two gaps from the plan. `started_s` is a time of the clock `now`, for the total duration.

        Raises ValueError if the dialect has no frame template for this response.
        """
        self._opened = encoder.open(_TEXT)
        frame_template = encoder.frame_template()
        if frame_template is None:
            raise ValueError("the dialect has no frame template for this response")
        self._prefix, self._suffix = frame_template
        count = len(plan.choices[0].parts[0].tokens)
        super().__init__(head, period=count, before_last=count, first_s=next(plan.gaps), gap_s=next(plan.gaps))
        self._template_bytes = len(self._prefix) + len(self._suffix)
        self._encoder = encoder
        self._finished = finished
        self._now = now
        self._started_s = started_s
        self._first_bytes = 0
        self._chunked = False

    def numbered(self, chunked: bool) -> EvenStream:
        """Returns itself, because it is played once and in one coding."""
        if chunked:
            self._chunked = True
            self._suffix = _end_of_chunk(self._suffix)
        return self

    def __getitem__(self, number: int) -> bytes:
        """The frame of a token. Frame 0 includes the opening frames of the response, and can be read only once."""
        if not number:
            return self._first()
        word = _WORDS[number % len(_WORDS)]
        if self._chunked:
            return _join((LINES[self._template_bytes + len(word)], self._prefix, word, self._suffix))
        return _join((self._prefix, word, self._suffix))

    def _first(self) -> bytes:
        frame = _join((self._opened, self._prefix, _FIRST, self._suffix))
        if self._chunked:
            frame = LINES[len(frame) - len(_LINE_END)] + frame
        self._opened = b""
        self._first_bytes = len(frame)
        return frame

    def last_frame(self, chunked: bool) -> bytes:
        timing = ResponseTiming(self._now() - self._started_s, self.first_s)
        frame = self._encoder.finish(0, self._finished.reason) + self._encoder.end(self._finished, timing)
        return chunk(frame) if chunked else frame

    def size_bytes(self, frames: int, *, chunked: bool) -> int:
        if not frames:
            return 0
        rounds, remainder = divmod(frames - 1, len(_WORDS))
        sizes = [len(self[number]) for number in range(1, 1 + len(_WORDS))]
        return self._first_bytes + rounds * sum(sizes) + sum(sizes[:remainder])


@lru_cache(MAX_CACHED)
def _end_of_chunk(suffix: bytes) -> bytes:
    """A frame's suffix and the end of its chunk: one object for all streams."""
    return suffix + _LINE_END


_LINE_END = b"\r\n"
_join = b"".join
