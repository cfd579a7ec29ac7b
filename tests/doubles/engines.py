"""Engines that play a script."""

import asyncio

from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.messages import ChatRequest
from tokenfall.ports import OnDelta


class Silence:
    """Script step: emit nothing until the response is cancelled."""


class ScriptedEngine:
    """Plays its script for each request: emits deltas, raises exceptions, waits on `Silence`, returns `Finished`."""

    def __init__(self, *script: TextDelta | ReasoningDelta | Finished | Exception | Silence) -> None:
        self._script = script
        self.requests: list[ChatRequest] = []
        self.silent = asyncio.Event()
        """Set when a response reaches `Silence`."""
        self.ended = 0
        """Number of responses that ended, for any reason."""

    async def reply(self, request: ChatRequest, on_event: OnDelta) -> Finished:
        self.requests.append(request)
        try:
            for step in self._script:
                if isinstance(step, TextDelta | ReasoningDelta):
                    full = on_event(step)
                    if full is not None:
                        await full
                elif isinstance(step, Finished):
                    return step
                elif isinstance(step, Exception):
                    raise step
                else:
                    self.silent.set()
                    await asyncio.Event().wait()
            raise AssertionError("the script has no end")
        finally:
            self.ended += 1


def text_engine(*texts: str, end: Finished | Exception | Silence | None = None) -> ScriptedEngine:
    """Return an engine that emits `texts` and then `end`."""
    return ScriptedEngine(*map(TextDelta, texts), end or Finished("stop", "model-1"))
