from typing import NamedTuple

import pytest

from tokenfall.api.addresses import TrustedProxies
from tokenfall.api.guard import Callers, Keys
from tokenfall.api.throttle import Throttle
from tokenfall.errors import RateLimited
from tokenfall.metrics.registry import Metrics
from tokenfall.rate_limit import LimitDecision

from tests.doubles.requests import lines_of, request


class FakeLimiter:
    """Returns a configured decision and records the buckets."""

    def __init__(self, decision: LimitDecision, *, rate: float = 10.0, burst: int = 20) -> None:
        self.rate = rate
        self.burst = burst
        self.decision = decision
        self.buckets: list[str] = []

    async def take(self, client: str) -> LimitDecision:
        self.buckets.append(client)
        return self.decision


class Gate(NamedTuple):
    throttle: Throttle
    limiter: FakeLimiter
    metrics: Metrics


def gate(decision: LimitDecision, *, rate: float = 10.0, burst: int = 20) -> Gate:
    limiter, metrics = FakeLimiter(decision, rate=rate, burst=burst), Metrics()
    behind_proxies = Callers(Keys(()), TrustedProxies(("10.0.0.0/8",)))
    return Gate(Throttle(limiter, callers=behind_proxies, metrics=metrics), limiter, metrics)


ALLOWED = LimitDecision(True, 7, 0.0, 1.25)
REFUSED = LimitDecision(False, 0, 0.4, 2.0)


async def test_allowed_request_has_rate_limit_headers() -> None:
    throttle, _, metrics = gate(ALLOWED)
    incoming = request()
    incoming.response_headers = b"x-request-id: 7\r\n"
    await throttle.spend(incoming)

    assert lines_of(incoming.response_headers) == [
        "x-request-id: 7",
        'ratelimit-policy: "address";q=20;w=2',
        'ratelimit: "address";r=7;t=2',
    ]
    assert metrics.rate_limited == 0


async def test_refused_request_has_retry_after() -> None:
    throttle, _, metrics = gate(REFUSED)
    incoming = request()
    with pytest.raises(RateLimited) as caught:
        await throttle.spend(incoming)

    assert (caught.value.message, caught.value.retry_after_s) == (
        "more than 20 at once or 10 a second, by address",
        0.4,
    )
    assert lines_of(incoming.response_headers)[1] == 'ratelimit: "address";r=0;t=1'
    assert metrics.rate_limited == 1


@pytest.mark.parametrize(
    ("rate", "burst", "window_s"), [(10.0, 20, 2), (10.0, 1, 1), (0.5, 3, 6), (3.0, 10, 4), (1000.0, 1, 1)]
)
async def test_policy_header_has_burst_and_refill_time(rate: float, burst: int, window_s: int) -> None:
    throttle, _, _ = gate(ALLOWED, rate=rate, burst=burst)
    incoming = request()
    await throttle.spend(incoming)

    assert lines_of(incoming.response_headers)[0] == f'ratelimit-policy: "address";q={burst};w={window_s}'


@pytest.mark.parametrize(
    ("client", "forwarded_for", "bucket"),
    [
        ("203.0.113.5", "1.1.1.1", "203.0.113.5"),
        ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("2001:db8::1", "", "2001:db8::/64"),
    ],
)
async def test_request_is_limited_by_client_address(client: str, forwarded_for: str, bucket: str) -> None:
    throttle, limiter, _ = gate(ALLOWED)
    headers = {"x-forwarded-for": forwarded_for} if forwarded_for else {}
    await throttle.spend(request(client=client, headers=headers))

    assert limiter.buckets == [bucket]
