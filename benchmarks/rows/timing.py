"""Timing error of tokens: arrival minus deadline, minus the smallest such difference of the stream.

Deadlines of random gaps are computed from the seed, as in the server.
"""

from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from random import Random

from tokenfall.simulator.timing import schedule
from tokenfall.simulator.values import Spread

from benchmarks.bench import Bench, Measurement
from benchmarks.exported import ExportedLateness
from benchmarks.measurement import OURS, Goal, Row, Sample
from benchmarks.streams import Streams
from benchmarks.toolchain import BUILD

SEED = 7
ERROR_GOALS = {1: (Goal(0.5), Goal(0.3)), 1_000: (Goal(1), Goal(0.5)), 10_000: (Goal(3), Goal(2))}
AGREES = Goal(0.2)
WARMUP_S = 4.0
OPENING_S = 30.0
"""An upper bound of the time to open all streams, while the first of them already run."""


@dataclass(frozen=True)
class _Case:
    """`streams` streams with the same gap, read for `seconds`; `cv` is the gap's coefficient of variation."""

    streams: int
    gap_ms: int
    cv: float = 0.0
    seconds: float = 8.0

    @property
    def name(self) -> str:
        return f"timing_{self.streams}_{self.gap_ms}ms{'_varied' if self.cv else ''}"

    @property
    def gap(self) -> str:
        return f"{self.gap_ms}ms~{self.cv:g}" if self.cv else f"{self.gap_ms}ms"

    @property
    def error(self) -> Row:
        target, beyond = ERROR_GOALS[self.streams]
        count = "one stream" if self.streams == 1 else f"{self.streams:,} streams"
        return Row(self.name, f"timing error of a token, p99, {count}, gap={self.gap}", "ms", target, beyond)

    @property
    def variation(self) -> Row:
        what = f"coefficient of variation of the gaps, one stream, gap={self.gap}"
        return Row(f"{self.name}_cv", what, "", target=Goal(0.15), beyond=Goal(0.08))

    @property
    def exported(self) -> Row:
        what = f"the p99 that /metrics exports, less the measured one, either way, {self.streams:,} streams"
        return Row(f"{self.name}_exported", f"{what}, gap={self.gap}", "ms", target=AGREES)

    def streams_on(self, bench: Bench) -> Streams:
        seconds, warmup = bench.seconds(self.seconds), bench.seconds(WARMUP_S)
        path, deadlines = f"/stream-loop?gap={self.gap}", None
        if self.cv:
            path += f"&seed={SEED}"
            deadlines = self._deadlines(tokens=int(2 * (OPENING_S + warmup + seconds) * 1000 / self.gap_ms))
        return Streams(self.streams, seconds, warmup=warmup, gap_ms=self.gap_ms, path=path, deadlines=deadlines)

    def _deadlines(self, *, tokens: int) -> Path:
        gaps = schedule(None, Spread(self.gap_ms / 1000, self.cv), random=Random(SEED))
        path = BUILD / f"{self.name}.deadlines"
        path.write_text("".join(f"{due_s * 1000:.6f}\n" for due_s in accumulate(islice(gaps, tokens))))
        return path


def _measured(case: _Case) -> Measurement:
    rows = (case.error, case.variation) if case.gap_ms == 1 else (case.error,)

    def take(bench: Bench) -> Sample:
        with bench.running(bench.tokenfall()) as server:
            read = case.streams_on(bench).read_all(bench, server)
        figures = {case.error.name: float(read["late_ms"]["p99"]), case.variation.name: float(read["gap_cv"])}
        return Sample(figures, read)

    return Measurement(rows, {OURS: take})


def _measured_and_exported(case: _Case) -> Measurement:
    def take(bench: Bench) -> Sample:
        with bench.running(bench.tokenfall()) as server:
            exported = ExportedLateness(server.url)
            read = case.streams_on(bench).read_all(bench, server, at=exported.at())
        measured_ms, exported_ms = float(read["late_ms"]["p99"]), exported.quantile_ms(0.99)
        figures = {case.error.name: measured_ms, case.exported.name: abs(exported_ms - measured_ms)}
        return Sample(figures, {**read, "exported_p99_ms": exported_ms})

    return Measurement((case.error, case.exported), {OURS: take})


ALONE = (
    _Case(1, 100, seconds=20),
    _Case(1, 20),
    _Case(1, 7),
    _Case(1, 3),
    _Case(1, 1),
    _Case(1, 20, cv=0.5),
)
THOUSAND = (_Case(1_000, 100), _Case(1_000, 7), _Case(1_000, 20, cv=0.5))
TEN_THOUSAND = _Case(10_000, 97)

MEASUREMENTS = (*map(_measured, ALONE), *map(_measured_and_exported, THOUSAND), _measured(TEN_THOUSAND))
