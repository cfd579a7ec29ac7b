"""Metrics are sampled while clients are connected and never on an idle server."""

import pytest

from tokenfall.bootstrap.sampling import Sampling
from tokenfall.metrics.history import FIELDS, MINUTES, SECONDS, MetricsHistory
from tokenfall.metrics.registry import Metrics
from tokenfall.slicing.computation import at_once

from tests.doubles.clocks import FakeWheel


class Harness:
    def __init__(self, *, history: MetricsHistory | None = None) -> None:
        self.wheel = FakeWheel(1000.25)
        self.metrics = Metrics()
        self.sampled_s: list[float] = []
        self.sampling = Sampling(self.measured, self.wheel, page_paths=frozenset(), history=history)

    def measured(self) -> Metrics:
        self.sampled_s.append(self.wheel.now())
        return self.metrics

    def tokens(self) -> list[int | None]:
        rows = at_once(self.sampling.history.read(SECONDS, newest=int(self.wheel.now()), count=900))
        return [None if row is None else row[FIELDS.index("tokens")] for row in rows]


def test_samples_are_taken_each_second_while_a_client_is_connected() -> None:
    harness = Harness()
    harness.metrics.connections = 1
    harness.sampling.start()
    harness.sampling.start()
    harness.wheel.advance(3)

    assert harness.sampled_s == [1001.0, 1002.0, 1003.0]


@pytest.mark.parametrize("gauge", ["connections", "detached_turns"])
def test_sampling_stops_after_the_first_sample_without_a_client(gauge: str) -> None:
    harness = Harness()
    setattr(harness.metrics, gauge, 1)
    harness.sampling.start()
    harness.wheel.advance(2)
    setattr(harness.metrics, gauge, 0)
    harness.wheel.advance(60)

    assert (harness.sampled_s, harness.wheel.waiting) == ([1001.0, 1002.0, 1003.0], {})


def test_samples_of_short_connections_are_recorded() -> None:
    harness = Harness()
    harness.metrics.tokens = 7
    harness.sampling.start()
    harness.wheel.advance(10)
    harness.metrics.tokens = 9
    harness.sampling.start()
    harness.wheel.advance(2)

    assert harness.tokens() == [7, *[0] * 9, 2, 0]


def test_first_worker_samples_for_all_workers() -> None:
    history = MetricsHistory()
    history.write([0, 0, 0, 0, 0, 5, *[0] * 38], SECONDS, number=990, idle=False)
    harness = Harness(history=history)
    harness.metrics.tokens = 100  # counted by a worker before
    harness.sampling.start()
    harness.metrics.tokens = 103
    harness.wheel.advance(101)

    assert len(harness.sampled_s) == 102, "once at the start"
    assert harness.tokens() == [5, *[None] * 10, 3, *[0] * 100]
    assert at_once(history.read(MINUTES, newest=16, count=1)) != []
