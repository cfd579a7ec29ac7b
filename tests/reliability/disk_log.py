"""A log of the writes and syncs of a process, and the possible contents of a disk after a power loss.

A synced write is on the disk. Of the later writes, any subset of sectors may be on the disk, because the kernel and the
disk may reorder writes. Deletion of a file is assumed to be durable at once.
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

    `offset` is the file offset of a write, the file size after a truncation, or the size of the log at the start of a
    sync; writes recorded before that position are durable.
    """

    name: str
    offset: int
    data: bytes = b""
    is_truncate: bool = False
    is_sync: bool = False
    is_delete: bool = False
    end: int = 0
    """The end of the record in the log, in bytes; set by `read_records`, otherwise 0."""

    def encoded(self) -> bytes:
        name = self.name.encode()
        kind = SYNC if self.is_sync else TRUNCATE if self.is_truncate else DELETE if self.is_delete else WRITE
        return HEAD.pack(kind, len(name), self.offset, len(self.data)) + name + self.data


def read_records(log: bytes) -> Iterator[Record]:
    """The complete records of a log, without a record truncated by SIGKILL."""
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


class PowerLoss:
    """The possible files after a power loss at position `cut` of the log, by name."""

    def __init__(self, records: Sequence[Record], cut: int) -> None:
        self._past = [record for record in records if record.end <= cut]
        self._synced: dict[str, int] = {}
        for record in self._past:
            if record.is_sync:
                self._synced[record.name] = max(record.offset, self._synced.get(record.name, 0))

    def synced_only(self) -> dict[str, bytes]:
        """No unsynced write is on the disk."""
        return self._files(lambda data: None)

    def all_written(self) -> dict[str, bytes]:
        """All writes are on the disk, as after SIGKILL."""
        return self._files(lambda data: range(0, len(data), SECTOR_BYTES))

    def some_sectors(self, random: Random) -> dict[str, bytes]:
        """A random half of the sectors of each unsynced write is on the disk."""
        return self._files(lambda data: [at for at in range(0, len(data), SECTOR_BYTES) if random.random() < 0.5])

    def _files(self, sectors: Callable[[bytes], Iterable[int] | None]) -> dict[str, bytes]:
        """`sectors` returns the durable sector offsets of an unsynced write; None drops the write or truncation."""
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
