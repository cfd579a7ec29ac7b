"""Turns under way, and who listens to them."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from tokenfall.chat.detached import DetachedBounds, DetachedTurns
from tokenfall.chat.turn import TurnUnderWay
from tokenfall.chat.turns import Turns
from tokenfall.events import Delta, Finished, Thought
from tokenfall.messages import ChatRequest
from tokenfall.ports import Conversation, Hear, SharedTurns

from tests.doubles.clocks import FakeClock

HERE = Conversation("alice", "default")


def turns_of(
    *,
    shared: SharedTurns | None = None,
    alone: bool = True,
    keep_s: float = 60.0,
    max_bytes: int = 1_000_000,
    clock: FakeClock | None = None,
) -> Turns:
    """What a process remembers of its turns, on a clock that stands still."""
    return Turns(keep_s=keep_s, max_bytes=max_bytes, now=clock or FakeClock(), shared=shared, alone=alone)


def detached_turns(clock: FakeClock | None = None, **bounds: Any) -> DetachedTurns:
    """What bounds the turns that go on without their clients, on a clock that stands still."""
    return DetachedTurns(DetachedBounds(**bounds), now=clock or FakeClock())


def turn_that_said(*texts: str, finishes: bool = False, conversation: Conversation = HERE) -> TurnUnderWay:
    """A turn that has begun, if only to say this."""
    turn = TurnUnderWay(conversation, on_disconnect="finish" if finishes else "cancel")
    for text in texts:
        turn.add(text)
    return turn


class Speaker:
    """An engine that says what it is told, when it is told."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.requests: list[ChatRequest] = []
        self.cancelled = 0
        self._steps: asyncio.Queue[Delta | Finished | Exception] = asyncio.Queue()

    def say(self, *texts: str) -> None:
        for text in texts:
            self._steps.put_nowait(Delta(text))

    def end(self, end: Finished | Exception | None = None) -> None:
        self._steps.put_nowait(end or Finished("stop", "model-1"))

    async def reply(self, request: ChatRequest, hear: Hear) -> Finished:
        self.requests.append(request)
        self.asked.set()
        try:
            while True:
                step = await self._steps.get()
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, Finished):
                    return step
                full = hear(step)
                if full is not None:
                    await full
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class Listener:
    """Hears a turn, and is full when the test says so."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.full: asyncio.Future[None] | None = None

    @property
    def text(self) -> str:
        return "".join(self.heard)

    def hear(self, delta: Delta | Thought) -> Awaitable[None] | None:
        self.heard.append(delta.text)
        return self.full

    def fill(self) -> None:
        """From now on nothing fits."""
        self.full = asyncio.get_running_loop().create_future()

    def take(self) -> None:
        """There is room again."""
        full, self.full = self.full, None
        assert full is not None
        full.set_result(None)
