"""Samples the metrics for their history, once a second while the server has clients.

A server without clients has no wake-ups for it: the first connection starts the sampling, and the first sample without
a client ends it. With several workers, the first one always samples, for all of them: workers wake up anyway.
"""

from __future__ import annotations

from tokenfall.metrics.registry import Metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.metrics.history import MetricsHistory
    from tokenfall.metrics.sampler import MetricsSampler
    from tokenfall.ports import Wheel


class Sampling:
    """An entry of the timer wheel. `measured` returns the metrics of all workers.

    `history` is the history that the workers share, None in a server of a single process.
    """

    __slots__ = ("_history", "_measured", "_page_paths", "_sampler", "_shared", "_wheel", "deadline_s", "slot")

    def __init__(
        self,
        measured: Callable[[], Metrics],
        wheel: Wheel,
        *,
        page_paths: frozenset[str],
        history: MetricsHistory | None,
    ) -> None:
        self.slot: int | None = None
        self.deadline_s = 0.0
        self._measured = measured
        self._wheel = wheel
        self._page_paths = page_paths
        self._shared = history is not None
        self._history = history
        self._sampler: MetricsSampler | None = None

    @property
    def history(self) -> MetricsHistory:
        """The history; empty before the first sample."""
        if self._history is None:
            from tokenfall.metrics.history import MetricsHistory  # noqa: PLC0415 - see `due`

            self._history = MetricsHistory()
        return self._history

    def start(self) -> None:
        """Take the next sample at the next full second of the monotonic clock. Called while the first client connects.

        Deadlines of connections are full seconds too, so both need only one wake-up.
        """
        now_s = self._wheel.now()
        if self._shared and self._sampler is None:
            self._sampler = self._begin(self._measured(), now_s)
        if self.slot is None:
            self._wheel.schedule(self, now_s // 1 + 1)

    def due(self, now_s: float) -> float | None:
        """Take a sample; called by the wheel."""
        metrics = self._measured()
        idle = not (self._shared or metrics.connections or metrics.detached_turns)
        if self._sampler is None:
            self._sampler = self._begin(Metrics(), now_s - 1)
        self._sampler.sample(metrics, now_s, idle=idle)
        return None if idle else now_s // 1 + 1

    def _begin(self, before: Metrics, now_s: float) -> MetricsSampler:
        """A sampler whose first row excludes `before`, such as the counts of a previous worker."""
        from tokenfall.metrics.sampler import MetricsSampler  # noqa: PLC0415 - not needed without clients

        return MetricsSampler(self.history, before, now_s=now_s, page_paths=self._page_paths)
