"""The steps of one simulated stream: its tokens, with the configured faults, waits and delays. Pure.

Only `FaultPlan.steps` determines the faults at token N. The steps are executed by `FaultPlan.items` for paced streams,
by the engine for live ones, and by the simulated provider for a non-streaming response. Streams without faults, gates
and load have no fault plan.

Consumers take steps and gaps alternately: a step, then the gap before it. An inserted step has a gap of its own.
"""

from __future__ import annotations

from tokenfall.disconnect import Disconnect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from tokenfall.ports import Barrier
    from tokenfall.simulator.concurrency import Permit
    from tokenfall.simulator.grammar import Simulation
    from tokenfall.simulator.values import Fault

    Item = bytes | Barrier | Disconnect
    """A frame to send, a barrier to wait at, or a disconnect."""


SPLIT_S = 0.02
"""Delay between the two packets of a split frame."""

SPLIT_SUFFIX = "é"
"""Appended to a token whose frame is to be split: two bytes in UTF-8, between which the frame is split."""

_GARBAGE = b"\xff\x00"


class Step:
    """One of the constants below. The other steps are a `Barrier` to wait at and a `Disconnect`."""

    __slots__ = ("is_end", "part")

    def __init__(self, part: str = "", *, is_end: bool = False) -> None:
        self.part = part
        """`first` or `second` half of a token or end that is sent in two packets; else ""."""
        self.is_end = is_end


TOKEN, END = Step(), Step(is_end=True)
TOKEN_HALVES = Step("first"), Step("second")
END_HALVES = Step("first", is_end=True), Step("second", is_end=True)

GARBAGE = Step()
"""Invalid bytes, before the token or the end that follows."""

ERROR = Step()
"""The stream ends with an error, in place of the next token or the end."""


class FaultPlan:
    """The plan of one stream. Its `permit` is acquired first; the caller releases it at the end of the stream.

    The stream waits at `gate` before each token from `gate_at` on.
    """

    def __init__(
        self, faults: tuple[Fault, ...], *, permit: Permit, gate: Barrier | None = None, gate_at: int = 0
    ) -> None:
        self.permit = permit
        kinds = {fault.kind for fault in faults}
        self.is_truncated = "nodone" in kinds
        """Whether the stream has no final frame."""
        self.ends_in_error = "error" in kinds
        """Whether an error ends the stream, unless it is disconnected before."""
        self._faults = sorted(faults, key=lambda fault: fault.at)
        self._gate = gate
        self._gate_at = gate_at
        self._inserted_gaps: list[float] = []

    def token_text(self, number: int, token: str) -> str:
        """The token as it is sent: with `SPLIT_SUFFIX` appended if it is to be split."""
        is_split = any(fault.kind == "split" and fault.at == number for fault in self._faults)
        return token + SPLIT_SUFFIX if is_split else token

    def gaps(self, gaps: Iterator[float]) -> Iterator[float]:
        """`gaps` with the times of `stall` and `drip` faults, and the gaps of inserted steps."""
        number = 0
        drip_s: float | None = None
        while True:
            if self._inserted_gaps:
                yield self._inserted_gaps.pop(0)
                continue
            gap_s = next(gaps)
            for fault in self._faults:
                if fault.at == number and fault.kind == "drip":
                    drip_s = fault.time_s
            stalled_s = sum(fault.time_s for fault in self._faults if fault.at == number and fault.kind == "stall")
            yield (gap_s if drip_s is None else drip_s) + stalled_s
            number += 1

    def steps(self, tokens: int) -> Iterator[Step | Barrier | Disconnect]:
        """The steps of a stream of `tokens` tokens, in order. With `nodone` they stop after the last token.

        A fault beyond the last token applies at the end.
        """
        yield self._insert(self.permit)
        number = 0
        while True:
            is_token = number < tokens
            here = {fault.kind for fault in self._faults if (fault.at == number if is_token else fault.at >= number)}
            if "garbage" in here:
                self._inserted_gaps.append(0.0)
                yield GARBAGE
            if "reset" in here or "close" in here:
                yield self._insert(Disconnect("reset" if "reset" in here else "close"))
                return
            if "error" in here:
                yield ERROR
                return
            if is_token and self._gate is not None and number >= self._gate_at:
                yield self._insert(self._gate)
            if not is_token and self.is_truncated:
                return
            if "split" in here:
                first, second = TOKEN_HALVES if is_token else END_HALVES
                yield first
                self._inserted_gaps.append(SPLIT_S)
                yield second
            else:
                yield TOKEN if is_token else END
            if not is_token:
                return
            number += 1

    def items(
        self,
        frames: Iterator[bytes],
        *,
        tokens: int,
        error_frame: Callable[[], bytes],
        encode_chunk: Callable[[bytes], bytes] = bytes,
    ) -> Iterator[Item]:
        """The steps as items to send. `frames` yields one frame for each token and one for the end, when it is due.

        b"" is a token or an end without a frame. `error_frame` makes the dialect's frame for an error; `encode_chunk`
        applies the transfer coding.
        """
        frame: bytes | None = None
        for step in self.steps(tokens):
            if not isinstance(step, Step):
                yield step
            elif step is ERROR:
                yield encode_chunk(error_frame())
            else:
                if frame is None:
                    frame = next(frames)
                if step is GARBAGE:
                    yield encode_chunk(garbled(frame))
                    continue
                if frame:
                    yield _half(encode_chunk(frame), step.part) if step.part else encode_chunk(frame)
                elif step.part == "second":
                    self._inserted_gaps.pop()
                if step.part != "first":
                    frame = None

    def ends_in_token(self, *, has_end: bool = True) -> bool:
        """Whether the last frame is a token, in a format that may have no end."""
        return (self.is_truncated or not has_end) and not self.ends_in_error

    def _insert(self, item: Barrier | Disconnect) -> Barrier | Disconnect:
        self._inserted_gaps.append(0.0)
        return item


def _half(frame: bytes, part: str) -> bytes:
    """One half of a frame that is sent in two packets; it is split inside `SPLIT_SUFFIX`, if it contains that."""
    at = frame.rfind(SPLIT_SUFFIX.encode()) + 1 or len(frame) // 2
    return frame[:at] if part == "first" else frame[at:]


def garbled(frame: bytes) -> bytes:
    """The first half of a frame's last line, invalid UTF-8, and the frame's own line ends."""
    text = frame.rstrip(b"\n")
    middle = (text.rfind(b"\n") + 1 + len(text)) // 2
    return text[:middle] + _GARBAGE + frame[len(text) :]


def draw_faults(simulation: Simulation, random: Random) -> tuple[Fault, ...]:
    """The faults of one response, drawn by their probabilities."""
    faults = simulation.fault or ()
    return tuple(fault for fault in faults if fault.probability >= 1 or random.random() < fault.probability)
