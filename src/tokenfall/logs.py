"""How log lines look: JSON a line for machines, plain for people. Set up once, by `tokenfall.cli`.

Nothing here may ever be given a key, a prompt or a query string; control characters are escaped, so that nothing
logged can begin a line of its own.
"""

import logging
import sys
from time import gmtime, strftime
from typing import TextIO

import msgspec


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(self, record),
        }
        return msgspec.json.encode(document).decode()


class ConsoleFormatter(logging.Formatter):
    """One line for a person; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        text = escaped(record.getMessage())
        lines = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        trace = "".join(f"\n  {escaped(line)}" for line in lines)
        return f"{strftime('%H:%M:%S', gmtime(record.created))} {record.levelname.lower():7} {text}{trace}"


def timestamp(unix_s: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(unix_s))}.{int(unix_s * 1000) % 1000:03}Z"


def escaped(text: str) -> str:
    r"""`text` with control characters as `\x..`: nothing logged may begin a new line or move a cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def set_up(level: str, log_format: str, *, stream: TextIO | None = None) -> bool:
    """Send all logs to `stream` (stderr); True when lines are JSON."""
    stream = stream or sys.stderr
    as_json = log_format == "json" or (log_format == "auto" and not stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter() if as_json else ConsoleFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    return as_json


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text = f"{text}\n{formatter.formatException(record.exc_info)}"
    return text.encode(errors="backslashreplace").decode()  # a lone surrogate is no text
