"""A stream that waits at the barriers of the simulator."""

from tokenfall.simulator.concurrency import Permit
from tokenfall.simulator.gates import TestGate


class WaitingStream:
    """A stream that waits at a barrier and tries to pass again when resumed, unless `at_once` is false."""

    def __init__(self, name: str, passed: list[str], *, at_once: bool = True) -> None:
        self.name = name
        self.barrier: TestGate | Permit | None = None
        self.woken = 0
        self._passed = passed
        self._at_once = at_once

    def resume(self) -> None:
        self.woken += 1
        if self._at_once:
            self.try_pass()

    def try_pass(self, barrier: TestGate | Permit | None = None) -> bool:
        self.barrier = barrier or self.barrier
        assert self.barrier is not None
        passes = self.barrier.passes(self.resume)
        if passes:
            self._passed.append(self.name)
        return passes

    def disconnect(self) -> None:
        assert self.barrier is not None
        self.barrier.cancel_wait(self.resume)
        if isinstance(self.barrier, Permit):
            self.barrier.release()
