"""The commonest simulated answer as a stream: the simulator's own words at even gaps, in any dialect.

Its frames differ by a word, so it holds what stands before and after that word, and makes each frame when it is due.
All other answers are made frame by frame (`tokenfall.api.simulated_response`), which takes more memory and more time.
"""

from __future__ import annotations

from tokenfall.api.simulated_response import LINES, MOST_KEPT, fragment
from tokenfall.http.response import SteadyStream, chunk
from tokenfall.simulator.paragraph import WORDS
from tokenfall.simulator.prose import AGAIN, Prose
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
_WORDS = tuple(map(fragment, AGAIN))


def is_even(plan: Plan, simulation: Simulation) -> bool:
    """Whether an answer is of prose, at gaps that are the same for all tokens but the first."""
    if simulation.seed is not None or simulation.profile is not None or len(plan.choices) != 1:
        return False  # with a seed the times are added up, and a profile may be one that was measured
    if any(spread is not None and spread.cv for spread in (simulation.gap, simulation.ttft)):
        return False
    parts = plan.choices[0].parts
    return len(parts) == 1 and isinstance(parts[0].tokens, Prose) and len(parts[0].tokens) > 0


class EvenStream(SteadyStream):
    """An answer for which `is_even` holds, to be played once."""

    __slots__ = (
        "_affixed_bytes", "_after", "_before", "_chunked", "_encoder", "_finished", "_first_bytes", "_now", "_opened",
        "_started_s",
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
        """Takes the first two of the plan's gaps. `now` says at the end how long it took, since `started_s`.

        Raises ValueError where the dialect has to write each frame.
        """
        self._opened = encoder.open(_TEXT)
        frame_template = encoder.frame_template()
        if frame_template is None:
            raise ValueError("the dialect has no affixes for this answer")
        self._before, self._after = frame_template
        count = len(plan.choices[0].parts[0].tokens)
        super().__init__(head, period=count, before_last=count, first_s=next(plan.gaps), gap_s=next(plan.gaps))
        self._affixed_bytes = len(self._before) + len(self._after)
        self._encoder = encoder
        self._finished = finished
        self._now = now
        self._started_s = started_s
        self._first_bytes = 0
        self._chunked = False

    def numbered(self, chunked: bool) -> EvenStream:
        """Itself: it is played once, in one coding."""
        if chunked:
            self._chunked = True
            self._after = _CHUNKED[self._after]
        return self

    def __getitem__(self, number: int) -> bytes:
        """The frame of a token. The first begins with what opens the answer, and is made once."""
        if not number:
            return self._first()
        word = _WORDS[number % len(_WORDS)]
        if self._chunked:
            return _join((LINES[self._affixed_bytes + len(word)], self._before, word, self._after))
        return _join((self._before, word, self._after))

    def _first(self) -> bytes:
        frame = _join((self._opened, self._before, _FIRST, self._after))
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
        rounds, rest = divmod(frames - 1, len(_WORDS))
        sizes = [len(self[number]) for number in range(1, 1 + len(_WORDS))]
        return self._first_bytes + rounds * sum(sizes) + sum(sizes[:rest])


class _Chunked(dict[bytes, bytes]):
    """What stands after a word, with the end of its chunk: a few, shared by all streams."""

    def __missing__(self, after: bytes) -> bytes:
        ended = after + _LINE_END
        if len(self) < MOST_KEPT:
            self[after] = ended
        return ended


_CHUNKED = _Chunked()
_LINE_END = b"\r\n"
_join = b"".join
