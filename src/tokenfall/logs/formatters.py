"""The formats of `tokenfall.logs` as a formatter of the standard library's logging, for the logs of libraries."""

import logging

from tokenfall.logs import Line


class LineFormatter(logging.Formatter):
    """Formats a record as `Line` does."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        line = Line(record.created, record.levelname.lower(), record.name, record.getMessage(), trace)
        return line.formatted(as_json=self._as_json)[:-1]
