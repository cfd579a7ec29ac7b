"""The metrics of several worker processes, side by side in memory that they share.

Made before the workers are forked. Each writes its own slot and reads all, without a lock: a slot has two halves, a
worker writes the older one, and a half counts only when its checksum agrees. So a worker that is killed while it
writes leaves its last whole snapshot behind. Nothing here ever waits for another process.
"""

from __future__ import annotations

import struct
from mmap import mmap
from zlib import crc32

import msgspec

from tokenfall import logs
from tokenfall.metrics import Metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.metrics import Snapshot
    from tokenfall.ports import Wheel


SLOT_BYTES = 64 * 1024
"""Of address space: the kernel gives memory only for what is written, two pages a worker in practice."""

PUBLISH_EVERY_S = 0.1
"""How old what others see of a worker may be: a tenth of the second whose rate the board tells."""

READ_TRIES = 10
"""A worker would have to publish twice during one read of 3 KiB for a read to fail; once is no harm."""

_ALIVE = 16
"""The slot's first bytes: one says whether its worker lives; the last eight count the turns of its timer."""

_BEATS_AT = 8
_BEATS = struct.Struct("<Q")
_HALF_BYTES = (SLOT_BYTES - _ALIVE) // 2
_CHECKSUM = struct.Struct("<I")
_HEAD = struct.Struct("<QI")  # which publication, the body's length
_BODY = _CHECKSUM.size + _HEAD.size

_log = logs.get(__name__)


class SharedMetrics:
    """One slot a worker, numbered from 0."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.number = 0
        """Whose slot is this process's own: each worker sets it after the fork."""
        self._memory = mmap(-1, workers * SLOT_BYTES)

    def publish(self, snapshot: Snapshot) -> bool:
        """Replace what one's own slot says. False, and nothing written, when it does not fit."""
        number = self.number
        body = msgspec.msgpack.encode(snapshot)
        if _BODY + len(body) > _HALF_BYTES:
            return False
        (first, _), (second, _) = self._halves(number)
        half = 0 if first <= second else 1
        counted = _HEAD.pack(max(first, second) + 1, len(body)) + body
        start = self._start(number, half)
        self._memory[start : start + _CHECKSUM.size + len(counted)] = _CHECKSUM.pack(crc32(counted)) + counted
        self._memory[number * SLOT_BYTES] = 1
        return True

    def beat(self) -> None:
        """Count one more turn of this process's timer, for the supervisor to see."""
        at = self.number * SLOT_BYTES + _BEATS_AT
        _BEATS.pack_into(self._memory, at, _BEATS.unpack_from(self._memory, at)[0] + 1)

    def beats(self, number: int) -> int:
        """How many turns the timer of the slot's worker has made; a number that stands still is a loop that does."""
        count: int = _BEATS.unpack_from(self._memory, number * SLOT_BYTES + _BEATS_AT)[0]
        return count

    def mark_dead(self, number: int) -> None:
        """The slot's worker is dead: what it counted stays, its gauges do not. For the supervisor."""
        self._memory[number * SLOT_BYTES] = 0

    def last(self, number: int) -> Snapshot | None:
        """The slot's last whole snapshot, None where there was none yet."""
        for _ in range(READ_TRIES):
            _, body = max(self._halves(number), key=_publication)
            if body is not None:
                snapshot: Snapshot = msgspec.msgpack.decode(body)
                return snapshot
        return None

    def total(self) -> Metrics:
        """All slots added up."""
        total = Metrics()
        total.workers = 0
        for number in range(self.workers):
            alive = self._memory[number * SLOT_BYTES] == 1  # before the slot: who dies meanwhile still counts
            snapshot = self.last(number)
            if snapshot is not None:
                total.merge(snapshot, gauges=alive)
        return total

    def _halves(self, number: int) -> tuple[_Half, _Half]:
        return self._half(number, 0), self._half(number, 1)

    def _half(self, number: int, half: int) -> _Half:
        """(publication, body); (0, None) for one that is torn or was never written."""
        start = self._start(number, half)
        publication, length = _HEAD.unpack_from(self._memory, start + _CHECKSUM.size)
        if not 0 < length <= _HALF_BYTES - _BODY:
            return 0, None
        written = self._memory[start : start + _BODY + length]  # a copy: it cannot change after it was checked
        publication, again = _HEAD.unpack_from(written, _CHECKSUM.size)
        if again != length or _CHECKSUM.unpack_from(written)[0] != crc32(written[_CHECKSUM.size :]):
            return 0, None
        return publication, written[_BODY:]

    @staticmethod
    def _start(number: int, half: int) -> int:
        return number * SLOT_BYTES + _ALIVE + half * _HALF_BYTES


_Half = tuple[int, bytes | None]


def _publication(half: _Half) -> int:
    return half[0]


class WorkerMetrics:
    """Keeps one worker's slot up to date, from the wheel. What its predecessor counted is counted on."""

    __slots__ = ("_board", "_due_s", "_full_said", "_metrics", "_resident_bytes", "_wheel", "deadline_s", "slot")

    def __init__(
        self, board: SharedMetrics, metrics: Metrics, *, wheel: Wheel, resident_bytes: Callable[[], int]
    ) -> None:
        self.slot: int | None = None
        self.deadline_s = 0.0
        self._board = board
        self._wheel = wheel
        self._metrics = metrics
        self._resident_bytes = resident_bytes
        self._full_said = False
        before = board.last(board.number)
        if before is not None:
            metrics.merge(before, gauges=False)
        self._due_s = wheel.now()
        wheel.join(self, self.due(self._due_s))

    def due(self, now_s: float) -> float:
        self.publish()
        self._due_s = max(self._due_s + PUBLISH_EVERY_S, now_s)  # else what one is late would add up
        return self._due_s

    def publish(self) -> None:
        """Let the others see what is counted by now, and that the loop turns."""
        self._board.beat()
        self._metrics.resident_bytes = self._resident_bytes()
        self._metrics.timer_resolution_s = self._wheel.resolution_s
        if not self._board.publish(self._metrics.snapshot()) and not self._full_said:
            self._full_said = True
            _log.warning("worker %d: more is counted than its slot holds, so /metrics stands still", self._board.number)

    def total(self) -> Metrics:
        """All workers' metrics, this one's as of now."""
        self.publish()
        return self._board.total()
