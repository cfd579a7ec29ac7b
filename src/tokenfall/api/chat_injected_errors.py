"""Injected errors of `POST /chat`: HTTP errors and rate limits that the simulator's grammar configures."""

from __future__ import annotations

from tokenfall.messages import ChatRequest
from tokenfall.simulator.engine import is_simulated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.api.simulator import Shared
    from tokenfall.http.request import Request
    from tokenfall.simulator.engine import SimulatedEngine


class ChatInjectedErrors:
    """The check, called before a turn starts. `default_model` is the model of requests that name none.

    `relays`: there is an upstream, so that only simulated models are checked.
    """

    def __init__(self, shared: Shared, engine: SimulatedEngine, *, default_model: str, relays: bool) -> None:
        self._shared = shared
        self._engine = engine
        self._default_model = default_model
        self._relays = relays

    def __call__(self, request: Request, model: str | None) -> None:
        """Raise the configured error if `model` is simulated. For a token limit, a turn counts as one token."""
        effective_model = model or self._default_model
        if self._relays and not is_simulated(effective_model):
            return
        header = request.header(b"x-sim") or ""
        chat_request = ChatRequest(messages=(), model=effective_model, max_tokens=0, simulation=header)
        simulation = self._engine.simulation(chat_request)
        if simulation.status or simulation.limit:
            self._shared.refuse(request, simulation)
