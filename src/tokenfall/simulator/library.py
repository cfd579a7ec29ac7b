"""The files that the grammar names: scripts, recordings and timing profiles. Each is read on first use.

Every client of the simulator can name a file, so names are resolved inside one folder only. Files that the operator
names in the settings may be anywhere.
"""

from __future__ import annotations

import os

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.grammar import Simulation, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tokenfall.recording.empirical import Empirical
    from tokenfall.recording.recordings import Recording
    from tokenfall.simulator.scenarios.files import ScenarioFile
    from tokenfall.simulator.scenarios.matching import Scenario

    Stamp = tuple[int, int]


RECORDING = ".jsonl"
MAX_CACHED = 64
"""Maximum number of cached files of each kind; the least recently read one is dropped."""


class Library:
    """`folder` is the root of names; `trusted` names are paths used as they are."""

    def __init__(self, folder: str = ".", *, trusted: frozenset[str] = frozenset()) -> None:
        self._folder = os.path.realpath(folder)
        self._trusted = trusted
        self._scenarios: dict[str, ScenarioFile] = {}
        self._recordings: dict[str, tuple[Stamp, Recording]] = {}

    def check(self, simulation: Simulation) -> None:
        """Raises `InvalidRequest` if a named file or profile does not exist or is not valid."""
        if simulation.profile is not None:
            self.profile(simulation.profile)
        if simulation.script is not None:
            (self.recording if simulation.script.endswith(RECORDING) else self.script)(simulation.script)

    def is_ready(self, simulation: Simulation) -> bool:
        """Whether the named script or recording, if any, has been read before: reading one may take a second.

        If not, call `check` in a thread first.
        """
        if simulation.script is None:
            return True
        cache: dict[str, Any] = self._recordings if simulation.script.endswith(RECORDING) else self._scenarios
        return self._path(simulation.script, "script") in cache

    def script(self, name: str) -> Scenario:
        """The last valid version of the script. Raises `InvalidRequest` if there was none yet."""
        from tokenfall.simulator.scenarios.files import ScenarioFile  # noqa: PLC0415 - see the package
        from tokenfall.simulator.scenarios.nodes import InvalidScenario  # noqa: PLC0415

        path = self._path(name, "script")
        found = self._scenarios.get(path)
        if found is None:
            try:
                found = ScenarioFile(path)
            except InvalidScenario as error:
                raise InvalidRequest(f"simulator: script {error}", param="script") from None
            _store(self._scenarios, path, value=found)
        return found.current()

    def recording(self, name: str) -> Recording:
        """The current version of the recording. Raises `InvalidRequest`."""
        from tokenfall.recording.recordings import InvalidRecording, Recording  # noqa: PLC0415 - rarely used

        path = self._path(name, "script")
        try:
            status = os.stat(path)
            stamp = (status.st_mtime_ns, status.st_size)
            cached = self._recordings.get(path)
            if cached is None or cached[0] != stamp:
                cached = (stamp, Recording.load(path))
                _store(self._recordings, path, value=cached)
        except OSError as error:
            raise InvalidRequest(f"simulator: script {name[:80]!r}: {error.strerror}", param="script") from None
        except InvalidRecording as error:
            raise InvalidRequest(f"simulator: script {str(error).removeprefix(path + ': ')}", param="script") from None
        return cached[1]

    def profile(self, name: str) -> Simulation | Empirical:
        """A named profile as a `Simulation`, or the measured profile of a file. Raises `InvalidRequest`."""
        from tokenfall.simulator import profiles  # noqa: PLC0415 - rarely used

        try:
            if name.endswith(profiles.FILE_ENDING):
                return profiles.read(self._path(name, "profile"))
            return parse(profiles.text_of(name))
        except ValueError as error:
            raise InvalidRequest(
                f"simulator: {str(error).replace(self._folder + os.sep, '')}", param="profile"
            ) from None

    def _path(self, name: str, key: str) -> str:
        if name in self._trusted:
            return os.path.realpath(name)
        path = os.path.realpath(os.path.join(self._folder, name))
        if os.path.commonpath((path, self._folder)) != self._folder or path == self._folder:
            raise InvalidRequest(f"simulator: {key} names a file outside of SIM_FILES", param=key)
        return path


def _store(cache: dict[str, Any], name: str, *, value: object) -> None:
    cache.pop(name, None)
    cache[name] = value  # the newest is the last
    while len(cache) > MAX_CACHED:
        del cache[next(iter(cache))]
