"""Retry policy: which failed requests are retried, and after which delay. Pure: no sleeping, no loop.

Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): a random delay between 0
and the ceiling, so that requests that failed together are not retried together.
"""

from random import Random

from tokenfall.errors import (
    TokenfallError,
    UpstreamConnectTimeout,
    UpstreamRateLimited,
    UpstreamReset,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from tokenfall.ports import Clock

FIRST_WAIT_S = 0.25
MAX_WAIT_S = 4.0

_TRANSIENT = (UpstreamUnreachable, UpstreamRateLimited, UpstreamConnectTimeout, UpstreamReset, UpstreamTruncated)
_TRANSIENT_STATUSES = (408, 500, 502, 503, 504, 529)
"""408 is also what some servers send on an idle connection before they close it; RFC 9110, section 15.5.9."""


class Retries:
    """At most `max_retries` retries. The engine sleeps on `clock`, which must have the same time scale as the wheel."""

    def __init__(self, clock: Clock, random: Random, *, max_retries: int = 2) -> None:
        self.clock = clock
        self._random = random
        self._max_retries = max_retries

    def wait_s(self, error: TokenfallError, *, status: int, tries: int, left_s: float) -> float | None:
        """The delay before the next try, None to give up.

        `status` is the provider's status, 0 without a response; `tries` is the number of failed tries; `left_s` is the
        time left for the first token. A request is not retried after that time.
        """
        if tries > self._max_retries or not _is_transient(error, status):
            return None
        ceiling_s = min(FIRST_WAIT_S * 2 ** (tries - 1), MAX_WAIT_S)
        wait_s = max(self._random.uniform(0.0, ceiling_s), error.retry_after_s or 0.0)
        return wait_s if wait_s < left_s else None


def _is_transient(error: TokenfallError, status: int) -> bool:
    """False for a refused key, an error of the caller and an expired token or total timeout."""
    return status in _TRANSIENT_STATUSES or isinstance(error, _TRANSIENT)
