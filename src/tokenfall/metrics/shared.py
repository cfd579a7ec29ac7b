"""The metrics of several worker processes in shared memory.

Created before the workers are forked. Each worker writes its own slot and reads all, without a lock: a slot has two
halves, a worker overwrites the older one, and a half is valid only if its checksum matches. So a worker that is killed
during a write leaves its previous snapshot valid. No process ever waits for another.
"""

from __future__ import annotations

import struct
from mmap import mmap
from zlib import crc32

import msgspec

from tokenfall import logs
from tokenfall.metrics.history import MetricsHistory
from tokenfall.metrics.registry import Metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.metrics.registry import Snapshot
    from tokenfall.ports import Wheel


SLOT_BYTES = 64 * 1024
"""Address space per slot: the kernel allocates only the pages written, in practice two per worker."""

PUBLISH_EVERY_S = 0.1
"""Maximum age of the published metrics. The dashboard shows rates over one second."""

READ_TRIES = 10
"""Attempts to read a slot. A read of 3 KiB fails only if the worker publishes twice meanwhile."""

HEADER_BYTES = 16
"""Size of a slot's header: the first byte is 1 while its worker is alive; the last eight count its heartbeats."""

_BEATS_AT = 8
_BEATS = struct.Struct("<Q")
HALF_BYTES = (SLOT_BYTES - HEADER_BYTES) // 2
"""Size of each of the two halves, which follow the header."""

_CHECKSUM = struct.Struct("<I")
_HEAD = struct.Struct("<QI")  # sequence number, length of the body
_BODY = _CHECKSUM.size + _HEAD.size

_log = logs.get(__name__)


class SharedMetrics:
    """One slot per worker, numbered from 0."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.number = 0
        """The number of this process's slot; set by each worker after the fork."""
        self.history = MetricsHistory()
        """Written by the first worker."""
        self._memory = mmap(-1, workers * SLOT_BYTES)
        self._read = [0] * workers
        """By slot: the greatest sequence number that this process has read."""

    def publish(self, snapshot: Snapshot) -> bool:
        """Write a snapshot to this process's slot. False, without a write, if it does not fit."""
        number = self.number
        body = msgspec.msgpack.encode(snapshot)
        if _BODY + len(body) > HALF_BYTES:
            return False
        (first, _), (second, _) = self._halves(number)
        half = 0 if first <= second else 1
        content = _HEAD.pack(max(first, second) + 1, len(body)) + body
        start = self._start(number, half)
        self._memory[start : start + _CHECKSUM.size + len(content)] = _CHECKSUM.pack(crc32(content)) + content
        self._memory[number * SLOT_BYTES] = 1
        return True

    def beat(self) -> None:
        """Increment this process's heartbeat count, which the supervisor checks."""
        at = self.number * SLOT_BYTES + _BEATS_AT
        _BEATS.pack_into(self._memory, at, _BEATS.unpack_from(self._memory, at)[0] + 1)

    def beats(self, number: int) -> int:
        """The heartbeat count of a worker; if it does not increase, the worker's loop hangs."""
        count: int = _BEATS.unpack_from(self._memory, number * SLOT_BYTES + _BEATS_AT)[0]
        return count

    def mark_dead(self, number: int) -> None:
        """Mark the slot's worker as ended: its counters stay, its gauges do not. Called by the supervisor."""
        self._memory[number * SLOT_BYTES] = 0

    def last(self, number: int) -> Snapshot | None:
        """The slot's last valid snapshot, None before the first."""
        for _ in range(READ_TRIES):
            sequence, body = max(self._halves(number), key=lambda half: half[0])
            # While the worker writes, the only valid half may be one that was copied before the newest was written.
            if body is not None and sequence >= self._read[number]:
                self._read[number] = sequence
                snapshot: Snapshot = msgspec.msgpack.decode(body)
                return snapshot
        return None

    def total(self) -> Metrics:
        """The sum of all slots."""
        total = Metrics()
        total.workers = 0
        for number in range(self.workers):
            alive = self._memory[number * SLOT_BYTES] == 1  # read first: a worker that ends meanwhile still counts
            snapshot = self.last(number)
            if snapshot is not None:
                total.merge(snapshot, gauges=alive)
        return total

    def _halves(self, number: int) -> tuple[_Half, _Half]:
        return self._half(number, 0), self._half(number, 1)

    def _half(self, number: int, half: int) -> _Half:
        """(sequence number, body); (0, None) if it is invalid or was never written."""
        start = self._start(number, half)
        _, length = _HEAD.unpack_from(self._memory, start + _CHECKSUM.size)
        if not 0 < length <= HALF_BYTES - _BODY:
            return 0, None
        copy = self._memory[start : start + _BODY + length]  # a copy cannot change after the check
        sequence, copied_length = _HEAD.unpack_from(copy, _CHECKSUM.size)
        if copied_length != length or _CHECKSUM.unpack_from(copy)[0] != crc32(copy[_CHECKSUM.size :]):
            return 0, None
        return sequence, copy[_BODY:]

    @staticmethod
    def _start(number: int, half: int) -> int:
        return number * SLOT_BYTES + HEADER_BYTES + half * HALF_BYTES


_Half = tuple[int, bytes | None]


class WorkerMetrics:
    """Publishes one worker's metrics periodically. They continue the counters of the slot's previous worker."""

    __slots__ = ("_due_s", "_full_logged", "_metrics", "_resident_bytes", "_shared", "_wheel", "deadline_s", "slot")

    def __init__(
        self, shared: SharedMetrics, metrics: Metrics, *, wheel: Wheel, resident_bytes: Callable[[], int]
    ) -> None:
        self.slot: int | None = None
        self.deadline_s = 0.0
        self._shared = shared
        self._wheel = wheel
        self._metrics = metrics
        self._resident_bytes = resident_bytes
        self._full_logged = False
        previous = shared.last(shared.number)
        if previous is not None:
            metrics.merge(previous, gauges=False)
        self._due_s = wheel.now()
        wheel.schedule(self, self.due(self._due_s))

    def due(self, now_s: float) -> float:
        self.publish()
        self._due_s = max(self._due_s + PUBLISH_EVERY_S, now_s)  # delays must not accumulate
        return self._due_s

    def publish(self) -> None:
        """Write the current metrics and a heartbeat to the slot."""
        self._shared.beat()
        self._metrics.resident_bytes = self._resident_bytes()
        self._metrics.timer_resolution_s = self._wheel.resolution_s
        if not self._shared.publish(self._metrics.snapshot()) and not self._full_logged:
            self._full_logged = True
            _log.warning("worker %d: its metrics exceed the slot size and are no longer updated", self._shared.number)

    def total(self) -> Metrics:
        """The metrics of all workers; this one's are current."""
        self.publish()
        return self._shared.total()
