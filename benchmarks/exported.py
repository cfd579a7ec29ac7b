"""Reads the lateness histogram of /metrics over a period of time."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from urllib.request import urlopen

from benchmarks.measurement import NotMeasured

BUCKET = re.compile(r'^tokenfall_\w*lateness_seconds_bucket\{.*?le="([^"]+)".*?\} (\S+)$', re.MULTILINE)
PATIENCE_S = 5.0

Counts = Mapping[float, float]
"""Cumulative counts by upper bound in seconds; the last bound is infinity."""


class ExportedLateness:
    """Reads the histogram at the start and the end of a measurement, and computes percentiles of the difference.

    The constructor requests the page once, because the first request may take much longer than later ones.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._scrapes: list[Counts] = []
        self._scrape()

    def at(self) -> Mapping[str, Callable[[], None]]:
        """The callbacks for `Streams.read`."""
        return {"measuring": self._scrape, "measured": self._scrape}

    def quantile_ms(self, q: float) -> float:
        """Raises `NotMeasured` if the histogram does not exist or has no observations."""
        _, before, after = self._scrapes
        return 1e3 * quantile({bound: after[bound] - before.get(bound, 0) for bound in after}, q)

    def _scrape(self) -> None:
        with urlopen(f"{self._url}/metrics", timeout=PATIENCE_S) as response:  # noqa: S310 - our own server on loopback
            self._scrapes.append(counts_in(response.read().decode()))


def counts_in(text: str) -> Counts:
    """The buckets of the lateness histogram in the text of /metrics, in the order of their bounds."""
    return dict(sorted((float(bound), float(count)) for bound, count in BUCKET.findall(text)))


def quantile(cumulative: Counts, q: float) -> float:
    """As Prometheus's histogram_quantile: linear within a bucket; at most the greatest finite bound."""
    total = max(cumulative.values(), default=0)
    if not total:
        raise NotMeasured("/metrics has no lateness histogram, or it has no observations")
    rank = q * total
    for (low, before), (high, count) in pairwise([(0.0, 0.0), *cumulative.items()]):
        if count >= rank:
            return low if high == float("inf") else low + (high - low) * (rank - before) / (count - before)
    raise NotMeasured("the lateness histogram has no bucket for infinity")
