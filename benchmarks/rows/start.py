"""Time from the start of the process to the first 200 of `/health`, with its files in the page cache."""

from time import perf_counter

from benchmarks.bench import Bench, Launch, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample
from benchmarks.processes import wait_until_healthy

ROW = Row("start", "start to first response", "s", target=Goal(0.12), beyond=Goal(0.08))


def _first_answer_s(bench: Bench, launch: Launch) -> float:
    begin = perf_counter()
    with launch.start(bench.server_core) as child:
        wait_until_healthy(child, launch.port)
        return perf_counter() - begin


def _tokenfall(bench: Bench) -> Sample:
    _first_answer_s(bench, bench.tokenfall())  # warms the page cache
    return Sample({ROW.name: _first_answer_s(bench, bench.tokenfall())})


def _gosim(bench: Bench) -> Sample:
    _first_answer_s(bench, bench.go_peer("gosim"))
    return Sample({ROW.name: _first_answer_s(bench, bench.go_peer("gosim"))})


MEASUREMENT = Measurement((ROW,), {OURS: _tokenfall, "gosim": _gosim})
