"""The log of what a process wrote to its files, and what a disk may hold after a loss of power in the middle of it.

A write that was synced before the loss is on the disk. Of the writes after the last sync, each sector may be or not be
there, in any combination: a disk and its kernel write in the order that suits them. A file that is deleted is taken
for gone at once.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

HEAD = struct.Struct("<BHqI")
WRITE, TRUNCATE, SYNC, DELETE = range(4)
SECTOR_BYTES = 512


@dataclass(frozen=True)
class Record:
    """One operation on the file `name`.

    `offset` is the place of a write, the size after a truncation, and for a sync the size of the log when it began:
    what is recorded before that is on the disk.
    """

    name: str
    offset: int
    data: bytes = b""
    is_truncate: bool = False
    is_sync: bool = False
    is_delete: bool = False
    end: int = 0
    """Where in the log the record ends, bytes; 0 before it is read back."""

    def encoded(self) -> bytes:
        name = self.name.encode()
        kind = SYNC if self.is_sync else TRUNCATE if self.is_truncate else DELETE if self.is_delete else WRITE
        return HEAD.pack(kind, len(name), self.offset, len(self.data)) + name + self.data


def read_records(log: bytes) -> Iterator[Record]:
    """The complete records of a log; one that was truncated by a kill is left out."""
    at = 0
    while at + HEAD.size <= len(log):
        kind, name_size, offset, size = HEAD.unpack_from(log, at)
        start = at + HEAD.size
        at = start + name_size + size
        if at > len(log):
            return
        name, data = log[start : start + name_size].decode(), log[start + name_size : at]
        flags = {"is_truncate": kind == TRUNCATE, "is_sync": kind == SYNC, "is_delete": kind == DELETE}
        yield Record(name, offset, data, end=at, **flags)


class LostPower:
    """The files after a power loss when the log had `cut` bytes."""

    def __init__(self, records: Sequence[Record], cut: int) -> None:
        self._past = [record for record in records if record.end <= cut]
        self._synced: dict[str, int] = {}
        for record in self._past:
            if record.is_sync:
                self._synced[record.name] = max(record.offset, self._synced.get(record.name, 0))

    def synced_only(self) -> dict[str, bytes]:
        """Nothing of what was not synced is there."""
        return self._files(lambda data: None)

    def all_written(self) -> dict[str, bytes]:
        """Everything is there, as after kill -9."""
        return self._files(lambda data: range(0, len(data), SECTOR_BYTES))

    def some_sectors(self, random: Random) -> dict[str, bytes]:
        """Of what was not synced, some sectors are there."""
        return self._files(lambda data: [at for at in range(0, len(data), SECTOR_BYTES) if random.random() < 0.5])

    def _files(self, sectors: Callable[[bytes], Iterable[int] | None]) -> dict[str, bytes]:
        """`sectors`: which of an unsynced write are on the disk; None for a write, or truncation, that is not."""
        files: dict[str, bytearray] = {}
        for record in self._past:
            file = files.setdefault(record.name, bytearray())
            if record.is_sync:
                continue
            if record.is_delete:
                del files[record.name]
                continue
            survives = record.end <= self._synced.get(record.name, 0)
            places = range(0, len(record.data), SECTOR_BYTES) if survives else sectors(record.data)
            if places is None:
                continue
            if record.is_truncate:
                del file[record.offset :]
            for at in places:
                _put(file, record.offset + at, record.data[at : at + SECTOR_BYTES])
        return {name: bytes(file) for name, file in files.items()}


def _put(file: bytearray, offset: int, data: bytes) -> None:
    if len(file) < offset:
        file += bytes(offset - len(file))
    file[offset : offset + len(data)] = data
