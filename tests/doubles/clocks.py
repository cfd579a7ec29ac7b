"""Fake clocks and a fake timer wheel, advanced by the test."""

from tokenfall.ports import TimerEntry


class FakeClock:
    """A callable monotonic clock, for the `now` parameter of limiters and wheels."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class FakeWheel:
    """A `Wheel` whose `advance` runs due entries at their exact deadlines, in deadline order."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self.scheduled_count = 0
        self.waiting: dict[TimerEntry, float] = {}

    @property
    def resolution_s(self) -> float:
        return 0.0

    def now(self) -> float:
        return self.now_s

    def schedule(self, entry: TimerEntry, deadline_s: float) -> None:
        self.scheduled_count += 1
        self.waiting[entry] = deadline_s
        entry.slot = 1
        entry.deadline_s = deadline_s

    def cancel(self, entry: TimerEntry) -> None:
        self.waiting.pop(entry, None)
        entry.slot = None

    def advance(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.waiting and min(self.waiting.values()) <= until_s:
            entry = min(self.waiting, key=self.waiting.__getitem__)
            self.now_s = max(self.now_s, self.waiting[entry])
            self.cancel(entry)
            again_s = entry.due(self.now_s)
            if again_s is not None:
                self.schedule(entry, again_s)
        self.now_s = until_s


class InstantClock:
    """A `Clock` whose sleeps return at once and advance the time; `slept` records the requested deadlines."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self.slept: list[float] = []

    def now(self) -> float:
        return self.now_s

    async def sleep_until(self, deadline_s: float) -> None:
        self.slept.append(deadline_s)
        self.now_s = max(self.now_s, deadline_s)
