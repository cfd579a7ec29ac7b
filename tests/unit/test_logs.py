import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from tokenfall.logs import ConsoleFormatter, JSONFormatter, escaped, set_up, timestamp

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
    made = logging.LogRecord("tokenfall.x", logging.WARNING, __file__, 1, message, args, error)
    made.created = 1_700_000_000.5
    return made


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_json_line() -> None:
    line = JSONFormatter().format(record("%d are cut", 7))

    expected = '{"time":"2023-11-14T22:13:20.500Z","level":"warning","logger":"tokenfall.x","message":"7 are cut"}'
    assert line == expected


def test_a_console_line() -> None:
    assert ConsoleFormatter().format(record("%d are cut", 7)) == "22:13:20 warning 7 are cut"


def test_nothing_logged_begins_a_json_line_of_its_own() -> None:
    line = JSONFormatter().format(record("%s", HOSTILE))

    assert not any(ord(character) < 32 for character in line)
    assert json.loads(line)["message"] == HOSTILE


def test_nothing_logged_begins_a_console_line_of_its_own() -> None:
    assert ConsoleFormatter().format(record("%s", HOSTILE)).isprintable()


def test_a_traceback_is_one_line_of_json() -> None:
    line = JSONFormatter().format(record("failed", broken=True))

    assert "\n" not in line
    message = json.loads(line)["message"]
    assert message.startswith("failed\nTraceback")
    assert message.endswith("ZeroDivisionError: by nought")


def test_a_traceback_keeps_its_lines_on_a_console() -> None:
    lines = ConsoleFormatter().format(record("failed", broken=True)).splitlines()

    assert lines[0] == "22:13:20 warning failed"
    assert lines[-1] == "  ZeroDivisionError: by nought"


def test_an_exceptions_text_moves_no_cursor_on_a_console() -> None:
    made = record("failed")
    made.exc_info = (ValueError, ValueError(HOSTILE), None)
    lines = ConsoleFormatter().format(made).split("\n")

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
def test_the_format_follows_the_setting_and_the_terminal(log_format: str, stream: io.StringIO, as_json: bool) -> None:
    assert set_up("info", log_format, stream=stream) is as_json
    logging.getLogger("any").info("hello")

    assert stream.getvalue().startswith('{"time"') is as_json
    assert "hello" in stream.getvalue()


@pytest.mark.usefixtures("_logging_as_it_was")
def test_only_what_is_severe_enough_is_written() -> None:
    stream = io.StringIO()
    set_up("warning", "console", stream=stream)
    logging.getLogger("any").info("whispered")
    logging.getLogger("any").warning("said")

    assert [line[17:] for line in stream.getvalue().splitlines()] == ["said"]
