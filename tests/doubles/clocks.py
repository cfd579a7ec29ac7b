"""Time that stands still until a test moves it."""

from tokenfall.ports import TimerEntry


class FakeClock:
    """Monotonic seconds, called as a limiter or a wheel calls its `now`."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class FakeWheel:
    """A `Wheel` that plays each entry at its very deadline, in the order of deadlines, while `advance` runs."""

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
    """A `Clock` on which sleeping moves the time; `slept` has every requested deadline."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self.slept: list[float] = []

    def now(self) -> float:
        return self.now_s

    async def sleep_until(self, deadline_s: float) -> None:
        self.slept.append(deadline_s)
        self.now_s = max(self.now_s, deadline_s)
