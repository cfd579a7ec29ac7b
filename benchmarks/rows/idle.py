"""Processor time and wake-ups of a server without clients, in one minute after its first response."""

from benchmarks.bench import Bench, Measurement
from benchmarks.machine import scheduled_seconds, wakeups
from benchmarks.measurement import OURS, Goal, NotMeasured, Row, Sample
from benchmarks.processes import wait_until_healthy

MINUTE_S = 60.0
SETTLES_WITHIN_S = 2.0

COST = Row("idle_cpu", "processor time of a server without clients, 60 s", "s", target=Goal(0.04))
WAKEUPS = Row("idle_wakeups", "wake-ups of a server without clients, 60 s", "times", target=Goal(0))


def _tokenfall(bench: Bench) -> Sample:
    with bench.running(bench.tokenfall()) as server:
        wait_until_healthy(server.process, server.port)
        ended = server.process.ends_within(SETTLES_WITHIN_S)
        cpu_s, woken = scheduled_seconds(server.pid), wakeups(server.pid)
        if ended or server.process.ends_within(bench.seconds(MINUTE_S)):
            raise NotMeasured(f"{server.name} ended while it was idle")
        cpu_s, woken = scheduled_seconds(server.pid) - cpu_s, wakeups(server.pid) - woken
    return Sample({COST.name: cpu_s, WAKEUPS.name: float(woken)})


MEASUREMENT = Measurement((COST, WAKEUPS), {OURS: _tokenfall})
