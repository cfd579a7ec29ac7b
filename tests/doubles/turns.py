"""Turns, their registry and service, an engine driven by the test, and a listener of a turn."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from tokenfall.chat.service import Chat, Defaults
from tokenfall.conversations import Conversation
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.messages import ChatRequest
from tokenfall.ports import Engine, HistoryStore, OnDelta, SharedTurns
from tokenfall.turns.detached import DetachedBounds, DetachedTurns
from tokenfall.turns.registry import TurnRegistry
from tokenfall.turns.runner import TurnRunner
from tokenfall.turns.turn import RunningTurn

from tests.doubles.clocks import FakeClock
from tests.doubles.memory import ample_request_memory

HERE = Conversation("alice", "default")


def turn_registry(
    *,
    shared: SharedTurns | None = None,
    alone: bool = True,
    keep_s: float = 60.0,
    max_bytes: int = 1_000_000,
    clock: FakeClock | None = None,
) -> TurnRegistry:
    """Return a turn registry on a fake clock."""
    return TurnRegistry(keep_s=keep_s, max_bytes=max_bytes, now=clock or FakeClock(), shared=shared, alone=alone)


def detached_turns(clock: FakeClock | None = None, **bounds: Any) -> DetachedTurns:
    """Return the limiter of detached turns on a fake clock."""
    return DetachedTurns(DetachedBounds(**bounds), now=clock or FakeClock())


def chat_service(
    engine: Engine, history: HistoryStore, *, defaults: Defaults, shared: SharedTurns | None = None
) -> Chat:
    """Return a chat service with a registry of `turn_registry`."""
    turns, memory = turn_registry(shared=shared), ample_request_memory()
    runner = TurnRunner(history, registry=turns, detached=detached_turns(), memory=memory)
    return Chat(engine, history, defaults=defaults, runner=runner)


def running_turn(*texts: str, finishes: bool = False, conversation: Conversation = HERE) -> RunningTurn:
    """Return a running turn that has emitted `texts`."""
    turn = RunningTurn(conversation, on_disconnect="finish" if finishes else "cancel")
    for text in texts:
        turn.add(text)
    return turn


class ManualEngine:
    """An engine that emits the events and the end given by the test."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.requests: list[ChatRequest] = []
        self.cancelled = 0
        self._steps: asyncio.Queue[TextDelta | Finished | Exception] = asyncio.Queue()

    def emit(self, *texts: str) -> None:
        for text in texts:
            self._steps.put_nowait(TextDelta(text))

    def finish(self, end: Finished | Exception | None = None) -> None:
        self._steps.put_nowait(end or Finished("stop", "model-1"))

    async def reply(self, request: ChatRequest, on_event: OnDelta) -> Finished:
        self.requests.append(request)
        self.requested.set()
        try:
            while True:
                step = await self._steps.get()
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, Finished):
                    return step
                full = on_event(step)
                if full is not None:
                    await full
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class RecordingListener:
    """Records the texts of a turn; the test switches backpressure on and off."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.full: asyncio.Future[None] | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def on_event(self, delta: TextDelta | ReasoningDelta) -> Awaitable[None] | None:
        self.texts.append(delta.text)
        return self.full

    def block(self) -> None:
        """Apply backpressure: `on_event` returns a pending future."""
        self.full = asyncio.get_running_loop().create_future()

    def unblock(self) -> None:
        """Release the backpressure."""
        full, self.full = self.full, None
        assert full is not None
        full.set_result(None)
