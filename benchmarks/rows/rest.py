"""Memory of a server that listens and has received no request."""

from benchmarks.bench import Bench, Launch, Measurement
from benchmarks.machine import memory_mib
from benchmarks.measurement import OURS, Goal, NotMeasured, Row, Sample

RESIDENT = Row("rest_resident", "resident memory of an idle server", "MiB", target=Goal(15), beyond=Goal(13))
ANONYMOUS = Row("rest_anonymous", "anonymous memory of an idle server", "MiB", target=Goal(7), beyond=Goal(5.5))
SETTLES_WITHIN_S = 0.5


def _read(bench: Bench, launch: Launch) -> Sample:
    with bench.running(launch) as server:
        if server.process.ends_within(SETTLES_WITHIN_S):
            raise NotMeasured(f"{launch.name} ended while at rest")
        memory = memory_mib(server.pid)
    return Sample({RESIDENT.name: memory["Rss"], ANONYMOUS.name: memory["Anonymous"]}, memory)


def _tokenfall(bench: Bench) -> Sample:
    return _read(bench, bench.tokenfall())


def _gosim(bench: Bench) -> Sample:
    return _read(bench, bench.go_peer("gosim"))


MEASUREMENT = Measurement((RESIDENT, ANONYMOUS), {OURS: _tokenfall, "gosim": _gosim})
