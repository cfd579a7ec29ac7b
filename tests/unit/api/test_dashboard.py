"""The fields of an event, and which viewer takes the samples at which time."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tokenfall.api import dashboard as dashboard_module
from tokenfall.api.dashboard import Dashboard, Now, Percentiles, Requests
from tokenfall.errors import shutting_down
from tokenfall.http.response import LiveStream
from tokenfall.metrics.registry import Metrics
from tokenfall.reactor.clock import WheelClock

from tests.doubles.clocks import FakeWheel, InstantClock
from tests.doubles.connections import settle
from tests.doubles.requests import lines_of, request
from tests.doubles.sent import RecordingSend

API = Path(__file__).parents[3] / "docs" / "api.md"
STARTED_S = 990.0
OVER = (
    b'event: error\ndata: {"error":{"code":"shutting_down",'
    b'"message":"the server is shutting down","retry_after":5}}\n\n'
)


class Viewer:
    """A viewer that records frames and makes the stream wait while `full` is set."""

    def __init__(self, stream: LiveStream) -> None:
        self.frames: list[bytes] = []
        self.full: Awaitable[None] | None = None
        self.end = asyncio.ensure_future(stream.run(self._send))

    def _send(self, frame: bytes, /, *, is_token: bool = True) -> Awaitable[None] | None:
        self.frames.append(frame)
        return self.full

    def events(self) -> list[Now]:
        return [event_of(frame) for frame in self.frames]

    def last(self) -> Now:
        return event_of(self.frames[-1])

    async def disconnect(self) -> None:
        self.end.cancel()
        await asyncio.wait([self.end])


class Harness:
    """A dashboard on a fake wheel that counts its reads of the metrics."""

    def __init__(self) -> None:
        self.wheel = FakeWheel(1000.0)
        self.metrics = Metrics()
        self.reads = 0
        self.draining = False
        self.sim = "gap=0.1s"
        self.defect: Exception | None = None
        self.dashboard = Dashboard(
            self.measured,
            WheelClock(self.wheel),
            page_paths=frozenset({"/board"}),
            sim=lambda: self.sim,
            started_s=STARTED_S,
            is_draining=lambda: self.draining,
        )
        self._viewers: list[Viewer] = []

    def measured(self) -> Metrics:
        self.reads += 1
        if self.defect is not None:
            raise self.defect
        return self.metrics

    async def watch(self) -> Viewer:
        viewer = Viewer(self.dashboard.events(request("/board/events")))
        self._viewers.append(viewer)
        await settle()
        return viewer

    async def pass_s(self, seconds: float) -> None:
        """Advance the clock from deadline to deadline, so that each sleeper wakes exactly on time."""
        wheel = self.wheel
        until_s = wheel.now_s + seconds
        while wheel.waiting and min(wheel.waiting.values()) <= until_s:
            wheel.advance(min(wheel.waiting.values()) - wheel.now_s)
            await settle()
        wheel.advance(until_s - wheel.now_s)

    async def close(self) -> None:
        for viewer in self._viewers:
            await viewer.disconnect()


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    new_harness = Harness()
    yield new_harness
    await new_harness.close()


def dashboard(metrics: Metrics, clock: InstantClock, frames: RecordingSend) -> Dashboard:
    """A dashboard whose stream ends after the third event."""
    return Dashboard(
        lambda: metrics,
        clock,
        page_paths=frozenset(),
        sim=str,
        started_s=STARTED_S,
        is_draining=lambda: len(frames) == 3,
    )


def event_of(frame: bytes) -> Now:
    """Decode a frame strictly: framing, field types and no unknown field."""
    data = frame.removeprefix(b"data: ").removesuffix(b"\n\n")
    assert frame == b"data: %b\n\n" % data
    assert tuple(json.loads(data)) == Now.__struct_fields__
    return msgspec.json.decode(data, type=Now, strict=True)


# Times of events


async def test_first_event_covers_the_first_second_on_any_clock() -> None:
    clock, metrics, frames = InstantClock(), Metrics(), RecordingSend()
    dashboard_ = dashboard(metrics, clock, frames)
    last = await dashboard_.events(request("/board/events")).run(frames)

    assert [event_of(frame).uptime_s for frame in frames] == [11.0, 12.0, 13.0]
    assert clock.slept == [1001.0, 1002.0, 1003.0, 1004.0]
    assert last == OVER


async def test_one_event_is_sent_per_second(harness: Harness) -> None:
    viewer = await harness.watch()
    await harness.pass_s(30)

    assert [event.uptime_s for event in viewer.events()] == [11.0 + second for second in range(30)]


async def test_no_sample_is_taken_without_viewers(harness: Harness) -> None:
    await harness.pass_s(5)
    assert harness.reads == 0
    viewer = await harness.watch()
    await harness.pass_s(2)
    await viewer.disconnect()
    reads = harness.reads
    await harness.pass_s(5)

    assert (harness.reads, harness.wheel.waiting) == (reads, {})


async def test_stream_is_announced_not_counted_and_not_cached(harness: Harness) -> None:
    stream = harness.dashboard.events(request("/board/events"))

    assert stream.announced
    assert not stream.counted
    assert stream.on_disconnect is None
    assert stream.keepalive == b": ping\n\n"
    assert {"HTTP/1.1 200 OK", "content-type: text/event-stream", "x-accel-buffering: no"} <= {
        *lines_of(stream.head.lines)
    }


# Sampling


@pytest.mark.parametrize("later_s", [0.0, 0.25, 0.5, 0.75, 0.98, 0.995])
async def test_two_viewers_share_one_sample_a_second(harness: Harness, later_s: float) -> None:
    first = await harness.watch()
    await harness.pass_s(later_s)
    second = await harness.watch()
    await harness.pass_s(10 - later_s)

    assert harness.reads == 11, "one at the start and one per second"
    assert [event.uptime_s for event in first.events()] == pytest.approx([11 + place for place in range(10)], abs=0.01)
    assert second.frames == first.frames


@pytest.mark.parametrize("late_s", [0.05, 0.2, 0.45])
async def test_late_wakeup_repeats_no_event_and_the_next_is_on_time(harness: Harness, late_s: float) -> None:
    first, second = await harness.watch(), await harness.watch()
    harness.wheel.advance(1 + late_s)
    await settle()
    await harness.pass_s(1.5 - late_s)

    assert [event.uptime_s for event in first.events()] == [11 + late_s, 12.0]
    assert (second.frames, harness.reads) == (first.frames, 3)


@pytest.mark.parametrize("late_s", [0.6, 1.7])
async def test_very_late_wakeup_sends_no_missed_events(harness: Harness, late_s: float) -> None:
    viewer = await harness.watch()
    harness.wheel.advance(1 + late_s)
    await settle()
    await harness.pass_s(1.75)

    assert [event.uptime_s for event in viewer.events()] == pytest.approx([11 + late_s, 11.5 + late_s, 12.5 + late_s])


async def test_slightly_early_wakeup_takes_a_sample() -> None:
    class EarlyClock(InstantClock):
        async def sleep_until(self, deadline_s: float) -> None:
            await super().sleep_until(deadline_s - 0.0005)

    clock, metrics, frames = EarlyClock(), Metrics(), RecordingSend()
    made = dashboard(metrics, clock, frames)
    await made.events(request("/board/events")).run(frames)

    assert [event_of(frame).uptime_s for frame in frames] == pytest.approx([11, 12, 13], abs=0.001)
    assert len(clock.slept) == 4


async def test_second_viewer_gets_the_current_event_at_once(harness: Harness) -> None:
    first = await harness.watch()
    await harness.pass_s(5.5)
    second = await harness.watch()

    assert second.frames == [first.frames[-1]]


async def test_remaining_viewer_takes_the_samples(harness: Harness) -> None:
    first = await harness.watch()
    await harness.pass_s(0.5)
    second = await harness.watch()
    await harness.pass_s(1.5)
    await first.disconnect()
    harness.metrics.tokens = 30
    await harness.pass_s(3)

    assert [event.uptime_s for event in second.events()] == [11.0, 12.0, 13.0, 14.0, 15.0]
    assert [event.tokens_per_s for event in second.events()] == [0.0, 0.0, 30.0, 0.0, 0.0]


async def test_samples_start_over_after_a_long_time_without_viewers(harness: Harness) -> None:
    viewer = await harness.watch()
    await harness.pass_s(5)
    await viewer.disconnect()
    harness.metrics.tokens = 1_000
    harness.metrics.requests = {("/chat", 200): 100}
    harness.metrics.ttft_s.observe(1.0, 100)
    await harness.pass_s(3.25)
    again = await harness.watch()
    assert again.frames == []
    harness.metrics.tokens += 7
    await harness.pass_s(1)

    (event,) = again.events()
    assert (event.tokens_per_s, event.requests_per_s) == (7.0, 0.0)
    assert (event.window_s, event.ttft) == (1.0, None)
    assert (event.tokens, event.requests) == (1_007, [Requests("/chat", 200, 100)])


async def test_samples_continue_after_a_short_time_without_viewers(harness: Harness) -> None:
    viewer = await harness.watch()
    await harness.pass_s(5)
    await viewer.disconnect()
    harness.metrics.tokens = 30
    await harness.pass_s(2)
    again = await harness.watch()

    assert [(event.tokens_per_s, event.window_s) for event in again.events()] == [(15.0, 7.0)]


# Fields


async def test_rates_are_of_the_last_second(harness: Harness) -> None:
    viewer = await harness.watch()
    for more in (7, 0, 12):
        harness.metrics.tokens += more
        harness.metrics.requests["/chat", 200] = harness.metrics.requests.get(("/chat", 200), 0) + more // 3
        harness.metrics.requests["/chat", 429] = harness.metrics.requests.get(("/chat", 429), 0) + more // 4
        await harness.pass_s(1)

    assert [(each.tokens_per_s, each.requests_per_s) for each in viewer.events()] == [
        (7.0, 3.0),
        (0.0, 0.0),
        (12.0, 7.0),
    ]


async def test_percentiles_are_of_ten_seconds(harness: Harness) -> None:
    viewer = await harness.watch()
    harness.metrics.ttft_s.observe(0.4, 3)
    await harness.pass_s(5)
    harness.metrics.ttft_s.observe(0.4)
    await harness.pass_s(15)

    counts = [None if event.ttft is None else event.ttft.count for event in viewer.events()]
    assert counts == [3] * 5 + [4] * 5 + [1] * 5 + [None] * 5
    assert [event.window_s for event in viewer.events()] == [*map(float, range(1, 11))] + [10.0] * 10


async def test_percentiles_are_those_of_the_histogram(harness: Harness) -> None:
    harness.metrics.inter_token_s.observe(9.0, 1_000)
    viewer = await harness.watch()
    harness.metrics.inter_token_s.observe(0.11, 90)
    harness.metrics.inter_token_s.observe(3.0, 10)
    await harness.pass_s(1)

    event = viewer.last().inter_token
    assert event is not None
    assert event.count == 100
    assert 0.09 < event.p50_s < event.p90_s < 0.13
    assert 2.5 < event.p99_s < 3.4
    assert (viewer.last().ttft, viewer.last().ticker_late) == (None, None)


async def test_decreasing_counts_give_no_rates_and_no_percentiles(harness: Harness) -> None:
    harness.metrics.tokens = 100
    harness.metrics.requests = {("/chat", 200): 10}
    for histogram in (harness.metrics.ttft_s, harness.metrics.inter_token_s, harness.metrics.timer_late_s):
        histogram.observe(0.1, 10)
    viewer = await harness.watch()
    harness.metrics = Metrics()
    harness.metrics.ttft_s.observe(0.1, 4)
    harness.metrics.inter_token_s.observe(5.0, 20)
    await harness.pass_s(1)

    event = viewer.last()
    assert (event.tokens_per_s, event.requests_per_s) == (0.0, 0.0)
    assert (event.ttft, event.inter_token, event.ticker_late) == (None, None, None)


def measured() -> Metrics:
    """Metrics with distinct values."""
    metrics = Metrics()
    metrics.workers, metrics.streams, metrics.connections, metrics.resident_bytes = 2, 3, 4, 24_117_248
    metrics.upstream_retries, metrics.rate_limited, metrics.stalled_readers = 5, 6, 7
    metrics.connections_refused, metrics.log_lines_lost = 8, 9
    metrics.streams_ended = {"complete": 10, "left": 11}
    metrics.upstream_errors = {"upstream_timeout": 12}
    metrics.requests = {("/chat", 200): 13, ("", 404): 14}
    metrics.streams_failed = {"/chat": 3}
    metrics.tokens = 4_711
    metrics.detached_turns = 15
    metrics.request_memory_bytes, metrics.response_memory_bytes = 16, 17
    metrics.memory_refused = {("requests", "share"): 18, ("responses", "limit"): 1}
    return metrics


GOLDEN = (
    b'data: {"at":1795205398.9,"uptime_s":11.0,"version":"1.2.3","workers":2,"streams":3,"connections":4,'
    b'"detached_turns":15,'
    b'"resident_bytes":24117248,"request_memory_bytes":16,"response_memory_bytes":17,"tokens_per_s":100.0,"requests_per_s":1.0,"window_s":1.0,'
    b'"ttft":{"count":10,"p50_s":0.229251,"p90_s":0.245705,"p99_s":0.249567},"inter_token":null,'
    b'"ticker_late":{"count":4,"p50_s":0.000324,"p90_s":0.000347,"p99_s":0.000353},'
    b'"upstream_ttft":[{"count":1,"p50_s":0.229251,"p90_s":0.245705,"p99_s":0.249567,"model":"m"}],"tokens":4811,'
    b'"requests":[{"route":"/chat","status":200,"count":14,"failed":3},{"route":"","status":404,"count":14,"failed":0}],'
    b'"streams_ended":{"complete":10,"left":11},"upstream_errors":{"upstream_timeout":12},"upstream_retries":5,'
    b'"rate_limited":6,"memory_refused":19,"stalled_readers":7,"connections_refused":8,"log_lines_lost":9,"sim":"gap=0.1s",'
    b'"draining":false}\n\n'
)


async def test_event_has_the_expected_bytes(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_module, "__version__", "1.2.3")
    monkeypatch.setattr(dashboard_module, "time", lambda: 1795205398.90004)
    harness.metrics = measured()
    viewer = await harness.watch()
    harness.metrics.tokens += 100
    harness.metrics.requests["/chat", 200] += 1
    harness.metrics.ttft_s.observe(0.24, 10)
    harness.metrics.timer_late_s.observe(0.0003, 4)
    harness.metrics.upstream_began("m", 0.24)
    await harness.pass_s(1)

    assert viewer.frames == [GOLDEN]


async def test_requests_of_the_web_pages_are_not_counted(harness: Harness) -> None:
    viewer = await harness.watch()
    harness.metrics.requests = {("/board", 200): 5, ("/chat", 200): 2}
    await harness.pass_s(1)

    assert (viewer.last().requests, viewer.last().requests_per_s) == ([Requests("/chat", 200, 2)], 2.0)


async def test_failed_streams_are_counted_by_route(harness: Harness) -> None:
    viewer = await harness.watch()
    harness.metrics.requests = {("/chat", 200): 9, ("/chat", 503): 1, ("/v1/messages", 200): 1}
    harness.metrics.streams_failed = {"/chat": 2}
    await harness.pass_s(1)

    assert [each.failed for each in viewer.last().requests] == [2, 0, 0]


async def test_upstream_models_are_listed_while_they_start_streams(harness: Harness) -> None:
    harness.metrics.upstream_began("idle", 9.0)
    viewer = await harness.watch()
    harness.metrics.upstream_began("small", 0.1)
    harness.metrics.upstream_began("large", 2.0)
    await harness.pass_s(11)

    small, large = viewer.events()[0].upstream_ttft
    assert (small.model, small.count, large.model, large.count) == ("small", 1, "large", 1)
    assert [small.p99_s, large.p50_s] == pytest.approx([0.1, 2.0], rel=0.2)
    assert viewer.last().upstream_ttft == []


def test_event_example_in_api_docs_has_the_fields_in_order() -> None:
    (example,) = re.findall(r'\ndata: (\{"at":.*?\})\n```', API.read_text(encoding="utf-8"), re.DOTALL)
    event: dict[str, Any] = json.loads(example)

    assert tuple(event) == Now.__struct_fields__
    assert tuple(event["ttft"]) == Percentiles.__struct_fields__
    assert tuple(event["requests"][0]) == Requests.__struct_fields__
    msgspec.convert(event, Now, strict=True)


# End of the stream


async def test_drain_ends_the_event_stream_at_the_next_second(harness: Harness) -> None:
    viewer = await harness.watch()
    await harness.pass_s(2)
    harness.draining = True
    await harness.pass_s(0.75)
    assert not viewer.end.done()
    await harness.pass_s(0.25)

    assert await viewer.end == OVER
    assert len(viewer.frames) == 2
    assert harness.reads == 4, "the last read finds no open stream"


async def test_events_report_the_drain_until_the_last_stream_has_ended(harness: Harness) -> None:
    viewer = await harness.watch()
    harness.metrics.streams = 3
    await harness.pass_s(2)
    harness.draining = True
    await harness.pass_s(2)
    harness.metrics.streams = 0
    await harness.pass_s(1)

    assert [(event.draining, event.streams) for event in viewer.events()] == [(False, 3)] * 2 + [(True, 3)] * 2
    assert await viewer.end == OVER


async def test_drain_ends_the_events_before_the_first_one(harness: Harness) -> None:
    viewer = await harness.watch()
    harness.draining = True
    await harness.pass_s(1)

    assert (await viewer.end, viewer.frames) == (OVER, [])


async def test_cut_event_stream_ends_with_the_shutdown_frame(harness: Harness) -> None:
    assert harness.dashboard.events(request("/board/events")).failure(shutting_down()) == OVER


async def test_failure_ends_the_events_with_an_error_event(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    viewer = await harness.watch()
    harness.defect = ZeroDivisionError("s3cret")
    await harness.pass_s(1)
    with pytest.raises(ZeroDivisionError):
        await viewer.end
    frame = harness.dashboard.events(request("/board/events")).failure(harness.defect)

    assert isinstance(frame, bytes)
    assert frame.startswith(b'event: error\ndata: {"error":{"code":"internal_error",')
    assert b"s3cret" not in frame
    assert caplog.records[0].exc_info is not None


async def test_slow_reader_gets_only_the_current_event(harness: Harness) -> None:
    viewer, other = await harness.watch(), await harness.watch()
    viewer.full = room = asyncio.get_running_loop().create_future()
    await harness.pass_s(5.5)
    assert len(viewer.frames) == 1
    viewer.full = None
    harness.metrics.tokens = 8
    room.set_result(None)
    await harness.pass_s(0.5)
    assert viewer.frames[1:] == [other.frames[-1]], "missed seconds are not sent later"
    await harness.pass_s(2)

    assert [event.uptime_s for event in viewer.events()] == [11.0, 16.0, 17.0, 18.0]
    assert [event.tokens for event in viewer.events()] == [0, 8, 8, 8]
    assert len(other.frames) == 8


async def test_rate_for_a_single_slow_reader_covers_its_delay(harness: Harness) -> None:
    viewer = await harness.watch()
    viewer.full = room = asyncio.get_running_loop().create_future()
    await harness.pass_s(3)
    harness.metrics.tokens = 8
    viewer.full = None
    room.set_result(None)
    await settle()

    assert [event.tokens_per_s for event in viewer.events()] == [0.0, 4.0]
    assert [event.uptime_s for event in viewer.events()] == [11.0, 13.0]
