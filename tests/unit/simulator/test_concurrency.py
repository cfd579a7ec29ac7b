import weakref

import pytest

from tokenfall.simulator.concurrency import SPARE, ConcurrencyLimiter, ConcurrencyLimiters, Permit
from tokenfall.simulator.values import Load

from tests.doubles.waiting_streams import WaitingStream


@pytest.fixture
def limiter() -> ConcurrencyLimiter:
    return ConcurrencyLimiters().of("caller")


def test_gaps_grow_linearly_up_to_the_capacity(limiter: ConcurrencyLimiter) -> None:
    load = Load(3.0, 4)
    factors = []
    for _ in range(6):
        factors.append(limiter.factor(load))
        limiter.acquire()

    assert factors == [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]


def queued(
    limiter: ConcurrencyLimiter, names: str, load: Load, *, at_once: bool = True
) -> tuple[list[WaitingStream], list[str]]:
    admitted: list[str] = []
    streams = [WaitingStream(name, admitted, at_once=at_once) for name in names]
    for stream in streams:
        stream.try_pass(Permit(limiter, load))
    return streams, admitted


def test_queued_streams_are_admitted_in_fifo_order(limiter: ConcurrencyLimiter) -> None:
    streams, admitted = queued(limiter, "abcd", Load(1.0, 2))
    assert (admitted, limiter.active, limiter.waiting) == (["a", "b"], 2, 2)
    streams[1].disconnect()
    assert (admitted, limiter.active) == (["a", "b", "c"], 2)
    streams[0].disconnect()

    assert (admitted, limiter.active, limiter.waiting) == (["a", "b", "c", "d"], 2, 0)


def test_running_stream_passes_the_concurrency_limit_again(limiter: ConcurrencyLimiter) -> None:
    (stream,), _ = queued(limiter, "a", Load(1.0, 1))
    assert stream.try_pass()
    assert limiter.active == 1
    stream.disconnect()
    stream.disconnect()

    assert limiter.active == 0


def test_concurrency_limit_without_load_admits_at_once(limiter: ConcurrencyLimiter) -> None:
    queued(limiter, "a", Load(1.0, 1))
    permit = Permit(limiter, None)

    assert permit.passes(lambda: None)
    assert limiter.active == 2


def test_cancelled_queued_stream_is_not_admitted(limiter: ConcurrencyLimiter) -> None:
    (first, second, third), admitted = queued(limiter, "abc", Load(1.0, 1))
    second.disconnect()
    first.disconnect()

    assert (second.woken, admitted, limiter.active, limiter.waiting) == (0, ["a", "c"], 1, 0)
    third.disconnect()
    assert limiter.active == 0


def test_permit_of_a_stream_cancelled_before_its_wakeup_goes_to_the_next(limiter: ConcurrencyLimiter) -> None:
    (first, second, third), _ = queued(limiter, "abc", Load(1.0, 1), at_once=False)
    first.disconnect()
    assert (second.woken, third.woken) == (1, 0)
    second.disconnect()

    assert (third.woken, limiter.active) == (1, 1)


def test_assigned_permit_cannot_be_taken_by_another_stream(limiter: ConcurrencyLimiter) -> None:
    (first, second), admitted = queued(limiter, "ab", Load(1.0, 1), at_once=False)
    first.disconnect()
    _, late = queued(limiter, "c", Load(1.0, 1))

    assert late == []
    assert second.try_pass()
    assert admitted == ["a", "b"]


def test_stream_with_a_smaller_limit_does_not_block_others(limiter: ConcurrencyLimiter) -> None:
    queued(limiter, "a", Load(1.0, 9))
    _, narrow = queued(limiter, "b", Load(1.0, 1))
    _, wide = queued(limiter, "c", Load(1.0, 9))

    assert (narrow, wide, limiter.active, limiter.waiting) == ([], ["c"], 2, 1)


def test_free_permit_skips_streams_with_a_smaller_limit(limiter: ConcurrencyLimiter) -> None:
    streams, _ = queued(limiter, "ab", Load(1.0, 2))
    _, narrow = queued(limiter, "c", Load(1.0, 1))
    _, wide = queued(limiter, "d", Load(1.0, 2))
    streams[0].disconnect()
    assert (narrow, wide) == ([], ["d"])
    streams[1].disconnect()

    assert narrow == []
    assert limiter.active == 1


def test_disconnect_in_the_queue_releases_everything(limiter: ConcurrencyLimiter) -> None:
    (inside,), _ = queued(limiter, "a", Load(1.0, 1))
    waiting, admitted = queued(limiter, "b" * 3 * SPARE, Load(1.0, 1))
    for stream in waiting[1:]:
        stream.disconnect()
    inside.disconnect()

    assert (admitted, limiter.active, limiter.waiting) == (["b"], 1, 0)


def test_joining_the_queue_twice_keeps_the_position(limiter: ConcurrencyLimiter) -> None:
    (inside,), _ = queued(limiter, "a", Load(1.0, 1))
    (first, second), admitted = queued(limiter, "bc", Load(1.0, 1))
    assert not first.try_pass()
    inside.disconnect()

    assert (admitted, second.woken) == (["b"], 0)


def test_callers_have_separate_queues() -> None:
    limiters, load = ConcurrencyLimiters(), Load(1.0, 1)
    admitted: list[str] = []
    streams = [WaitingStream(name, admitted) for name in "abc"]
    for stream, caller in zip(streams, ("one", "one", "two"), strict=True):
        stream.try_pass(limiters.permit(load, caller=caller))
    assert (admitted, limiters.active, limiters.waiting) == (["a", "c"], 2, 1)
    streams[0].disconnect()

    assert (admitted, limiters.active, limiters.waiting) == (["a", "c", "b"], 2, 0)


def test_load_counts_the_streams_of_its_caller_only() -> None:
    limiters, load = ConcurrencyLimiters(), Load(3.0, 2)
    permit = limiters.permit(load, caller="one")
    assert permit.passes(lambda: None)

    assert limiters.of("one").factor(load) == 2.0
    assert limiters.of("two").factor(load) == 1.0


def test_limiter_of_a_caller_without_streams_is_released() -> None:
    limiters, load = ConcurrencyLimiters(), Load(1.0, 1)
    first = weakref.ref(limiters.of("one"))
    assert first() is None
    permit = limiters.permit(load, caller="one")
    second = weakref.ref(limiters.of("one"))
    assert second() is limiters.of("one")
    permit.release()
    del permit

    assert second() is None


def test_streams_without_load_count_only_in_the_total() -> None:
    limiters = ConcurrencyLimiters()
    limiters.acquire()
    permit = limiters.permit(None, caller="one")
    assert permit.passes(lambda: None)
    assert (limiters.active, limiters.of("one").active) == (2, 0)
    permit.release()
    limiters.release()

    assert limiters.active == 0
