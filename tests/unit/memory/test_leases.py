import pytest

from tokenfall.errors import RequestMemoryFull, ResponseMemoryFull
from tokenfall.memory.leases import RequestMemory, ResponseMemory
from tokenfall.metrics.registry import Metrics


class Memory:
    """A limit of twenty bytes, of which one caller may hold ten, and the metrics that count them."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.leases = ResponseMemory(20, self.metrics)

    @property
    def held_bytes(self) -> int:
        return self.metrics.response_memory_bytes


def test_metrics_have_the_memory_and_the_refusals_by_reason() -> None:
    metrics = Metrics()
    requests, responses = RequestMemory(200_000, metrics), ResponseMemory(20, metrics)
    requests.lease("a").grow(RequestMemory.uncounted_bytes)
    assert metrics.request_memory_bytes == 0
    kept = requests.lease("a")
    kept.grow(RequestMemory.uncounted_bytes + 100_000)
    responses.lease("a").grow(7)
    assert (metrics.request_memory_bytes, metrics.response_memory_bytes) == (100_000, 7)
    for by_bytes in (100_000, 300_000):
        with pytest.raises(RequestMemoryFull):
            requests.lease("b").grow(by_bytes)
    with pytest.raises(ResponseMemoryFull):
        responses.lease("a").grow(7)
    kept.release()

    assert metrics.memory_refused == {("requests", "share"): 1, ("requests", "limit"): 1, ("responses", "share"): 1}
    assert metrics.request_memory_bytes == 0


def test_leases_share_the_limit() -> None:
    memory = Memory()
    first, second = memory.leases.lease("a"), memory.leases.lease("a")
    first.grow(4)
    second.grow(6)
    with pytest.raises(ResponseMemoryFull) as full:
        first.grow(1)

    assert (full.value.code, full.value.retry_after_s) == ("response_memory_full", 1.0)
    assert (first.size_bytes, second.size_bytes, memory.held_bytes) == (4, 6, 10)


def test_size_may_decrease_while_the_limit_is_exceeded_by_others() -> None:
    memory = Memory()
    lease, other = memory.leases.lease("a"), memory.leases.lease("a")
    lease.resize(6)
    other.resize(4)
    lease.resize(5)

    assert memory.held_bytes == 9


def test_memory_is_released_at_the_end_of_the_block() -> None:
    memory = Memory()
    with memory.leases.lease("a") as lease:
        lease.grow(10)

    assert memory.held_bytes == 0


def test_kept_memory_is_released_after_an_error() -> None:
    memory = Memory()

    def fail() -> None:
        with memory.leases.lease("a") as lease:
            lease.grow(10)
            lease.keep()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert memory.held_bytes == 0


def test_kept_memory_is_released_once() -> None:
    memory = Memory()
    with memory.leases.lease("a") as lease:
        lease.grow(7)
        release = lease.keep()
    other = memory.leases.lease("a")
    other.grow(3)
    assert memory.held_bytes == 10
    release()
    release()

    assert memory.held_bytes == 3
