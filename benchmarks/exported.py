"""The lateness histogram that Tokenfall exports on /metrics, read over a stretch of time."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from urllib.request import urlopen

from benchmarks.measurement import NotMeasured

BUCKET = re.compile(r'^tokenfall_\w*lateness_seconds_bucket\{.*?le="([^"]+)".*?\} (\S+)$', re.MULTILINE)
PATIENCE_S = 5.0

Counts = Mapping[float, float]
"""Observations up to each bound in seconds, the last bound being infinity."""


class ExportedLateness:
    """Its functions for the begin and the end of a measurement, then the percentile of what came between.

    It asks once before, as the first page may take a server much longer than the next.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._scrapes: list[Counts] = []
        self._scrape()

    def at(self) -> Mapping[str, Callable[[], None]]:
        """As `Streams.read` takes them."""
        return {"measuring": self._scrape, "measured": self._scrape}

    def quantile_ms(self, q: float) -> float:
        """Raises `NotMeasured` when there is no such histogram, or nothing was observed."""
        _, before, after = self._scrapes
        return 1e3 * quantile({bound: after[bound] - before.get(bound, 0) for bound in after}, q)

    def _scrape(self) -> None:
        with urlopen(f"{self._url}/metrics", timeout=PATIENCE_S) as answer:  # noqa: S310 - our own server on loopback
            self._scrapes.append(counts_in(answer.read().decode()))


def counts_in(text: str) -> Counts:
    """The buckets of the lateness histogram in a page of /metrics, in the order of their bounds."""
    return dict(sorted((float(bound), float(count)) for bound, count in BUCKET.findall(text)))


def quantile(cumulative: Counts, q: float) -> float:
    """As Prometheus's histogram_quantile has it: linear within a bucket, the greatest finite bound beyond it."""
    total = max(cumulative.values(), default=0)
    if not total:
        raise NotMeasured("/metrics has no lateness histogram, or nothing in it")
    rank = q * total
    for (low, before), (high, count) in pairwise([(0.0, 0.0), *cumulative.items()]):
        if count >= rank:
            return low if high == float("inf") else low + (high - low) * (rank - before) / (count - before)
    raise NotMeasured("the lateness histogram has no last bucket")
