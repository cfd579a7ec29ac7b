"""Measures frame intervals and long tasks of a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page

_SOURCE = Path(__file__).with_suffix(".js")


@dataclass
class Frames:
    """The measurements; filled in at the end of the block of `frames`."""

    intervals_ms: list[float] = field(default_factory=list)
    """The times between consecutive animation frames."""
    long_tasks_ms: list[float] = field(default_factory=list)
    """The durations of tasks that blocked the main thread for 50 ms or longer."""

    @property
    def worst_ms(self) -> float:
        return max(self.intervals_ms, default=0.0)

    def quantile_ms(self, share: float) -> float:
        """The quantile of the intervals; `share` is from 0 to 1."""
        ordered = sorted(self.intervals_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0

    def over(self, limit_ms: float) -> int:
        """The number of longer intervals."""
        return sum(interval_ms > limit_ms for interval_ms in self.intervals_ms)


@contextmanager
def frames(page: Page) -> Iterator[Frames]:
    """Measures the page during the block, which must not navigate."""
    measured = Frames()
    recorder = page.evaluate_handle(_SOURCE.read_text(encoding="utf-8"))
    yield measured
    result = recorder.evaluate("(recorder) => recorder.stop()")
    measured.intervals_ms += result["intervalsMs"]
    measured.long_tasks_ms += result["longTasksMs"]
