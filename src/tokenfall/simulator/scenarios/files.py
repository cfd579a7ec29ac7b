"""Loads scenario files, and reloads them after a change. An invalid version never replaces a valid one."""

import os
import stat
import time
from collections.abc import Callable

from tokenfall import logs
from tokenfall.simulator.scenarios import json_text
from tokenfall.simulator.scenarios.format import turns_of
from tokenfall.simulator.scenarios.matching import Scenario
from tokenfall.simulator.scenarios.nodes import MAX_BYTES, InvalidScenario, Node

CHECK_INTERVAL_S = 1.0
"""Minimum interval between checks of the file."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Stamp = tuple[int, int, int]

_log = logs.get(__name__)


def read_scenario(content: bytes, *, name: str) -> Scenario:
    """The scenario in `content`; the suffix of `name` selects the format: `.json`, `.yaml` or `.yml`.

    Raises `InvalidScenario`.
    """
    try:
        if len(content) > MAX_BYTES:
            raise InvalidScenario(f"larger than {MAX_BYTES} bytes")
        return Scenario(turns_of(_reader(name)(_decoded(content))), name=name)
    except InvalidScenario as error:
        raise error.of_file(name) from None


def _reader(name: str) -> Callable[[str], Node]:
    suffix = os.path.splitext(name)[1].lower()  # without pathlib, which takes 0.7 MiB
    if suffix == ".json":
        return json_text.read
    if suffix not in (".yaml", ".yml"):
        raise InvalidScenario("a scenario must be a .yaml, .yml or .json file")
    try:
        from tokenfall.simulator.scenarios.yaml_text import read  # noqa: PLC0415 - PyYAML is an extra
    except ModuleNotFoundError as error:
        if error.name not in ("yaml", f"{__package__}.yaml_text"):  # an image without PyYAML has neither
            raise
        raise InvalidScenario("YAML needs PyYAML: use the image `full` or pip install 'tokenfall[scripts]'") from None
    return read


def _decoded(content: bytes) -> str:
    content = content.removeprefix(BYTE_ORDER_MARK)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidScenario("not UTF-8", line=content.count(b"\n", 0, error.start) + 1) from None


class ScenarioFile:
    """A scenario that is reloaded when its file changes. `now` returns monotonic seconds.

    The constructor loads the file, and raises `InvalidScenario` if it cannot.
    """

    def __init__(self, path: str | os.PathLike[str], now: Callable[[], float] = time.monotonic) -> None:
        self._path = os.fspath(path)
        self._name = os.path.basename(self._path)
        self._now = now
        self._checked_s = now()
        self._stamp: Stamp | None = None
        self._scenario = self._loaded()

    def current(self) -> Scenario:
        """The last valid version of the scenario. Never raises; checks the file at most once a second.

        After a reload the use counts of all turns are 0.
        """
        now_s = self._now()
        if now_s - self._checked_s >= CHECK_INTERVAL_S:
            self._checked_s = now_s
            self._check()
        return self._scenario

    def _check(self) -> None:
        known = self._stamp
        try:
            status = os.stat(self._path)
            if _stamp(status) != known:
                # Set before loading, so that an invalid version is logged once, not at every check.
                self._stamp = _stamp(status)
                self._scenario = self._loaded()
                _log.info("scenario reloaded: %s, %d turns", self._name, len(self._scenario.turns))
        except InvalidScenario as error:
            _log.error("scenario not reloaded, the previous version stays in use: %s", error)
        except OSError as error:
            self._stamp = None
            if known is not None:
                _log.error(
                    "scenario file %s was removed, its last version stays in use: %s", self._name, error.strerror
                )

    def _loaded(self) -> Scenario:
        name = self._name
        try:
            if not stat.S_ISREG(os.stat(self._path).st_mode):  # opening a named pipe would block
                raise InvalidScenario("not a file", file=name)
            with open(self._path, "rb") as file:
                self._stamp = _stamp(os.fstat(file.fileno()))
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise InvalidScenario(f"cannot be read: {error.strerror}", file=name) from None
        return read_scenario(content, name=name)


def _stamp(status: os.stat_result) -> Stamp:
    """Identifies a version of the file. The inode detects a file moved into place within one clock tick."""
    return status.st_mtime_ns, status.st_size, status.st_ino
