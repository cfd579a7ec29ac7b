"""One simulated stream's course: its frames and gaps with what goes wrong, and what it waits for, put between them.

An iterator of frames and one of gaps are pulled in turn, a frame and then its gap. What is put between two frames
brings its own gap. Streams to which nothing happens never come here.
"""

from __future__ import annotations

from tokenfall.disconnect import Disconnect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from tokenfall.ports import Barrier
    from tokenfall.simulator.gates import Permit
    from tokenfall.simulator.grammar import Simulation
    from tokenfall.simulator.values import Fault

    Item = bytes | Barrier | Disconnect
    """A frame as it goes out; or wait; or break off."""


SPLIT_S = 0.02
"""Between the two packets of a frame that is cut in two."""

ODD = "é"
"""What a token that is to be split ends with: two bytes, and the cut goes between them."""

_GARBAGE = b"\xff\x00"


class FaultPlan:
    """`faults` are those that happen to this stream. Its `permit` is shown before anything, and given back by whoever
    plays it; `gate` is passed at each token from `gate_at` on.
    """

    def __init__(
        self, faults: tuple[Fault, ...] = (), *, permit: Permit, gate: Barrier | None = None, gate_at: int = 0
    ) -> None:
        self.permit = permit
        self._faults = sorted(faults, key=lambda fault: fault.at)
        self._gate = gate
        self._gate_at = gate_at
        self._extra: list[float] = []

    def token_text(self, number: int, token: str) -> str:
        """The token as it is said: one that is to be split gets a character that can be."""
        return token + ODD if any(fault.kind == "split" and fault.at == number for fault in self._faults) else token

    def gaps(self, gaps: Iterator[float]) -> Iterator[float]:
        """`gaps` with stalls and drips, and those of what was put between."""
        number = 0
        drip_s: float | None = None
        while True:
            if self._extra:
                yield self._extra.pop(0)
                continue
            gap_s = next(gaps)
            for fault in self._faults:
                if fault.at == number and fault.kind == "drip":
                    drip_s = fault.time_s
            stalled_s = sum(fault.time_s for fault in self._faults if fault.at == number and fault.kind == "stall")
            yield (gap_s if drip_s is None else drip_s) + stalled_s
            number += 1

    def items(
        self, frames: Iterator[bytes], *, tokens: int, error_frame: bytes, coded: Callable[[bytes], bytes]
    ) -> Iterator[Item]:
        """`frames`, one a token and then the rest, as they go out. `error_frame` is the dialect's own last word.

        Where the format has no end, b"" stands for it.
        """
        yield self._between(self.permit)
        for number, frame in enumerate(frames):
            is_token = number < tokens
            here = [fault.kind for fault in self._faults if self._happens(fault, number, is_token=is_token)]
            if "garbage" in here:
                yield self._between(coded(garbled(frame)))
            if "reset" in here or "close" in here:
                yield self._between(Disconnect("reset" if "reset" in here else "close"))
                return
            if "error" in here:
                yield coded(error_frame)
                return
            if is_token and self._gate is not None and number >= self._gate_at:
                yield self._between(self._gate)
            if frame and (is_token or not self.lacks_its_end):
                yield from self._halves(coded(frame)) if "split" in here else (coded(frame),)

    @staticmethod
    def _happens(fault: Fault, number: int, *, is_token: bool) -> bool:
        """Whether a fault happens at this frame: what lies beyond the last token happens at the end."""
        return fault.at == number if is_token else fault.at >= number

    @property
    def lacks_its_end(self) -> bool:
        """Whether the end is left out of what goes out."""
        return any(fault.kind == "nodone" for fault in self._faults)

    def ends_in_token(self, *, has_end: bool = True) -> bool:
        """Whether the last frame is a token, in a format that may have no end."""
        return (self.lacks_its_end or not has_end) and all(fault.kind != "error" for fault in self._faults)

    def _halves(self, frame: bytes) -> Iterator[bytes]:
        """A frame in two packets, cut inside a character where it has one."""
        at = frame.rfind(ODD.encode()) + 1 or len(frame) // 2
        yield frame[:at]
        self._extra.append(SPLIT_S)
        yield frame[at:]

    def _between(self, item: Item) -> Item:
        self._extra.append(0.0)
        return item


def garbled(frame: bytes) -> bytes:
    """A frame up to the middle of its last line and then what is no text, with the frame's own line ends."""
    text = frame.rstrip(b"\n")
    middle = (text.rfind(b"\n") + 1 + len(text)) // 2
    return text[:middle] + _GARBAGE + frame[len(text) :]


def happening(simulation: Simulation, random: Random) -> tuple[Fault, ...]:
    """The faults that happen to one answer."""
    faults = simulation.fault or ()
    return tuple(fault for fault in faults if fault.probability >= 1 or random.random() < fault.probability)
