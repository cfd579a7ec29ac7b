"""`/api/data`: short responses under wrk."""

from benchmarks import wrk
from benchmarks.bench import Bench, Launch, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample

PATH = "/api/data"
ROW = Row(
    "api_data",
    "processor time per request, /api/data, 400 connections",
    "µs",
    target=Goal(0.6, against="gosim"),
    beyond=Goal(0.5, against="gosim"),
)


def _measure(bench: Bench, launch: Launch) -> Sample:
    with bench.running(launch) as server:
        wrk.run(bench, server, path=PATH, seconds=1)  # warm-up: all connections were opened once, buffers have grown
        measured = wrk.run(bench, server, path=PATH, seconds=bench.seconds(8))
    return Sample({ROW.name: measured["cpu_us_per_request"]}, measured)


def _tokenfall(bench: Bench) -> Sample:
    return _measure(bench, bench.tokenfall())


def _gosim(bench: Bench) -> Sample:
    return _measure(bench, bench.go_peer("gosim"))


MEASUREMENT = Measurement((ROW,), {OURS: _tokenfall, "gosim": _gosim})
