"""`tokenfall serve` with injected exceptions: `planted.py serve`.

`PLANTED_TARGET` is the path of a command file, which is read on SIGRTMIN+1. Commands:

- `learn`: record the functions that are called directly by a callback of the event loop.
- `path:line:name`: the next call of this function by a callback raises `Planted`.
- empty: stop recording or injecting.

At each command, the functions recorded (or the one that raised) since the previous command are written to
`PLANTED_REPORT`, one per line.

The exception is raised by a profile function, which can raise at any call without access to the function object.
"""

import os
import signal
import sys
import sysconfig
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

CHANGED = signal.SIGRTMIN + 1
STANDARD_LIBRARY = sysconfig.get_path("stdlib")


class Planted(Exception):
    """The injected exception."""


class Planter:
    """Executes the commands. At most one of its profile functions is active."""

    def __init__(self, package: Path, target: Path, report: Path) -> None:
        self._package = f"{package}{os.sep}"
        self._loops = {
            *(f"{self._package}reactor{os.sep}{name}.py" for name in ("loop", "wheel", "bridge", "poller", "wakeup")),
            *(f"{STANDARD_LIBRARY}{os.sep}asyncio{os.sep}{name}.py" for name in ("events", "base_events")),
        }
        self._bridge = f"{self._package}reactor{os.sep}bridge.py"
        """Its methods, through which asyncio's futures schedule callbacks, count as part of the loop."""
        self._target = target
        self._report = report
        self._wanted = ""
        self._found: dict[str, None] = {}

    def on_command(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. It runs in the main thread, whose profile function it sets."""
        sys.setprofile(None)
        command = self._target.read_text(encoding="utf-8")
        found = "\n".join(self._found)
        self._wanted = command
        self._found.clear()
        unfinished = self._report.with_suffix(".new")
        unfinished.write_text(found, encoding="utf-8")
        unfinished.rename(self._report)
        if command:
            sys.setprofile(self._record if command == "learn" else self._raise)

    def _record(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and self._is_called_by_a_callback(frame):
            self._found[_name(frame)] = None

    def _raise(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and _name(frame) == self._wanted and self._is_called_by_a_callback(frame):
            self._found[self._wanted] = None
            raise Planted  # this also removes the profile function

    def _is_called_by_a_callback(self, frame: FrameType) -> bool:
        """Whether the caller is a callback of an event loop."""
        callback, code = frame.f_back, frame.f_code
        loop = None if callback is None else callback.f_back
        return (
            loop is not None
            and callback is not None
            and loop.f_code.co_filename in self._loops
            and callback.f_code.co_filename.startswith(self._package)
            and (callback.f_code.co_filename not in self._loops or callback.f_code.co_name in {"ready", "due"})
            and code.co_filename.startswith(self._package)
            and code.co_filename != self._bridge
            and _is_at_its_start(frame)
        )


def _is_at_its_start(frame: FrameType) -> bool:
    """False if a coroutine is resumed."""
    return frame.f_lineno == frame.f_code.co_firstlineno


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{code.co_firstlineno}:{code.co_qualname}"


def package_of(module: ModuleType) -> Path:
    assert module.__file__ is not None
    return Path(module.__file__).parent


def main() -> int:
    import tokenfall  # noqa: PLC0415 - this program runs it
    from tokenfall.__main__ import main as run  # noqa: PLC0415 - see above

    target, report = Path(os.environ["PLANTED_TARGET"]), Path(os.environ["PLANTED_REPORT"])
    signal.signal(CHANGED, Planter(package_of(tokenfall), target, report).on_command)
    return run()


if __name__ == "__main__":
    sys.exit(main())
