"""How many endless streams fit in a tenth of a processor and 20 MB, as in a small container."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Launch, Measurement, Server
from benchmarks.interpreter import cold_interpreter
from benchmarks.measurement import OURS, Goal, NotMeasured, Row, Sample
from benchmarks.processes import Child, DidNotListen, listening
from benchmarks.streams import Streams
from benchmarks.toolchain import HERE

CPUS, MEMORY = "0.1", "20M"
GAP_MS = 200
COUNTS = (250, 500, 750, 1000, 1500, 2000, 2500)
DELIVERED = 0.99
STARTS_WITHIN_S = 30.0

ROW = Row(
    "box",
    "endless streams in 0.1 CPU and 20 MB, cold page cache, a token every 200 ms",
    "streams",
    target=Goal(1500, at_least=True),
    beyond=Goal(2500, at_least=True),
)
ALONE = Row(
    "box_alone",
    "the same where no other process shares the interpreter's pages",
    "streams",
    target=Goal(1500, at_least=True),
    beyond=Goal(2500, at_least=True),
)


def _need_control_groups() -> None:
    if os.geteuid() != 0:
        raise NotMeasured("a control group needs root")
    for place in (Path("/proc/sys/vm/drop_caches"), Path("/sys/fs/cgroup")):
        if not os.access(place, os.W_OK):
            raise NotMeasured(f"{place} cannot be written here")


def _from_cold_files(command: list[str]) -> list[str]:
    """The command as it is, unless it runs the interpreter that this program runs on too."""
    return cold_interpreter() + command[1:] if command[0] == sys.executable else command


def _log(bench: Bench, launch: Launch) -> Path:
    return bench.in_logs(f"{launch.name}-box")


@contextmanager
def _boxed(bench: Bench, launch: Launch) -> Iterator[Server]:
    command = [str(HERE / "box.sh"), CPUS, MEMORY, *launch.command]
    box = Child(command, core=bench.server_core, env=launch.env, log=_log(bench, launch))
    with listening(box, launch.port, within_s=STARTS_WITHIN_S):
        yield Server(box, launch.port)


def _try(bench: Bench, launch: Launch, *, count: int) -> dict[str, Any]:
    """One box with `count` streams: whether it held them, and what it used."""
    streams = Streams(count, bench.seconds(10), warmup=bench.seconds(10), gap_ms=GAP_MS)
    delivered, ended = 0.0, True
    with suppress(DidNotListen), _boxed(bench, launch) as server:
        delivered = streams.read(bench, server)["delivered"]
        ended = server.child.ends_within(0)  # the server was killed, so the box is no more
    report = re.search(r"box: peak_bytes=(\S+) oom_kills=(\S+)", _log(bench, launch).read_text())
    if not report:
        raise NotMeasured("the control group could not be made")
    peak, kills = report.groups()
    used = {"streams": count, "delivered": delivered, "peak_bytes": peak, "oom_kills": kills}
    return {**used, "held": delivered >= DELIVERED and kills == "0" and not ended}


def most_held(counts: Sequence[int], hold: Callable[[int], bool]) -> int:
    """The greatest of ascending `counts` that is held, 0 if none; asks about few of them (bisection)."""
    held, too_many = 0, len(counts)  # how many of `counts` are known to be held, and where it ends
    while held < too_many:
        middle = (held + too_many) // 2
        if hold(counts[middle]):
            held = middle + 1
        else:
            too_many = middle
    return counts[held - 1] if held else 0


def _search(bench: Bench, launch: Callable[[], Launch], *, row: Row = ROW) -> Sample:
    _need_control_groups()
    tries = []

    def hold(count: int) -> bool:
        tries.append(_try(bench, launch(), count=count))
        return bool(tries[-1]["held"])

    return Sample({row.name: float(most_held(COUNTS, hold))}, {"tries": tries})


def _as_in_the_image(bench: Bench) -> Launch:
    """Without docstrings, as the container image runs it."""
    return bench.tokenfall(PYTHONOPTIMIZE="2")


def _tokenfall(bench: Bench) -> Sample:
    return _search(bench, lambda: _as_in_the_image(bench))


def _gosim(bench: Bench) -> Sample:
    return _search(bench, lambda: bench.go_peer("gosim"))


def _tokenfall_alone(bench: Bench) -> Sample:
    def launch() -> Launch:
        usual = _as_in_the_image(bench)
        return replace(usual, command=_from_cold_files(usual.command))

    return _search(bench, launch, row=ALONE)


MEASUREMENT = Measurement((ROW,), {OURS: _tokenfall, "gosim": _gosim})
MEASUREMENT_ALONE = Measurement((ALONE,), {OURS: _tokenfall_alone})
