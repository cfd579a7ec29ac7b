import pytest

from tokenfall.errors import UpstreamTimeout
from tokenfall.metrics.registry import Metrics
from tokenfall.reactor.deadlines import DEADLINE_STEPS_PER_S
from tokenfall.upstream.timeouts import UpstreamTimeouts, Watch

from tests.doubles.clocks import FakeWheel

TIMEOUTS = UpstreamTimeouts(first_token_s=30.0, next_token_s=15.0, total_s=100.0)
COARSE_S = 1 / DEADLINE_STEPS_PER_S

FIRST = ("upstream_first_token_timeout", "the upstream did not send the first token in time")
NEXT = ("upstream_next_token_timeout", "the upstream did not send the next token in time")
TOTAL = ("upstream_total_timeout", "the upstream's response did not end in time")


class WatchHarness:
    """A watch that starts at 1000 s and records the errors it reports."""

    def __init__(self) -> None:
        self.wheel = FakeWheel(1000.0)
        self.errors: list[tuple[str, str]] = []
        self.watch = Watch(self.wheel, TIMEOUTS, started_s=1000.0)
        self.watch.start(self._late)

    def _late(self, error: UpstreamTimeout) -> None:
        self.errors.append((error.code, error.message))


@pytest.fixture
def harness() -> WatchHarness:
    return WatchHarness()


def first_error_at_s(harness: WatchHarness, until_s: float) -> float:
    """The time of the first reported error, in seconds from the start."""
    while not harness.errors and harness.wheel.now() < 1000.0 + until_s:
        harness.wheel.advance(0.25)
    return harness.wheel.now() - 1000.0


def test_missing_first_token_times_out(harness: WatchHarness) -> None:
    assert first_error_at_s(harness, 200) == pytest.approx(30.0, abs=COARSE_S)
    assert harness.errors == [FIRST]


def test_first_token_timeout_counts_from_the_request() -> None:
    harness = WatchHarness()
    wheel = harness.wheel
    watch = Watch(wheel, TIMEOUTS, started_s=980.0)
    late: list[float] = []
    watch.start(lambda _: late.append(wheel.now()))
    wheel.advance(60)

    assert late == [pytest.approx(1010.0, abs=COARSE_S)]


@pytest.mark.parametrize("token_s", [0.0, 5.0, 29.0, 29.9])
def test_missing_next_token_times_out(harness: WatchHarness, token_s: float) -> None:
    harness.wheel.advance(token_s)
    harness.watch.token()

    assert first_error_at_s(harness, 200) == pytest.approx(token_s + 15.0, abs=2 * COARSE_S)
    assert harness.errors == [NEXT]


def test_missing_next_token_times_out_if_the_first_may_take_much_longer() -> None:
    wheel = FakeWheel(1000.0)
    late: list[float] = []
    watch = Watch(wheel, UpstreamTimeouts(first_token_s=90.0, next_token_s=15.0, total_s=300.0), started_s=1000.0)
    watch.start(lambda _: late.append(wheel.now()))
    wheel.advance(20.0)
    watch.token()
    wheel.advance(60.0)

    assert late == [pytest.approx(1035.0, abs=2 * COARSE_S)]


@pytest.mark.parametrize("gap_s", [1.0, 7.0, 14.0])
def test_missing_later_token_times_out_like_the_second(harness: WatchHarness, gap_s: float) -> None:
    for _ in range(5):
        harness.watch.token()
        harness.wheel.advance(gap_s)

    assert first_error_at_s(harness, 200) == pytest.approx(4 * gap_s + 15.0, abs=2 * COARSE_S)


def test_tokens_in_time_run_until_the_total_timeout(harness: WatchHarness) -> None:
    for _ in range(19):
        harness.wheel.advance(5.0)
        harness.watch.token()
    assert harness.errors == []
    assert first_error_at_s(harness, 200) == pytest.approx(100.0, abs=COARSE_S)
    assert harness.errors == [TOTAL]


def test_next_token_timeout_restarts_after_a_slow_client(harness: WatchHarness) -> None:
    harness.watch.token()
    harness.watch.blocked = True
    harness.wheel.advance(40.0)
    harness.watch.resume()

    assert first_error_at_s(harness, 200) == pytest.approx(55.0, abs=2 * COARSE_S)
    assert harness.errors == [NEXT]


def test_total_timeout_expires_also_while_the_client_is_slow(harness: WatchHarness) -> None:
    harness.watch.token()
    harness.watch.blocked = True

    assert first_error_at_s(harness, 200) == pytest.approx(100.0, abs=COARSE_S)
    assert harness.errors == [TOTAL]


def test_stopped_watch_reports_nothing_and_leaves_the_wheel(harness: WatchHarness) -> None:
    harness.watch.stop()
    harness.wheel.advance(200.0)

    assert (harness.errors, harness.wheel.waiting) == ([], {})


def test_timeout_is_reported_once(harness: WatchHarness) -> None:
    harness.wheel.advance(500.0)

    assert len(harness.errors) == 1


@pytest.mark.parametrize(
    ("total_s", "left_s", "code"),
    [(100.0, 30.0, "upstream_first_token_timeout"), (20.0, 20.0, "upstream_total_timeout")],
)
def test_time_left_for_the_first_token_counts_from_the_start(total_s: float, left_s: float, code: str) -> None:
    timeouts = UpstreamTimeouts(first_token_s=30.0, total_s=total_s)
    watch = Watch(FakeWheel(1007.0), timeouts, started_s=1000.0)

    assert watch.first_token_left_s() == left_s - 7.0
    assert watch.retries_left_s() == left_s - 7.0
    assert watch.error().code == code


# Metrics


def test_time_to_the_first_token_is_recorded_once() -> None:
    wheel, metrics = FakeWheel(1000.0), Metrics()
    watch = Watch(wheel, TIMEOUTS, started_s=1000.0, metrics=metrics, model="m")
    for _ in range(3):
        wheel.advance(2)
        watch.token()

    assert {model: histogram.total for model, histogram in metrics.upstream_ttft_s.items()} == {"m": 2.0}
