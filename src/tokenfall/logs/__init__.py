"""Logging in two formats: JSON lines and console text. Set up once, by `tokenfall.cli`.

The standard library's logging costs a megabyte, so lines are written by this module until something else has imported
it; from then on they go through it, as do those of libraries. Callers must never log a key, a prompt or a query string.
Control characters are escaped, to prevent log injection.
"""

import sys
from time import gmtime, strftime, time

from tokenfall.imports import imported
from tokenfall.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import TextIO

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""The names of `LOG_LEVEL` and their numbers in the standard library's logging."""


class Output:
    """The stream, the format and the lowest level."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.as_json = False
        self.level = LEVELS["warning"]
        self.installed_in: ModuleType | None = None
        """The logging module whose root logger has this configuration."""


output = Output()


class Line(Record):
    """A log record; `trace` is the traceback of an exception, "" without one."""

    created_s: float
    level: str
    logger: str
    message: str
    trace: str

    def formatted(self, *, as_json: bool) -> str:
        """With its newline. As JSON, a traceback is part of the message; otherwise it follows on its own lines."""
        return self._json() if as_json else self._text()

    def _json(self) -> str:
        from tokenfall.json_text import quoted  # noqa: PLC0415 - lines are rare, and every module imports this one

        text = f"{self.message}\n{self.trace}" if self.trace else self.message
        fields = {"time": timestamp(self.created_s), "level": self.level, "logger": self.logger, "message": text}
        return "{" + ",".join(f'"{key}":{quoted(value)}' for key, value in fields.items()) + "}\n"

    def _text(self) -> str:
        lines = "".join(f"\n  {escaped(line)}" for line in self.trace.splitlines())
        return f"{strftime('%H:%M:%S', gmtime(self.created_s))} {self.level:7} {escaped(self.message)}{lines}\n"


class Logger:
    """The subset of a standard logger that Tokenfall uses. Messages are %-formats."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def info(self, message: str, *args: object) -> None:
        self._log("info", message, args=args)

    def warning(self, message: str, *args: object) -> None:
        self._log("warning", message, args=args)

    def error(self, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        self._log("error", message, args=args, error=exc_info)

    def exception(self, message: str, *args: object) -> None:
        """Log an error with the traceback of the exception being handled."""
        self._log("error", message, args=args, error=sys.exc_info()[1])

    def is_enabled_for(self, level: str) -> bool:
        """Whether lines of `level`, a name of `LEVELS`, are written."""
        logging = _standard_logging()
        if logging is not None:
            return bool(logging.getLogger(self.name).isEnabledFor(LEVELS[level]))
        return LEVELS[level] >= output.level

    def _log(self, level: str, message: str, *, args: tuple[object, ...], error: BaseException | None = None) -> None:
        logging = _standard_logging()
        if logging is not None:
            logging.getLogger(self.name).log(LEVELS[level], message, *args, exc_info=error, stacklevel=3)
        elif LEVELS[level] >= output.level:
            trace = "" if error is None else _traceback(error)
            line = Line(time(), level, self.name, message % args if args else message, trace)
            try:
                (output.stream or sys.stderr).write(line.formatted(as_json=output.as_json))
            except (OSError, ValueError):
                return  # a full disk or a closed pipe must not stop the server


def get(name: str) -> Logger:
    """The logger of a module."""
    return Logger(name)


def set_up(level: str, log_format: str, *, stream: "TextIO | None" = None) -> bool:
    """Send all logs to `stream`, by default stderr; return whether the format is JSON."""
    output.stream = stream or sys.stderr
    output.as_json = log_format == "json" or (log_format == "auto" and not output.stream.isatty())
    output.level = LEVELS[level]
    output.installed_in = None
    install()
    return output.as_json


def install() -> None:
    """Configure the standard library's logging, if imported, with the same format, level and stream."""
    module = imported("logging")
    if module is None or output.stream is None or output.installed_in is module:
        return
    import logging  # noqa: PLC0415 - already imported

    from tokenfall.logs.formatters import LineFormatter  # noqa: PLC0415 - needs the standard library's logging

    output.installed_in = module
    handler = logging.StreamHandler(output.stream)
    handler.setFormatter(LineFormatter(as_json=output.as_json))
    logging.basicConfig(handlers=[handler], level=output.level, force=True)


def timestamp(unix_s: float) -> str:
    """An RFC 3339 timestamp in UTC with milliseconds."""
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(unix_s))}.{int(unix_s * 1000) % 1000:03}Z"


def escaped(text: str) -> str:
    r"""`text` with control characters as `\x..`, so that it cannot start a new line or move the cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _standard_logging() -> "ModuleType | None":
    """The standard library's logging, configured, if it has been imported."""
    logging = imported("logging")
    if logging is not None and output.stream is not None and output.installed_in is not logging:
        install()
    return logging


def _traceback(error: BaseException) -> str:
    import traceback  # noqa: PLC0415 - rarely needed

    return "".join(traceback.format_exception(error)).rstrip("\n")
