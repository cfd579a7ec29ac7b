"""The formats of `tokenfall.logs` as formatters of the standard library's logging, for the logs of libraries."""

import logging

from tokenfall.logs import Line


class JSONFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        return _line(self, record).as_json()[:-1]


class ConsoleFormatter(logging.Formatter):
    """One line of text; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        return _line(self, record).for_console()[:-1]


def formatter(*, as_json: bool) -> logging.Formatter:
    """The formatter of the configured format."""
    return JSONFormatter() if as_json else ConsoleFormatter()


def _line(formatter: logging.Formatter, record: logging.LogRecord) -> Line:
    trace = formatter.formatException(record.exc_info) if record.exc_info else ""
    level = record.levelname.lower()
    return Line(record.created, level, logger=record.name, message=record.getMessage(), trace=trace)
