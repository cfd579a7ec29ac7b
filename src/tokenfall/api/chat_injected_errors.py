"""What the simulator's grammar answers in place of a turn of `/chat`."""

from __future__ import annotations

from tokenfall.messages import ChatRequest
from tokenfall.simulator.engine import is_simulated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.api.simulator import Shared
    from tokenfall.http.request import Request
    from tokenfall.simulator.engine import SimulatedEngine


class ChatInjectedErrors:
    """What `/chat` is refused by the grammar. `default_model` answers where none is named."""

    def __init__(self, shared: Shared, engine: SimulatedEngine, *, default_model: str, relays: bool) -> None:
        self._shared = shared
        self._engine = engine
        self._default_model = default_model
        self._relays = relays

    def __call__(self, request: Request, model: str | None) -> None:
        """Raises what the grammar asks for in place of a turn of `model`, if that is simulated; a turn is one token."""
        named = model or self._default_model
        if self._relays and not is_simulated(named):
            return
        header = request.header(b"x-sim") or ""
        asked_for = ChatRequest(messages=(), model=named, max_tokens=0, simulation=header)
        simulation = self._engine.simulation(asked_for)
        if simulation.status or simulation.limit:
            self._shared.refuse(request, simulation)
