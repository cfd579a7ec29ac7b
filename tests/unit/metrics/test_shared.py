import os
from mmap import mmap
from multiprocessing import get_context

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.metrics.registry import Metrics
from tokenfall.metrics.shared import (
    HALF_BYTES,
    HEADER_BYTES,
    PUBLISH_EVERY_S,
    SLOT_BYTES,
    SharedMetrics,
    WorkerMetrics,
)

from tests.doubles.clocks import FakeWheel


def counted(tokens: int, connections: int = 0) -> Metrics:
    metrics = Metrics()
    metrics.tokens, metrics.connections = tokens, connections
    metrics.requests = {("/chat", 200): tokens}
    return metrics


def publish(shared: SharedMetrics, number: int, metrics: Metrics) -> bool:
    shared.number = number
    return shared.publish(metrics.snapshot())


def tokens(shared: SharedMetrics, number: int = 0) -> int | None:
    last = shared.last(number)
    return None if last is None else last["tokens"]


def with_memory(workers: int) -> tuple[SharedMetrics, mmap]:
    """Shared metrics and their memory, which a test can overwrite to simulate a killed writer."""
    memories: list[mmap] = []

    def make(fileno: int, length: int) -> mmap:
        memories.append(mmap(fileno, length))
        return memories[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenfall.metrics.shared.mmap", make)
        shared = SharedMetrics(workers)
    return shared, memories[0]


def halves(number: int = 0) -> list[int]:
    """The offsets of the slot's halves."""
    return [number * SLOT_BYTES + HEADER_BYTES + half * HALF_BYTES for half in (0, 1)]


def test_slot_has_the_last_published_snapshot() -> None:
    shared = SharedMetrics(1)
    for count in (5, 7, 6):
        assert publish(shared, 0, counted(count))
        assert shared.last(0) == msgspec.msgpack.decode(msgspec.msgpack.encode(counted(count).snapshot()))


def test_total_of_empty_slots_is_zero() -> None:
    shared = SharedMetrics(3)
    total = shared.total()

    assert shared.last(2) is None
    assert (total.workers, total.tokens, total.requests) == (0, 0, {})


def test_total_is_the_sum_of_the_slots() -> None:
    shared = SharedMetrics(3)
    for number, count in enumerate((1, 20, 300)):
        publish(shared, number, counted(count, connections=number))
    total = shared.total()

    assert (total.workers, total.tokens, total.connections) == (3, 321, 3)
    assert total.requests == {("/chat", 200): 321}


def test_ended_worker_contributes_only_counters_until_replaced() -> None:
    shared = SharedMetrics(2)
    publish(shared, 0, counted(1, connections=10))
    publish(shared, 1, counted(2, connections=20))
    shared.mark_dead(1)
    assert (shared.total().workers, shared.total().tokens, shared.total().connections) == (1, 3, 10)

    publish(shared, 1, counted(3, connections=1))
    assert (shared.total().workers, shared.total().tokens, shared.total().connections) == (2, 4, 11)


@given(keep=st.integers(0, 400))
def test_worker_killed_during_a_write_leaves_its_previous_snapshot(keep: int) -> None:
    shared, memory = with_memory(1)
    publish(shared, 0, counted(1))
    publish(shared, 0, counted(2))
    start = halves()[0]
    before = memory[start : start + 1_000]
    publish(shared, 0, counted(300_000))
    written = memory[start : start + 1_000]
    memory[start : start + 1_000] = written[:keep] + before[keep:]  # the write was interrupted at this byte

    assert tokens(shared) == (300_000 if written[:keep] + before[keep:] == written else 2)


@given(noise=st.binary(min_size=64, max_size=64), half=st.sampled_from([0, 1]))
def test_random_bytes_are_never_a_valid_snapshot(noise: bytes, half: int) -> None:
    shared, memory = with_memory(1)
    publish(shared, 0, counted(1))
    publish(shared, 0, counted(2))
    start = halves()[half]
    memory[start : start + 64] = noise

    assert tokens(shared) == (2 if half == 0 else 1)


def test_slot_with_two_invalid_halves_is_empty_and_writable() -> None:
    shared, memory = with_memory(2)
    publish(shared, 1, counted(1))
    for start in halves(1):
        memory[start : start + 8] = b"\xff" * 8
    assert tokens(shared, 1) is None
    assert shared.total().tokens == 0

    publish(shared, 1, counted(5))
    assert tokens(shared, 1) == 5


def outgrown() -> Metrics:
    metrics = counted(9)
    metrics.requests = {(f"/{n}", 200): 1 for n in range(5_000)}
    return metrics


def test_too_large_snapshot_changes_nothing() -> None:
    shared = SharedMetrics(2)
    publish(shared, 0, counted(1))
    publish(shared, 1, counted(2))

    assert not publish(shared, 0, outgrown())
    assert [tokens(shared, number) for number in (0, 1)] == [1, 2]


def test_slot_is_writable_to_its_last_byte_without_touching_the_next() -> None:
    shared = SharedMetrics(2)
    publish(shared, 1, counted(2))
    shared.number = 0
    fitting = max(size for size in range(HALF_BYTES - 64, HALF_BYTES) if shared.publish({"tokens": 1, "x": "y" * size}))

    assert not shared.publish({"tokens": 2, "x": "y" * (fitting + 1)})
    assert shared.publish({"tokens": 3, "x": "y" * fitting})
    assert shared.publish({"tokens": 4, "x": "y" * fitting})
    assert [tokens(shared, number) for number in (0, 1)] == [4, 2]


def test_concurrent_write_is_never_read_partially() -> None:
    shared = SharedMetrics(1)
    publish(shared, 0, counted(0))
    writer = get_context("fork").Process(target=write_much, args=(shared,))
    writer.start()
    last = 0
    try:
        while last < WRITES:
            found = shared.last(0)
            assert found is not None
            assert found["requests"] == {("/chat", 200): found["tokens"]}
            assert found["tokens"] >= last, "token counts never decrease"
            last = found["tokens"]
    finally:
        writer.join(10)
    assert writer.exitcode == 0


WRITES = 20_000


def write_much(shared: SharedMetrics) -> None:
    for count in range(1, WRITES + 1):
        publish(shared, 0, counted(count))
    os._exit(0)


# Workers


def started(shared: SharedMetrics, number: int, metrics: Metrics, *, wheel: FakeWheel | None = None) -> WorkerMetrics:
    shared.number = number
    return WorkerMetrics(shared, metrics, wheel=wheel or FakeWheel(), resident_bytes=lambda: 1_000)


def test_worker_publishes_from_the_start_and_periodically() -> None:
    shared, wheel, metrics = SharedMetrics(2), FakeWheel(), counted(1)
    started(shared, 1, metrics, wheel=wheel)
    assert (shared.total().workers, shared.total().tokens, shared.total().resident_bytes) == (1, 1, 1_000)

    for count in (2, 3):
        metrics.tokens = count
        wheel.advance(PUBLISH_EVERY_S + 0.01)
        assert tokens(shared, 1) == count


def test_heartbeats_increase_while_the_timer_runs() -> None:
    shared, wheel = SharedMetrics(2), FakeWheel()
    started(shared, 1, counted(1), wheel=wheel)
    before = shared.beats(1)
    wheel.advance(3 * PUBLISH_EVERY_S + 0.01)

    assert shared.beats(1) - before == 3
    assert shared.beats(0) == 0


def test_total_includes_the_workers_current_metrics() -> None:
    shared, metrics = SharedMetrics(2), Metrics()
    publish(shared, 1, counted(10))
    worker = started(shared, 0, metrics)
    metrics.tokens = 5

    assert worker.total().tokens == 15


def test_new_worker_continues_the_counters_with_its_own_gauges() -> None:
    shared, metrics = SharedMetrics(2), Metrics()
    publish(shared, 0, counted(10, connections=3))
    publish(shared, 1, counted(100))
    shared.mark_dead(0)
    worker = started(shared, 0, metrics)
    metrics.tokens += 1
    total = worker.total()

    assert (total.tokens, total.requests, total.connections) == (111, {("/chat", 200): 110}, 0)
    assert (total.workers, total.resident_bytes) == (2, 1_000)


def test_metrics_over_the_slot_size_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    shared, metrics = SharedMetrics(1), counted(1)
    worker = started(shared, 0, metrics)
    metrics.merge(outgrown().snapshot())
    for _ in range(3):
        assert worker.total().tokens == 1

    assert [record.levelname for record in caplog.records] == ["WARNING"]
