"""`tokenfall serve` with I/O fault injection in SQLite's VFS and a log of all writes.

SQLite's default VFS is patched in place: each file that it opens gets a method table in which read, write, truncate and
sync are replaced.

`DISK_FAULTS` is the path of a file: while it exists, each operation that it contains (`read`, `write`, `sync`) fails as
with EIO. `DISK_LOG` is the path of a log, which receives a record (see `disk_log.py`) before each write and after each
successful sync.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.reliability.disk_log import Record

IOERR_READ, IOERR_WRITE, IOERR_SYNC = 266, 778, 1034
"""SQLITE_IOERR_READ, _WRITE and _FSYNC of sqlite3.h, which the VFS returns for EIO."""

VFS_OPEN_AT, VFS_DELETE_AT = 40, 48
"""Offsets of `xOpen` and `xDelete` in `sqlite3_vfs`, in bytes: after three integers (padded) and three pointers."""

READ, WRITE, TRUNCATE, SYNC = 2, 3, 4, 5
"""Indexes of the methods in `sqlite3_io_methods`, in pointers; index 0 is the version."""

METHODS = 19
"""The number of pointers in version 3 of `sqlite3_io_methods`."""

POINTER = ctypes.sizeof(ctypes.c_void_p)

Open = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
"""The file name is passed as an address, because SQLite stores the pointer."""
Delete = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
Transfer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
Truncate = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
Sync = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


CALLBACKS: list[object] = []
"""References to the callbacks, which must exist as long as SQLite may call them."""


def keep_alive(callback: ctypes._FuncPointer) -> ctypes._FuncPointer:
    CALLBACKS.append(callback)
    return callback


class Disk:
    """The replaced methods. They are called by SQLite's threads without a lock."""

    def __init__(self, faults: Path | None, log: Path | None) -> None:
        self._faults = faults
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log is not None else -1
        self._logged = threading.Lock()
        self._paths: dict[int, str] = {}
        self._tables: dict[int, ctypes.Array[ctypes.c_void_p]] = {}
        """The patched method tables by the address of the original."""

    def install(self) -> None:
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.c_void_p
        vfs = library.sqlite3_vfs_find(None)
        open_at = ctypes.c_void_p.from_address(vfs + VFS_OPEN_AT)
        delete_at = ctypes.c_void_p.from_address(vfs + VFS_DELETE_AT)
        assert open_at.value is not None
        assert delete_at.value is not None
        open_, delete = Open(open_at.value), Delete(delete_at.value)

        def on_open(vfs_: int, name: int | None, file: int, flags: int, out: int | None) -> int:
            result = int(open_(vfs_, name, file, flags, out))
            if result == 0 and name is not None:
                self._patch(file, os.fsdecode(ctypes.string_at(name)))
            return result

        def on_delete(vfs_: int, name: bytes, sync: int) -> int:
            self._append(Record(Path(os.fsdecode(name)).name, offset=0, is_delete=True))
            return int(delete(vfs_, name, sync))

        open_at.value = ctypes.cast(keep_alive(Open(on_open)), ctypes.c_void_p).value
        delete_at.value = ctypes.cast(keep_alive(Delete(on_delete)), ctypes.c_void_p).value

    def _patch(self, file: int, path: str) -> None:
        """Replace the method table of an open file."""
        methods = ctypes.c_void_p.from_address(file)
        assert methods.value is not None
        self._paths[file] = Path(path).name
        if methods.value not in self._tables:
            self._tables[methods.value] = self._table(methods.value)
        methods.value = ctypes.addressof(self._tables[methods.value])

    def _table(self, original: int) -> ctypes.Array[ctypes.c_void_p]:
        table = (ctypes.c_void_p * METHODS).from_buffer_copy(ctypes.string_at(original, METHODS * POINTER))
        read, write = Transfer(table[READ] or 0), Transfer(table[WRITE] or 0)
        truncate, sync = Truncate(table[TRUNCATE] or 0), Sync(table[SYNC] or 0)

        def on_read(file: int, buffer: int, size: int, offset: int) -> int:
            return IOERR_READ if self._fails("read") else int(read(file, buffer, size, offset))

        def on_write(file: int, buffer: int, size: int, offset: int) -> int:
            if self._fails("write"):
                return IOERR_WRITE
            self._append(Record(self._paths[file], offset=offset, data=ctypes.string_at(buffer, size)))
            return int(write(file, buffer, size, offset))

        def on_truncate(file: int, size: int) -> int:
            self._append(Record(self._paths[file], offset=size, is_truncate=True))
            return int(truncate(file, size))

        def on_sync(file: int, flags: int) -> int:
            if self._fails("sync"):
                return IOERR_SYNC
            begun = os.fstat(self._log).st_size if self._log >= 0 else 0
            result = int(sync(file, flags))
            if result == 0:
                self._append(Record(self._paths[file], offset=begun, is_sync=True))
            return result

        replaced: list[tuple[int, type[ctypes._FuncPointer], Callable[..., int]]] = [
            (READ, Transfer, on_read),
            (WRITE, Transfer, on_write),
            (TRUNCATE, Truncate, on_truncate),
            (SYNC, Sync, on_sync),
        ]
        for place, kind, function in replaced:
            table[place] = ctypes.cast(keep_alive(kind(function)), ctypes.c_void_p).value
        return table

    def _fails(self, operation: str) -> bool:
        if self._faults is None:
            return False
        try:
            return operation in self._faults.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return False

    def _append(self, record: Record) -> None:
        if self._log >= 0:
            with self._logged:
                os.write(self._log, record.encoded())


def main() -> int:
    faults, log = os.environ.get("DISK_FAULTS"), os.environ.get("DISK_LOG")
    Disk(Path(faults) if faults else None, Path(log) if log else None).install()
    from tokenfall.__main__ import main as run  # noqa: PLC0415 - after the VFS is patched

    return run()


if __name__ == "__main__":
    sys.exit(main())
