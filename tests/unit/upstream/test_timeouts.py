import pytest

from tokenfall.errors import UpstreamTimeout
from tokenfall.metrics import Metrics
from tokenfall.reactor.deadlines import DEADLINE_STEPS_PER_S
from tokenfall.upstream.timeouts import UpstreamTimeouts, Watch

from tests.doubles.clocks import FakeWheel

TIMEOUTS = UpstreamTimeouts(first_token_s=30.0, next_token_s=15.0, total_s=100.0)
COARSE_S = 1 / DEADLINE_STEPS_PER_S


class Watched:
    """A watch from 1000 s on, and what it said."""

    def __init__(self) -> None:
        self.wheel = FakeWheel(1000.0)
        self.said: list[str] = []
        self.codes: list[str] = []
        self.watch = Watch(self.wheel, TIMEOUTS, started_s=1000.0)
        self.watch.start(self._late)

    def _late(self, error: UpstreamTimeout) -> None:
        self.said.append(error.message)
        self.codes.append(error.code)

    def token(self) -> None:
        self.watch.token()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def silence_ends_at(watched: Watched, until_s: float) -> float:
    """When it spoke, in seconds from the start."""
    while not watched.said and watched.wheel.now() < 1000.0 + until_s:
        watched.wheel.advance(0.25)
    return watched.wheel.now() - 1000.0


def test_missing_first_token_times_out(watched: Watched) -> None:
    assert silence_ends_at(watched, 200) == pytest.approx(30.0, abs=COARSE_S)
    assert watched.said == ["the upstream did not send the first token in time"]
    assert watched.codes == ["upstream_first_token_timeout"]


def test_first_token_timeout_counts_from_the_request() -> None:
    watched = Watched()
    wheel = watched.wheel
    watch = Watch(wheel, TIMEOUTS, started_s=980.0)
    late: list[float] = []
    watch.start(lambda _: late.append(wheel.now()))
    wheel.advance(60)

    assert late == [pytest.approx(1010.0, abs=COARSE_S)]


@pytest.mark.parametrize("token_s", [0.0, 5.0, 29.0, 29.9])
def test_missing_next_token_times_out(watched: Watched, token_s: float) -> None:
    watched.wheel.advance(token_s)
    watched.token()

    assert silence_ends_at(watched, 200) == pytest.approx(token_s + 15.0, abs=2 * COARSE_S)
    assert watched.said == ["the upstream did not send the next token in time"]
    assert watched.codes == ["upstream_next_token_timeout"]


@pytest.mark.parametrize("gap_s", [1.0, 7.0, 14.0])
def test_missing_later_token_times_out_like_the_second(watched: Watched, gap_s: float) -> None:
    for _ in range(5):
        watched.token()
        watched.wheel.advance(gap_s)

    assert silence_ends_at(watched, 200) == pytest.approx(4 * gap_s + 15.0, abs=2 * COARSE_S)


def test_tokens_in_time_run_until_the_total_timeout(watched: Watched) -> None:
    for _ in range(19):
        watched.wheel.advance(5.0)
        watched.token()
    assert watched.said == []
    assert silence_ends_at(watched, 200) == pytest.approx(100.0, abs=COARSE_S)
    assert watched.said == ["the upstream's response did not end in time"]
    assert watched.codes == ["upstream_total_timeout"]


def test_slow_client_does_not_cause_a_token_timeout(watched: Watched) -> None:
    watched.token()
    watched.watch.blocked = True
    watched.wheel.advance(80.0)

    assert watched.said == []


def test_next_token_timeout_restarts_after_a_slow_client(watched: Watched) -> None:
    watched.token()
    watched.watch.blocked = True
    watched.wheel.advance(40.0)
    watched.watch.resume()

    assert silence_ends_at(watched, 200) == pytest.approx(55.0, abs=2 * COARSE_S)
    assert watched.said == ["the upstream did not send the next token in time"]
    assert watched.codes == ["upstream_next_token_timeout"]


def test_total_timeout_expires_also_while_the_client_is_slow(watched: Watched) -> None:
    watched.token()
    watched.watch.blocked = True

    assert silence_ends_at(watched, 200) == pytest.approx(100.0, abs=COARSE_S)
    assert watched.said == ["the upstream's response did not end in time"]
    assert watched.codes == ["upstream_total_timeout"]


def test_stopped_watch_reports_nothing_and_leaves_the_wheel(watched: Watched) -> None:
    watched.watch.stop()
    watched.wheel.advance(200.0)

    assert (watched.said, watched.wheel.waiting) == ([], {})


def test_timeout_is_reported_once(watched: Watched) -> None:
    watched.wheel.advance(500.0)

    assert len(watched.said) == 1


@pytest.mark.parametrize(
    ("total_s", "left_s", "code"),
    [(100.0, 30.0, "upstream_first_token_timeout"), (20.0, 20.0, "upstream_total_timeout")],
)
def test_begins_in_s_is_the_time_left_for_the_first_token(total_s: float, left_s: float, code: str) -> None:
    timeouts = UpstreamTimeouts(first_token_s=30.0, total_s=total_s)
    watch = Watch(FakeWheel(1007.0), timeouts, started_s=1000.0)

    assert watch.first_token_left_s() == left_s - 7.0
    assert watch.retries_left_s() == left_s - 7.0
    assert watch.error().code == code


# What is measured


def test_time_to_the_first_token_is_recorded_once() -> None:
    wheel, metrics = FakeWheel(1000.0), Metrics()
    watch = Watch(wheel, TIMEOUTS, started_s=1000.0, metrics=metrics, model="m")
    for _ in range(3):
        wheel.advance(2)
        watch.token()

    assert {model: histogram.total for model, histogram in metrics.upstream_ttft_s.items()} == {"m": 2.0}
