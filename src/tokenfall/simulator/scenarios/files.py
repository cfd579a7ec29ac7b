"""Script files: read at the start, read again when they change. An invalid new version never replaces a valid one."""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from tokenfall import logs
from tokenfall.simulator.scenarios import json_text
from tokenfall.simulator.scenarios.format import turns_of
from tokenfall.simulator.scenarios.matching import Scenario
from tokenfall.simulator.scenarios.nodes import MAX_BYTES, InvalidScenario, Node

LOOK_S = 1.0
"""How often at most the file is looked at."""

Stamp = tuple[int, int, int]

_log = logs.get(__name__)


def read_script(content: bytes, *, name: str) -> Scenario:
    """The script in `content`; the end of `name` tells its notation: `.json`, `.yaml` or `.yml`.

    Raises `InvalidScenario`.
    """
    try:
        if len(content) > MAX_BYTES:
            raise InvalidScenario(f"larger than {MAX_BYTES} bytes")
        return Scenario(turns_of(_reader(name)(_decoded(content))), name=name)
    except InvalidScenario as error:
        raise error.of_file(name) from None


def _reader(name: str) -> Callable[[str], Node]:
    suffix = Path(name).suffix.lower()
    if suffix == ".json":
        return json_text.read
    if suffix not in (".yaml", ".yml"):
        raise InvalidScenario("a script is a .yaml, .yml or .json file")
    try:
        from tokenfall.simulator.scenarios import yaml_text  # noqa: PLC0415 - PyYAML is an extra
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        raise InvalidScenario("reading YAML needs PyYAML: pip install 'tokenfall[scripts]'") from None
    return yaml_text.read


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidScenario("not UTF-8", line=content.count(b"\n", 0, error.start) + 1) from None


class ScenarioFile:
    """A script that follows its file. `now` is monotonic seconds.

    Making one reads the file and raises `InvalidScenario` where that cannot be done.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._looked_s = now()
        self._stamp: Stamp | None = None
        self._scenario = self._loaded()

    def current(self) -> Scenario:
        """The script as the file last was when it was valid. Never raises; may read the file, at most once a second.

        A script that was read anew has all its turns unused.
        """
        now_s = self._now()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look()
        return self._scenario

    def _look(self) -> None:
        known = self._stamp
        try:
            status = os.stat(self._path)
            if _stamp(status) != known:
                # Known before it is read: a refused version is told once, not at every look.
                self._stamp = _stamp(status)
                self._scenario = self._loaded()
                _log.info("script read again: %s, %d turns", self._path.name, len(self._scenario.turns))
        except InvalidScenario as error:
            _log.error("script refused, the one before stays in use: %s", error)
        except OSError as error:
            self._stamp = None
            if known is not None:
                _log.error("script %s is gone, it stays in use: %s", self._path.name, error.strerror)

    def _loaded(self) -> Scenario:
        name = self._path.name
        try:
            if not stat.S_ISREG(os.stat(self._path).st_mode):  # opening a pipe would wait for its writer
                raise InvalidScenario("not a file", file=name)
            with open(self._path, "rb") as file:
                self._stamp = _stamp(os.fstat(file.fileno()))
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise InvalidScenario(f"cannot be read: {error.strerror}", file=name) from None
        return read_script(content, name=name)


def _stamp(status: os.stat_result) -> Stamp:
    """What differs between versions; the inode tells a file that was moved into place within the clock's tick."""
    return status.st_mtime_ns, status.st_size, status.st_ino
