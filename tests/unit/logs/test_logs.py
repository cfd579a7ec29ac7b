import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tokenfall import logs
from tokenfall.logs import escaped, set_up, timestamp
from tokenfall.logs.formatters import LineFormatter

JSON, CONSOLE = LineFormatter(as_json=True), LineFormatter(as_json=False)
HOSTILE = "a\r\n12:00:00 info forged\x1b[2J\0\x7f\x9b\u2028b"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(message: str, *args: object, broken: bool = False) -> logging.LogRecord:
    error = None
    if broken:
        try:
            raise ZeroDivisionError("by nought")
        except ZeroDivisionError:
            error = sys.exc_info()
    log_record = logging.LogRecord("tokenfall.x", logging.WARNING, __file__, 1, message, args, error)
    log_record.created = 1_700_000_000.5
    return log_record


@pytest.fixture
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(logs, "output", logs.Output())
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_line_has_time_level_logger_and_message() -> None:
    expected = '{"time":"2023-11-14T22:13:20.500Z","level":"warning","logger":"tokenfall.x","message":"7 are cut"}'
    assert JSON.format(record("%d are cut", 7)) == expected
    assert CONSOLE.format(record("%d are cut", 7)) == "22:13:20 warning 7 are cut"


def test_logged_text_never_starts_a_line() -> None:
    line = JSON.format(record("%s", HOSTILE))

    assert not any(ord(character) < 32 for character in line)
    assert json.loads(line)["message"] == HOSTILE
    assert json.loads(JSON.format(record("%s", "a\ud800")))["message"] == "a\\ud800"
    assert CONSOLE.format(record("%s", HOSTILE)).isprintable()


def test_json_traceback_is_one_line() -> None:
    line = JSON.format(record("failed", broken=True))

    assert "\n" not in line
    message = json.loads(line)["message"]
    assert message.startswith("failed\nTraceback")
    assert message.endswith("ZeroDivisionError: by nought")


def test_console_traceback_keeps_its_lines() -> None:
    lines = CONSOLE.format(record("failed", broken=True)).splitlines()

    assert lines[0] == "22:13:20 warning failed"
    assert lines[-1] == "  ZeroDivisionError: by nought"


def test_exception_text_is_escaped_on_a_console() -> None:
    log_record = record("failed")
    log_record.exc_info = (ValueError, ValueError(HOSTILE), None)
    lines = CONSOLE.format(log_record).split("\n")

    assert [line for line in lines if not line.isprintable()] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é😀", "plain é😀"),
        ("", ""),
        ("a\nb\r\t\0", "a\\x0ab\\x0d\\x09\\x00"),
        ("\x1b[31m\x7f\x9b", "\\x1b[31m\\x7f\\x9b"),
        ("\u2028\ud800", "\\x2028\\xd800"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("unix_s", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
        (0.0625, "1970-01-01T00:00:00.062Z"),
    ],
)
def test_timestamps_are_utc(unix_s: float, text: str) -> None:
    assert timestamp(unix_s) == text


@pytest.mark.parametrize(
    ("log_format", "stream", "as_json"),
    [
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
        ("auto", Terminal(), False),
        ("auto", io.StringIO(), True),
    ],
)
@pytest.mark.usefixtures("_logging_as_it_was")
def test_format_follows_the_setting_and_the_terminal(log_format: str, stream: io.StringIO, as_json: bool) -> None:
    assert set_up("info", log_format, stream=stream) is as_json
    logging.getLogger("any").info("hello")

    assert stream.getvalue().startswith('{"time"') is as_json
    assert "hello" in stream.getvalue()


@pytest.mark.usefixtures("_logging_as_it_was")
def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    set_up("warning", "console", stream=stream)
    logging.getLogger("any").info("whispered")
    logging.getLogger("any").warning("said")

    assert [line[17:] for line in stream.getvalue().splitlines()] == ["said"]


# Before the standard library's logging is imported

LEAN = """
import io, sys
from tokenfall import logs
stream = io.StringIO()
logs.set_up("info", {log_format!r}, stream=stream)
log = logs.get("tokenfall.x")
assert log.is_enabled_for("info") and not log.is_enabled_for("debug")
log.info("at %d", 7)
try:
    1 // 0
except ZeroDivisionError:
    log.exception("failed")
assert "logging" not in sys.modules or "traceback" in sys.modules
import logging
log.warning("later")
logging.getLogger("a.library").warning("theirs")
logging.getLogger("a.library").debug("unheard")
print(stream.getvalue(), end="")
"""


def lines_of_a_lean_process(log_format: str) -> list[str]:
    program = LEAN.format(log_format=log_format)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_json_lines_are_the_same_before_and_after_logging_is_imported() -> None:
    documents = [json.loads(line) for line in lines_of_a_lean_process("json")]

    assert [document["level"] for document in documents] == ["info", "error", "warning", "warning"]
    assert [document["message"].splitlines()[0] for document in documents] == ["at 7", "failed", "later", "theirs"]
    assert documents[1]["message"].endswith("ZeroDivisionError: integer division or modulo by zero")


def test_console_lines_are_the_same_before_and_after_logging_is_imported() -> None:
    lines = [line[9:] for line in lines_of_a_lean_process("console") if not line.startswith("  ")]

    assert lines == ["info    at 7", "error   failed", "warning later", "warning theirs"]


UNWRITABLE = """
from tokenfall import logs
logs.set_up("info", "console", stream=open("/dev/full", "w", buffering=1))
logs.get("tokenfall.x").warning("a full disk")
print("served on")
"""


def test_failed_write_raises_nothing() -> None:
    run = subprocess.run([sys.executable, "-c", UNWRITABLE], capture_output=True, text=True, check=False)

    assert run.stdout == "served on\n"
