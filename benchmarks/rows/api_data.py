"""`/api/data`: short answers under wrk."""

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


def _ask(bench: Bench, launch: Launch) -> Sample:
    with bench.running(launch) as server:
        wrk.ask(bench, server, path=PATH, seconds=1)  # every connection has been open once, buffers have grown
        answered = wrk.ask(bench, server, path=PATH, seconds=bench.seconds(8))
    return Sample({ROW.name: answered["cpu_us_per_request"]}, answered)


def _tokenfall(bench: Bench) -> Sample:
    return _ask(bench, bench.tokenfall())


def _gosim(bench: Bench) -> Sample:
    return _ask(bench, bench.go_peer("gosim"))


MEASUREMENT = Measurement((ROW,), {OURS: _tokenfall, "gosim": _gosim})
