"""When a failed request is made again, and how long to wait before. Pure: no sleeping, no loop.

The wait is exponential with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): anything between
nothing and the ceiling, so that those who failed together do not come back together.
"""

from random import Random

from tokenfall.errors import (
    TokenfallError,
    UpstreamConnectTimeout,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamReset,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from tokenfall.ports import Clock

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 4.0

_PASSING = (UpstreamUnreachable, UpstreamRateLimited, UpstreamConnectTimeout, UpstreamReset, UpstreamTruncated)
_PASSING_STATUSES = (500, 502, 503, 504, 529)


class Retries:
    """At most `most` more tries. `clock` is what the waits are slept on; its scale must be the wheel's."""

    def __init__(self, clock: Clock, random: Random, *, most: int = 2) -> None:
        self.clock = clock
        self._random = random
        self._most = most

    def wait_s(self, error: TokenfallError, *, status: int, tries: int, left_s: float) -> float | None:
        """How long to wait before the next try, None to give up.

        `status` is what the provider answered, 0 when it did not; `tries` have failed so far; `left_s` remains for
        the first token. Nobody is kept waiting for a try that could not be made in time.
        """
        if tries > self._most or not _passes(error, status):
            return None
        ceiling_s = min(FIRST_WAIT_S * 2 ** (tries - 1), LONGEST_WAIT_S)
        wait_s = max(self._random.uniform(0.0, ceiling_s), error.retry_after_s or 0.0)
        return wait_s if wait_s < left_s else None


def _passes(error: TokenfallError, status: int) -> bool:
    """Whether it may be better soon: neither the key's nor the caller's mistakes are, nor time that is spent."""
    if isinstance(error, UpstreamFailed):
        return status in _PASSING_STATUSES
    return isinstance(error, _PASSING)
