"""Chooses between the simulator and an upstream by the model's name."""

from collections.abc import Coroutine
from typing import Any

from tokenfall.events import Finished
from tokenfall.messages import ChatRequest
from tokenfall.ports import Engine, OnDelta
from tokenfall.simulator.engine import is_simulated


class EngineByModel:
    """Sends models named `sim` or `sim:...` to `simulated`, all others to `upstream`."""

    def __init__(self, *, simulated: Engine, upstream: Engine) -> None:
        self._simulated = simulated
        self._upstream = upstream

    def reply(self, request: ChatRequest, on_event: OnDelta) -> Coroutine[Any, Any, Finished]:
        engine = self._simulated if is_simulated(request.model) else self._upstream
        return engine.reply(request, on_event)  # the engine's own coroutine, to save a frame
