"""Chooses between the simulator and an upstream by the model's name."""

from tokenfall.engines.simulated import is_simulated
from tokenfall.events import Finished
from tokenfall.messages import ChatRequest
from tokenfall.ports import Engine, Hear


class EngineByModel:
    """Sends models named `sim` or `sim:...` to `simulated`, all others to `upstream`."""

    def __init__(self, *, simulated: Engine, upstream: Engine) -> None:
        self._simulated = simulated
        self._upstream = upstream

    async def reply(self, request: ChatRequest, hear: Hear) -> Finished:
        engine = self._simulated if is_simulated(request.model) else self._upstream
        return await engine.reply(request, hear)
