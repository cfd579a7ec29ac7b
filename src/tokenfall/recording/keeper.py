"""Appends recorded exchanges to a file."""

import os
from concurrent.futures import Future, ThreadPoolExecutor

from tokenfall import logs
from tokenfall.recording.recordings import Exchange

_log = logs.get("tokenfall")


class Keeper:
    """Appends exchanges to a file, each whole or not at all, in a thread: a disk must not delay tokens."""

    def __init__(self, path: str) -> None:
        """Raises OSError. An unfinished line that a crash left at the end is cut off."""
        self.kept = 0
        self.lost = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(self._file, 0o600)
            self._size = _whole_lines(self._file)
            os.ftruncate(self._file, self._size)
        except BaseException:
            os.close(self._file)
            raise
        self._thread = ThreadPoolExecutor(1, "recording")

    def keep(self, exchange: Exchange) -> "Future[None]":
        """Have it written; returns at once. The future is done when it is on the disk, or cannot be."""
        written = self._thread.submit(self._append, exchange.line())
        written.add_done_callback(self._told)
        return written

    def close(self) -> None:
        """Wait until all is written."""
        self._thread.shutdown()
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        try:
            if os.write(self._file, line) < len(line):
                raise OSError("the disk took a part of a line only")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _told(self, written: "Future[None]") -> None:
        error = written.exception()
        if error is None:
            self.kept += 1
        else:
            self.lost += 1
            _log.error("an exchange could not be kept: %s", error)


def _whole_lines(file: int) -> int:
    """How many bytes of a file are whole lines."""
    size = os.fstat(file).st_size
    while size:
        start = max(0, size - 65_536)
        at = os.pread(file, size - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        size = start
    return 0
