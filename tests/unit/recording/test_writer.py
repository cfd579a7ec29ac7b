import errno
import os
import stat
from functools import partial
from pathlib import Path

import pytest

from tokenfall.recording.recordings import RecordedExchange, RecordedRequest, Recording
from tokenfall.recording.writer import RecordingWriter


def exchange(path: str) -> RecordedExchange:
    return RecordedExchange(time="", request=RecordedRequest(method="GET", path=path, headers={}))


def paths(file: Path) -> list[str]:
    return [each.request.path for each in Recording.load(str(file)).exchanges]


def test_exchanges_are_appended_and_only_the_owner_may_read(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    for path in ("/1", "/2"):
        writer = RecordingWriter(str(file))
        writer.append(partial(exchange, path))
        writer.close()
        assert (writer.written_count, writer.lost_count) == (1, 0)

    assert paths(file) == ["/1", "/2"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("unfinished", [b'{"v":1', b"x" * 200_000])
def test_incomplete_last_line_is_truncated(tmp_path: Path, unfinished: bytes) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(exchange("/1").line() + unfinished)

    writer = RecordingWriter(str(file))
    writer.append(partial(exchange, "/2"))
    writer.close()

    assert paths(file) == ["/1", "/2"]


def test_file_with_only_an_incomplete_line_becomes_empty(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(b'{"v"')

    RecordingWriter(str(file)).close()

    assert file.read_bytes() == b""


def test_full_disk_leaves_complete_lines_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "r.jsonl"
    writer = RecordingWriter(str(file))
    writer.append(partial(exchange, "/1")).result()
    write, tries = os.write, iter((5, 0))

    def fails_twice(descriptor: int, data: bytes) -> int:
        accepted = next(tries, None)
        if accepted == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:accepted])

    monkeypatch.setattr(os, "write", fails_twice)
    for path in ("/2", "/3", "/4"):
        writer.append(partial(exchange, path))
    writer.close()

    assert (writer.written_count, writer.lost_count) == (2, 2)
    assert paths(file) == ["/1", "/4"]
    assert "No space left" in caplog.text
