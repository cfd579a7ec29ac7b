from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tokenfall.api import access
from tokenfall.api.access import FLUSH_AFTER_S, FLUSH_AT_LINES, AccessLog
from tokenfall.http.request import Request
from tokenfall.metrics.registry import Metrics

from tests.doubles.clocks import FakeWheel
from tests.doubles.requests import request

if TYPE_CHECKING:
    from tokenfall.http.application import Outcome

HOSTILE = "/%0d%0a12:00:00%20access%20forged%1b[2J%00%7f"


class LogHarness:
    """An access log with its recorded writes."""

    def __init__(self, *, as_json: bool) -> None:
        self.wheel = FakeWheel()
        self.metrics = Metrics()
        self.writes: list[str] = []
        self.full = False
        self.log = AccessLog(self._write, self.wheel, metrics=self.metrics, as_json=as_json)

    def _write(self, text: str) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.writes.append(text)

    def log_response(self, incoming: Request, *, status: int = 200, outcome: Outcome = "complete") -> None:
        self.log.log_response(incoming, status, outcome=outcome, sent_bytes=1_234)

    def line(self, incoming: Request, *, status: int = 200, outcome: Outcome = "complete") -> str:
        self.log_response(incoming, status=status, outcome=outcome)
        self.log.flush()
        return self.writes[-1]


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "time", lambda: 1_700_000_000.25)


def logged_request(target: str = "/chat", route: str = "/chat") -> Request:
    incoming = request(target, method="POST", headers={"authorization": "Bearer s3cret"}, body=b"s3cret prompt")
    incoming.route, incoming.id, incoming.started_s = route, "r-1", 999.75
    return incoming


def test_json_line_has_all_fields_of_a_response() -> None:
    assert LogHarness(as_json=True).line(logged_request()) == (
        '{"time":"2023-11-14T22:13:20.250Z","level":"info","logger":"access","message":"POST 200",'
        '"method":"POST","path":"/chat","status":200,"outcome":"complete","bytes":1234,'
        '"took_ms":250.0,"client":"127.0.0.1","request_id":"r-1"}\n'
    )


@pytest.mark.parametrize(
    ("status", "outcome", "shown"), [(200, "complete", "200"), (499, "left", "499 left"), (200, "failed", "200 failed")]
)
def test_console_line_has_method_path_status_outcome_size_and_duration(
    status: int, outcome: Outcome, shown: str
) -> None:
    line = LogHarness(as_json=False).line(logged_request(), status=status, outcome=outcome)

    assert line == f"22:13:20 access  POST /chat {shown} 1234 B 250 ms\n"


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(("target", "route"), [("/chat?token=s3cret", "/chat"), ("/nowhere?token=s3cret", "")])
def test_log_line_contains_no_key_prompt_or_query(as_json: bool, target: str, route: str) -> None:
    line = LogHarness(as_json=as_json).line(logged_request(target, route))

    assert "s3cret" not in line
    assert "token" not in line


def test_requested_path_never_starts_a_new_log_line() -> None:
    line = LogHarness(as_json=False).line(logged_request(HOSTILE, ""), status=404)

    assert line.endswith("\n")
    assert line[:-1].isprintable()


def test_json_line_is_valid_json_for_any_path() -> None:
    line = LogHarness(as_json=True).line(logged_request(HOSTILE + '"\\', ""), status=404)

    assert line.count("\n") == 1
    assert not any(ord(character) < 32 for character in line[:-1])
    assert json.loads(line)["path"] == '/\r\n12:00:00 access forged\x1b[2J\0\x7f"\\'


@pytest.mark.parametrize("as_json", [True, False])
def test_long_path_is_truncated(as_json: bool) -> None:
    assert len(LogHarness(as_json=as_json).line(logged_request("/" + "a" * 8_000, ""))) < 600


def test_lines_are_written_together_after_the_flush_interval() -> None:
    harness = LogHarness(as_json=False)
    for _ in range(3):
        harness.log_response(logged_request())
    assert harness.writes == []
    harness.wheel.advance(FLUSH_AFTER_S)

    assert [text.count("\n") for text in harness.writes] == [3]
    assert harness.wheel.waiting == {}


def test_full_buffer_is_flushed_before_the_interval() -> None:
    harness = LogHarness(as_json=False)
    for _ in range(FLUSH_AT_LINES + 1):
        harness.log_response(logged_request())

    assert [text.count("\n") for text in harness.writes] == [FLUSH_AT_LINES]
    harness.wheel.advance(FLUSH_AFTER_S)
    assert [text.count("\n") for text in harness.writes] == [FLUSH_AT_LINES, 1]


def test_flush_of_an_empty_buffer_writes_nothing() -> None:
    harness = LogHarness(as_json=False)
    harness.log.flush()

    assert harness.writes == []


def test_lines_lost_on_a_full_disk_are_counted() -> None:
    harness = LogHarness(as_json=False)
    harness.full = True
    for _ in range(3):
        harness.log_response(logged_request())
    harness.wheel.advance(FLUSH_AFTER_S)
    harness.full = False
    harness.log_response(logged_request())
    harness.wheel.advance(FLUSH_AFTER_S)

    assert harness.metrics.log_lines_lost == 3
    assert [text.count("\n") for text in harness.writes] == [1]


def test_access_log_line_has_the_time_of_its_response(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = LogHarness(as_json=True)
    stamps = []
    for now_s in (1_700_000_000.25, 1_700_000_000.5, 1_700_000_001.0):
        monkeypatch.setattr(access, "time", lambda now_s=now_s: now_s)
        stamps.append(json.loads(harness.line(logged_request()))["time"][17:])

    assert stamps == ["20.250Z", "20.500Z", "21.000Z"]
