"""The forms of `tokenfall.logs` for the standard library's logging, which carries what libraries log."""

import logging

from tokenfall.logs import Line


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return _line(self, record).as_json()[:-1]


class ConsoleFormatter(logging.Formatter):
    """One line for a person; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        return _line(self, record).for_console()[:-1]


def formatter(*, as_json: bool) -> logging.Formatter:
    """The formatter for machines or for people."""
    return JSONFormatter() if as_json else ConsoleFormatter()


def _line(formatter: logging.Formatter, record: logging.LogRecord) -> Line:
    trace = formatter.formatException(record.exc_info) if record.exc_info else ""
    level = record.levelname.lower()
    return Line(record.created, level, logger=record.name, message=record.getMessage(), trace=trace)
