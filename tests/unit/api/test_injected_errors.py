from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.errors import NotFound, RateLimited, SimulatedFailure, TokenfallError, Unauthorized
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.values import Limit
from tokenfall.wire import rate_limit_headers as ratelimits

from tests.doubles.clocks import FakeClock


def statuses_of(injected_errors: InjectedErrors, text: str, *, times: int, owner: str = "") -> list[int]:
    """The statuses of this many consecutive requests; 200 if no error is injected."""
    statuses = []
    simulation = parse(text)
    for _ in range(times):
        try:
            injected_errors.check(simulation, owner)
        except RateLimited:
            statuses.append(429)
        except SimulatedFailure as error:
            statuses.append(error.status or 0)
        else:
            statuses.append(200)
    return statuses


def refused(text: str) -> TokenfallError:
    with pytest.raises(TokenfallError) as caught:
        InjectedErrors(FakeClock()).check(parse(text), "")
    return caught.value


# Status rules


def test_status_rule_applies_to_the_first_n_requests() -> None:
    injected_errors = InjectedErrors(FakeClock())

    assert statuses_of(injected_errors, "status=429x2", times=5) == [429, 429, 200, 200, 200]
    assert statuses_of(injected_errors, "status=429x0", times=2) == [200, 200]
    assert statuses_of(injected_errors, "gap=1s", times=1) == [200]
    assert statuses_of(injected_errors, "status=500", times=3) == [500] * 3


def test_counts_are_per_caller_and_rule_until_a_reset() -> None:
    injected_errors = InjectedErrors(FakeClock())

    assert statuses_of(injected_errors, "status=500x1", times=2, owner="a") == [500, 200]
    assert statuses_of(injected_errors, "status=500x1", times=2, owner="b") == [500, 200]
    assert statuses_of(injected_errors, "status=501x1", times=2, owner="a") == [501, 200]
    injected_errors.reset()
    assert statuses_of(injected_errors, "status=500x1", times=2, owner="a") == [500, 200]


def test_first_matching_rule_is_applied() -> None:
    assert statuses_of(InjectedErrors(FakeClock()), "status=429x1+503x3+500%0", times=5) == [429, 503, 503, 200, 200]


def test_probability_is_seeded_and_matches_the_configured_rate() -> None:
    one, two, other = (
        statuses_of(InjectedErrors(FakeClock()), f"status=500%0.1,seed={seed}", times=10_000) for seed in (7, 7, 8)
    )

    assert one == two != other
    assert 900 < one.count(500) < 1_100
    assert 800 < statuses_of(InjectedErrors(FakeClock()), "status=500%0.1", times=10_000).count(500) < 1_200, (
        "six standard deviations"
    )


@pytest.mark.parametrize(("chance", "status"), [("0", 200), ("1", 500)])
def test_probability_may_be_zero_or_one(chance: str, status: int) -> None:
    assert statuses_of(InjectedErrors(FakeClock()), f"status=500%{chance}", times=50) == [status] * 50


@pytest.mark.parametrize(
    ("text", "kind", "status", "retry_after_s"),
    [
        ("status=500", SimulatedFailure, 500, None),
        ("status=529:retry=2.5", SimulatedFailure, 529, 2.5),
        ("status=429", RateLimited, None, 1.0),
        ("status=429:retry=0", RateLimited, None, 0.0),
        ("status=429:retry=30", RateLimited, None, 30.0),
        ("status=401", Unauthorized, None, None),
        ("status=404", NotFound, None, None),
    ],
)
def test_status_rule_becomes_its_error(
    text: str, kind: type[TokenfallError], status: int | None, retry_after_s: float | None
) -> None:
    error = refused(text)

    assert (type(error), error.status, error.retry_after_s) == (kind, status, retry_after_s)


def test_oldest_count_is_forgotten_above_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenfall.api.injected_errors.MAX_RULES", 5)
    monkeypatch.setattr("tokenfall.api.injected_errors.MAX_RULES_OF_CALLER", 3)
    injected_errors = InjectedErrors(FakeClock())
    for number in range(6):
        assert statuses_of(injected_errors, "status=500x1", times=1, owner=f"{number}") == [500]

    assert statuses_of(injected_errors, "status=500x1", times=1, owner="1") == [200]
    assert statuses_of(injected_errors, "status=500x1", times=1, owner="0") == [500]


def test_rules_of_one_caller_do_not_evict_those_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenfall.api.injected_errors.MAX_RULES", 5)
    monkeypatch.setattr("tokenfall.api.injected_errors.MAX_RULES_OF_CALLER", 3)
    injected_errors = InjectedErrors(FakeClock())
    assert statuses_of(injected_errors, "status=500x1", times=1, owner="other") == [500]
    for number in range(1, 20):
        assert statuses_of(injected_errors, f"status=501x{number}", times=1) == [501]

    assert statuses_of(injected_errors, "status=500x1", times=1, owner="other") == [200]
    assert statuses_of(injected_errors, "status=501x1", times=1) == [501]


# Provider rate limits


class Bucket:
    """Oracle: a token bucket with the capacity of one minute."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.level = float(size or 0)

    def fill(self, seconds: float) -> None:
        if self.size is not None:
            self.level = min(self.size, self.level + seconds * self.size / 60)

    def holds(self, cost: float) -> bool:
        return self.size is None or self.level >= cost - 1e-6

    def take(self, cost: float) -> None:
        if self.size is not None:
            self.level -= cost


@given(
    st.none() | st.integers(1, 20),
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 400).map(lambda tenths: tenths / 10), st.integers(0, 250)), max_size=60),
)
def test_limiter_agrees_with_a_request_bucket_and_a_token_bucket(
    rpm: int | None, tpm: int, events: list[tuple[float, int]]
) -> None:
    clock = FakeClock()
    injected_errors, limit = InjectedErrors(clock), Limit(rpm, tpm)
    requests, tokens = Bucket(rpm), Bucket(tpm)
    for seconds, cost in events:
        clock.advance(seconds)
        requests.fill(seconds)
        tokens.fill(seconds)
        may = requests.holds(1) and tokens.holds(cost)
        limit_state, error = injected_errors.spend(limit, "a", tokens=cost)
        assert (error is None) is may
        if may:
            requests.take(1)
            tokens.take(cost)
        assert limit_state.tokens is not None
        assert limit_state.tokens.remaining == pytest.approx(int(tokens.level + 1e-6), abs=0)
        assert limit_state.remaining == (int(requests.level + 1e-6) if rpm else 0)


def test_retry_after_the_given_time_is_accepted() -> None:
    clock = FakeClock()
    injected_errors, limit = InjectedErrors(clock), Limit(2, 100)
    for _ in range(2):
        assert injected_errors.spend(limit, "a", tokens=1)[1] is None
    _, error = injected_errors.spend(limit, "a", tokens=1)
    assert error is not None
    assert error.retry_after_s == pytest.approx(30.0)
    assert error.message == ("Rate limit reached on requests per min (RPM): Limit 2. Please try again in 30.000s.")
    clock.advance(29.9)
    assert injected_errors.spend(limit, "a", tokens=1)[1] is not None
    clock.advance(0.1)
    assert injected_errors.spend(limit, "a", tokens=1)[1] is None


def test_refused_request_spends_no_tokens() -> None:
    injected_errors, limit = InjectedErrors(FakeClock()), Limit(5, 100)
    for _ in range(50):
        _, error = injected_errors.spend(limit, "a", tokens=101)
        assert error is not None
        assert "tokens per min (TPM): Limit 100" in error.message

    assert [injected_errors.spend(limit, "a", tokens=20)[1] for _ in range(5)] == [None] * 5


def test_buckets_are_per_caller_and_limit() -> None:
    injected_errors = InjectedErrors(FakeClock())
    for owner, limit in (("a", Limit(1)), ("b", Limit(1)), ("a", Limit(1, 5))):
        assert injected_errors.spend(limit, owner, tokens=1)[1] is None
        assert injected_errors.spend(limit, owner, tokens=1)[1] is not None
    injected_errors.reset()
    assert injected_errors.spend(Limit(1), "a", tokens=1)[1] is None


def limit_headers(text: str, dialect: Any) -> dict[str, str]:
    limit = parse(text).limit
    assert limit is not None
    return dict(dialect(InjectedErrors(FakeClock()).spend(limit, "", tokens=1_000)[0]))


def test_each_dialect_has_its_own_rate_limit_headers() -> None:
    assert limit_headers("limit=rpm=60,tpm=6000", ratelimits.openai) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "5000",
        "x-ratelimit-reset-tokens": "10s",
    }
    anthropic = limit_headers("limit=tpm=6000", ratelimits.anthropic)
    assert anthropic["anthropic-ratelimit-tokens-limit"] == "6000"
    assert anthropic["anthropic-ratelimit-tokens-remaining"] == "5000"
    assert not any("requests" in name for name in anthropic)
    assert not any("tokens" in name for name in limit_headers("limit=rpm=60", ratelimits.openai))
