"""How smoothly a page draws while something happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page

_SOURCE = Path(__file__).with_suffix(".js")


@dataclass
class Frames:
    """Filled in when the block ends."""

    intervals_ms: list[float] = field(default_factory=list)
    """From each animation frame to the next."""
    long_tasks_ms: list[float] = field(default_factory=list)
    """The tasks that kept the page from answering for 50 ms or longer."""

    @property
    def worst_ms(self) -> float:
        return max(self.intervals_ms, default=0.0)

    def quantile_ms(self, share: float) -> float:
        """The interval that `share` of all, from 0 to 1, do not exceed."""
        ordered = sorted(self.intervals_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0

    def over(self, limit_ms: float) -> int:
        """How many intervals were longer."""
        return sum(interval_ms > limit_ms for interval_ms in self.intervals_ms)


@contextmanager
def frames(page: Page) -> Iterator[Frames]:
    """Measures what the page does within the block, which must not leave the page."""
    seen = Frames()
    recorder = page.evaluate_handle(_SOURCE.read_text(encoding="utf-8"))
    yield seen
    told = recorder.evaluate("(recorder) => recorder.stop()")
    seen.intervals_ms += told["intervalsMs"]
    seen.long_tasks_ms += told["longTasksMs"]
