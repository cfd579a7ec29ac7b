"""`tokenfall serve` in which the next call of one function raises: `planted.py serve`.

`PLANTED_TARGET` names a file and SIGRTMIN+1 says that it has changed. It holds `learn`: from now on those functions are
noted that are called directly by a callback, which is what a loop calls. Or it holds one of these functions, as
`path:line:name`, whose next call raises. Or it is empty, and nothing more is done.

Each time, what was found since the last change is written to `PLANTED_REPORT`, one a line: the functions of `learn`, or
the one that has raised.

An exception comes from a profile function, which can raise in the place of any call, whoever holds the function.
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
    """The defect."""


class Planter:
    """The profile functions, of which one is set at a time, and what they have found."""

    def __init__(self, package: Path, target: Path, report: Path) -> None:
        self._package = f"{package}{os.sep}"
        self._loops = {
            *(f"{self._package}reactor{os.sep}{name}.py" for name in ("loop", "wheel", "bridge", "poller", "wakeup")),
            *(f"{STANDARD_LIBRARY}{os.sep}asyncio{os.sep}{name}.py" for name in ("events", "base_events")),
        }
        self._bridge = f"{self._package}reactor{os.sep}bridge.py"
        """asyncio's futures schedule their callbacks by its methods: it is the loop, not what a callback does."""
        self._target = target
        self._report = report
        self._wanted = ""
        self._found: dict[str, None] = {}

    def changed(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signal, in the main thread, whose profile function is to change."""
        sys.setprofile(None)
        command = self._target.read_text(encoding="utf-8")
        found = "\n".join(self._found)
        self._wanted = command
        self._found.clear()
        unfinished = self._report.with_suffix(".new")
        unfinished.write_text(found, encoding="utf-8")
        unfinished.rename(self._report)
        if command:
            sys.setprofile(self._note if command == "learn" else self._strike)

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and self._is_called_by_a_callback(frame):
            self._found[_name(frame)] = None

    def _strike(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and _name(frame) == self._wanted and self._is_called_by_a_callback(frame):
            self._found[self._wanted] = None
            raise Planted  # which also ends the profiling

    def _is_called_by_a_callback(self, frame: FrameType) -> bool:
        """Whether it is called directly by a function that a loop calls."""
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
            and _is_at_its_beginning(frame)
        )


def _is_at_its_beginning(frame: FrameType) -> bool:
    """False where a coroutine resumes."""
    return frame.f_lineno == frame.f_code.co_firstlineno


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{code.co_firstlineno}:{code.co_qualname}"


def package_of(module: ModuleType) -> Path:
    assert module.__file__ is not None
    return Path(module.__file__).parent


def main() -> int:
    import tokenfall  # noqa: PLC0415 - it is what is run
    from tokenfall.__main__ import main as run  # noqa: PLC0415 - see above

    target, report = Path(os.environ["PLANTED_TARGET"]), Path(os.environ["PLANTED_REPORT"])
    signal.signal(CHANGED, Planter(package_of(tokenfall), target, report).changed)
    return run()


if __name__ == "__main__":
    sys.exit(main())
