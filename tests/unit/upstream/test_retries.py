from random import Random

import pytest

from tokenfall.errors import (
    TokenfallError,
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamFailed,
    UpstreamFirstTokenTimeout,
    UpstreamKeyRefused,
    UpstreamMalformed,
    UpstreamNextTokenTimeout,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamReset,
    UpstreamStreamError,
    UpstreamTotalTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from tokenfall.upstream.retries import FIRST_WAIT_S, MAX_WAIT_S, Retries

from tests.doubles.clocks import InstantClock


class UpperBound(Random):
    """A random source that returns the upper bound."""

    def random(self) -> float:
        return 1.0


def wait_s(error: TokenfallError, *, status: int = 0, tries: int = 1, left_s: float = 30.0) -> float | None:
    return Retries(InstantClock(), UpperBound(), max_retries=9).wait_s(error, status=status, tries=tries, left_s=left_s)


@pytest.mark.parametrize(
    ("kind", "status", "again"),
    [
        (UpstreamUnreachable, 0, True),
        (UpstreamConnectTimeout, 0, True),
        (UpstreamRateLimited, 429, True),
        (UpstreamFailed, 500, True),
        (UpstreamError, 408, True),
        (UpstreamError, 409, False),
        (UpstreamFailed, 502, True),
        (UpstreamFailed, 503, True),
        (UpstreamFailed, 504, True),
        (UpstreamFailed, 529, True),
        (UpstreamFailed, 501, False),
        (UpstreamFailed, 505, False),
        (UpstreamReset, 200, True),
        (UpstreamTruncated, 200, True),
        (UpstreamMalformed, 200, False),
        (UpstreamStreamError, 200, False),
        (UpstreamKeyRefused, 401, False),
        (UpstreamKeyRefused, 403, False),
        (UpstreamRefused, 400, False),
        (UpstreamError, 302, False),
        (UpstreamFirstTokenTimeout, 0, False),
        (UpstreamNextTokenTimeout, 200, False),
        (UpstreamTotalTimeout, 0, False),
    ],
)
def test_only_transient_errors_are_retried(kind: type[TokenfallError], status: int, again: bool) -> None:
    assert (wait_s(kind("x"), status=status) is not None) is again


def test_ceiling_doubles_up_to_its_maximum() -> None:
    waits = [wait_s(UpstreamUnreachable("x"), tries=tries) for tries in range(1, 8)]

    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert (waits[0], waits[-1]) == (FIRST_WAIT_S, MAX_WAIT_S)


def test_wait_is_uniform_between_zero_and_the_ceiling() -> None:
    retries = Retries(InstantClock(), Random(7))
    waits = [retries.wait_s(UpstreamUnreachable("x"), status=0, tries=2, left_s=30.0) for _ in range(1_000)]
    seconds = [wait for wait in waits if wait is not None]

    assert len(set(seconds)) == 1_000
    assert 0.0 <= min(seconds) < 0.01
    assert 0.49 < max(seconds) <= 0.5
    assert sum(seconds) / 1_000 == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("retry_after_s", "waited_s"), [(None, 0.25), (0.0, 0.25), (0.1, 0.25), (1.0, 1.0), (9.0, 9.0)]
)
def test_retry_after_may_exceed_the_ceiling(retry_after_s: float | None, waited_s: float) -> None:
    assert wait_s(UpstreamRateLimited("x", retry_after_s=retry_after_s), status=429) == waited_s


@pytest.mark.parametrize(("left_s", "waited_s"), [(1.01, 1.0), (1.0, None), (0.5, None), (-1.0, None)])
def test_retry_that_would_start_too_late_is_not_made(left_s: float, waited_s: float | None) -> None:
    assert wait_s(UpstreamFailed("x", retry_after_s=1.0), status=503, left_s=left_s) == waited_s


@pytest.mark.parametrize(("most", "tries", "again"), [(0, 1, False), (2, 1, True), (2, 2, True), (2, 3, False)])
def test_number_of_retries_is_limited(most: int, tries: int, again: bool) -> None:
    retries = Retries(InstantClock(), UpperBound(), max_retries=most)

    assert (retries.wait_s(UpstreamUnreachable("x"), status=0, tries=tries, left_s=30.0) is not None) is again
