import asyncio
import errno
import os
import stat
from concurrent.futures import Future
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from tokenfall.engines.recorder import Keeper, Recorder, _Kept, address
from tokenfall.engines.recordings import Exchange, Recording, Request
from tokenfall.engines.redaction import Redactor

from tests.end_to_end.client import Client, request
from tests.end_to_end.upstream import scripted


def exchange(path: str) -> Exchange:
    return Exchange(time="", request=Request(method="GET", path=path, headers={}))


def paths(file: Path) -> list[str]:
    return [each.request.path for each in Recording.load(str(file)).exchanges]


@pytest.mark.parametrize(
    ("base", "target", "url"),
    [
        ("https://a.example/v1", "/v1/chat/completions", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1/", "/chat/completions?a=%2F", "https://a.example/v1/chat/completions?a=%2F"),
        ("https://a.example/openai/v1", "/v1/models", "https://a.example/openai/v1/models"),
        ("https://a.example/openai/v1", "/openai/v1/models", "https://a.example/openai/v1/models"),
        ("https://a.example/v1", "/openai/v1/models", "https://a.example/v1/models"),
        ("https://a.example/v1", "/v1/messages", "https://a.example/v1/messages"),
        ("https://a.example", "/v1/messages", "https://a.example/v1/messages"),
        ("http://127.0.0.1:1/x", "//b.example/", "http://127.0.0.1:1/x//b.example/"),
    ],
)
def test_a_request_goes_below_the_base_address(base: str, target: str, url: str) -> None:
    assert str(address(URL(base), target)) == url


def test_exchanges_are_appended_and_only_the_owner_may_read(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    for path in ("/1", "/2"):
        keeper = Keeper(str(file))
        keeper.keep(exchange(path))
        keeper.close()
        assert (keeper.kept, keeper.lost) == (1, 0)

    assert paths(file) == ["/1", "/2"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("unfinished", [b'{"v":1', b"x" * 200_000])
def test_what_a_crash_left_unfinished_is_cut_off(tmp_path: Path, unfinished: bytes) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(exchange("/1").line() + unfinished)

    keeper = Keeper(str(file))
    keeper.keep(exchange("/2"))
    keeper.close()

    assert paths(file) == ["/1", "/2"]


def test_a_file_of_nothing_but_an_unfinished_line_becomes_empty(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(b'{"v"')

    Keeper(str(file)).close()

    assert file.read_bytes() == b""


def test_a_full_disk_leaves_whole_lines_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "r.jsonl"
    keeper = Keeper(str(file))
    keeper.keep(exchange("/1"))
    keeper._thread.submit(int).result()
    write, tries = os.write, iter((5, 0))

    def fails_twice(descriptor: int, data: bytes) -> int:
        takes = next(tries, None)
        if takes == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:takes])

    monkeypatch.setattr(os, "write", fails_twice)
    for path in ("/2", "/3", "/4"):
        keeper.keep(exchange(path))
    keeper.close()

    assert (keeper.kept, keeper.lost) == (2, 2)
    assert paths(file) == ["/1", "/4"]
    assert "No space left" in caplog.text


def test_a_secret_that_reads_cut_in_pieces_is_found_and_the_cuts_stay() -> None:
    kept = _Kept(Redactor(["secret-of-ours"]))
    kept.status, kept.streamed = 200, True
    for at_s, piece in ((0.5, b"a sec"), (1.0, b"ret-of"), (1.0, b"-ours b")):
        kept.take(at_s, piece)
    answer = kept.answer()

    assert answer is not None
    assert [(each.at_s, each.data) for each in answer.chunks] == [(0.5, "a ***"), (1.0, "******"), (1.0, "***** b")]


def test_of_an_endless_answer_only_the_beginning_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenfall.engines.recorder.MAX_KEPT_BYTES", 8)
    kept = _Kept(Redactor())
    kept.status = 200
    for piece in (b"12345", b"6789", b"0"):
        kept.take(1.0, piece)
    answer = kept.answer()

    assert kept.full
    assert answer is not None
    assert [each.data for each in answer.chunks] == ["12345"]


class SlowKeeper(Keeper):
    """A disk that is done when a test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.written: Future[None] = Future()

    def keep(self, exchange: Exchange) -> "Future[None]":
        self.asked.set()
        return self.written


async def test_the_end_of_an_answer_waits_for_the_disk() -> None:
    keeper = SlowKeeper()
    async with scripted() as provider:
        runner = web.AppRunner(Recorder(provider.url, keeper, key=None).application(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            async with await Client.connect(runner.addresses[0][1]) as client:
                await client.send(request("/v1/chat/completions", method="POST", body="{}"))
                await client.until(b"[DONE]\n\n\r\n")
                await keeper.asked.wait()
                for _ in range(100):
                    await asyncio.sleep(0)
                assert client.kept == b""
                with pytest.raises(BlockingIOError):
                    client.sock.recv(1)
                keeper.written.set_result(None)
                assert await client.chunks() == []
        finally:
            await runner.cleanup()
