"""The history of the metrics: one row per second for 15 minutes, one row per minute for 24 hours. Pure.

All rows are in one block of `SIZE_BYTES`, which never grows. Worker processes share it: one of them writes, all read
without a lock, and a row is valid only if its number is that of the requested time. A server without clients writes no
rows, to avoid wake-ups: an `idle` row is valid until the next row.
"""

from __future__ import annotations

from math import nan
from mmap import mmap
from struct import Struct

from tokenfall.metrics.registry import METERED_MODELS, OTHER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    Row = tuple[Any, ...]
    """The values of `FIELDS`, then a count for each code, then the time to the first token (p90) of each model."""


LATENCIES = ("ttft", "inter_token", "ticker_late")
"""Latency histograms of which a row has the number of observations and three percentiles."""

PERCENTILES = ("count", "p50_s", "p90_s", "p99_s")

FIELDS = (
    "streams", "connections", "resident_kib", "request_memory_kib", "response_memory_kib", "tokens", "requests",
    *(f"{name}_{part}" for name in LATENCIES for part in PERCENTILES),
)  # fmt: skip
"""Streams, connections and memories are maxima over the time of a row; tokens and requests are counts. A percentile
without observations is NaN."""

_HEAD = 2  # number and `idle`, before the fields


class NameTable:
    """A table of names that are known only at run time: each has a place in a row.

    Names beyond its `places` share the last one, `OTHER`. Longer names are truncated to `NAME_BYTES`.
    """

    def __init__(self, places: int, *, start: int) -> None:
        self.places = places
        self.start = start
        self.end = start + (places - 1) * NAME_BYTES


NAME_BYTES = 48

CODES = NameTable(16, start=0)
"""Codes of errors: statuses, codes of upstream failures, and `failed` streams."""

MODELS = NameTable(METERED_MODELS + 1, start=CODES.end)
"""Models of the upstream."""

_ROW = Struct("<IB3x7I" + len(LATENCIES) * "I3e" + f"{CODES.places}I{MODELS.places}e")
"""A percentile has 16 bits (IEEE 754 binary16), which is more precise than the histograms."""


class Ring:
    """A ring buffer of rows that cover `step_s` seconds each. A row's number is its time divided by the step."""

    def __init__(self, *, step_s: int, rows: int, start: int) -> None:
        self.step_s = step_s
        self.rows = rows
        self.start = start

    @property
    def end(self) -> int:
        """The position after the last row, in bytes."""
        return self.start + self.rows * _ROW.size


SECONDS = Ring(step_s=1, rows=900, start=MODELS.end)
MINUTES = Ring(step_s=60, rows=1440, start=SECONDS.end)

SIZE_BYTES = MINUTES.end
"""339 KiB, of which the kernel allocates the pages that were written."""


class MetricsHistory:
    """The rows of all workers, in memory that processes forked later share."""

    def __init__(self) -> None:
        self._memory = mmap(-1, SIZE_BYTES)

    def place(self, names: NameTable, name: str) -> int:
        """The place of a name in a row. Only the process that writes rows may call it."""
        encoded = name.encode()[:NAME_BYTES]
        for place in range(names.places - 1):
            known = self._name(names, place)
            if not known:
                start = names.start + place * NAME_BYTES
                self._memory[start : start + len(encoded)] = encoded
            if known in (b"", encoded):
                return place
        return names.places - 1

    def names(self, names: NameTable) -> list[str]:
        """The name of each place; "" for those that are not used."""
        used = (self._name(names, place).decode("utf-8", "ignore") for place in range(names.places - 1))
        return [*used, OTHER]

    def _name(self, names: NameTable, place: int) -> bytes:
        start = names.start + place * NAME_BYTES
        return self._memory[start : start + NAME_BYTES].rstrip(b"\0")

    def write(self, row: Sequence[float], ring: Ring, *, number: int, idle: bool) -> None:
        """Store the row with this number. `idle`: nothing changes until the next row."""
        _ROW.pack_into(self._memory, _place(ring, number), number + 1, idle, *row)

    def read(self, ring: Ring, *, newest: int, count: int) -> Generator[None, None, list[Row | None]]:
        """The rows numbered up to `newest`, at most `count`, oldest first; None where a row is missing.

        A sliced computation (`tokenfall.slicing`). Missing rows at the beginning are omitted.
        """
        oldest = max(0, newest - count + 1)
        found: dict[int, Row] = {}
        before: Row | None = None
        for slot in range(ring.rows):
            row = _ROW.unpack_from(self._memory, ring.start + slot * _ROW.size)
            number = row[0] - 1
            if oldest <= number <= newest:
                found[number] = row
            elif 0 <= number < oldest and (before is None or before[0] < row[0]):
                before = row
            if slot % SLICE_ROWS == SLICE_ROWS - 1:
                yield
        return _filled(found, before, oldest=oldest, newest=newest)


SLICE_ROWS = 300
"""Rows that are read in one slice, which takes a fraction of a millisecond."""


def _place(ring: Ring, number: int) -> int:
    return ring.start + number % ring.rows * _ROW.size


def _filled(found: dict[int, Row], before: Row | None, *, oldest: int, newest: int) -> list[Row | None]:
    """The rows in order, with the rows of idle times; missing rows at the beginning are omitted."""
    rows: list[Row | None] = []
    idle_row = _idle_row(before)
    for number in range(oldest, newest + 1):
        row = found.get(number)
        if row is not None:
            idle_row = _idle_row(row)
            row = row[_HEAD:]
        rows.append(row or idle_row)
    first = next((place for place, row in enumerate(rows) if row is not None), len(rows))
    return rows[first:]


def _idle_row(row: Row | None) -> Row | None:
    """The row of each time after `row` until the next one; None if the server was not idle."""
    if row is None or not row[1]:
        return None
    memory = row[_HEAD + FIELDS.index("resident_kib")]
    latencies = (0, nan, nan, nan) * len(LATENCIES)
    return (0, 0, memory, 0, 0, 0, 0, *latencies, *(0,) * CODES.places, *(nan,) * MODELS.places)
