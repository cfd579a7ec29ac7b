"""Appends recorded exchanges to a file. Used by `recorder` and `relaying`; must not depend on HTTP."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tokenfall import logs
from tokenfall.recording.recordings import RecordedExchange

_log = logs.get("tokenfall")


class RecordingWriter:
    """Appends exchanges to a file atomically, in a thread, so that it does not delay tokens."""

    def __init__(self, path: str) -> None:
        """Raises OSError. Truncates an incomplete last line, left by a crash."""
        self.written_count = 0
        self.lost_count = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(self._file, 0o600)
            self._size = _complete_lines_bytes(self._file)
            os.ftruncate(self._file, self._size)
        except BaseException:
            os.close(self._file)
            raise
        self._thread = ThreadPoolExecutor(1, "recording")

    def append(self, make: Callable[[], RecordedExchange]) -> "Future[None]":
        """Queue an exchange, which `make` makes in the thread, and return at once.

        The future completes with its write to the disk, or fails.
        """
        written = self._thread.submit(lambda: self._append(make().line()))
        written.add_done_callback(self._count)
        return written

    def close(self) -> None:
        """Wait until all exchanges are written, then close the file."""
        self._thread.shutdown()
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        try:
            if os.write(self._file, line) < len(line):
                raise OSError("only part of a line was written: the disk may be full")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _count(self, written: "Future[None]") -> None:
        error = written.exception()
        if error is None:
            self.written_count += 1
        else:
            self.lost_count += 1
            _log.error("cannot write an exchange to the recording: %s", error)


def _complete_lines_bytes(file: int) -> int:
    """The size of the complete lines of a file."""
    size = os.fstat(file).st_size
    while size:
        start = max(0, size - 65_536)
        at = os.pread(file, size - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        size = start
    return 0
