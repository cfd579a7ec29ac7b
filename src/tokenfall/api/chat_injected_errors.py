"""Injected errors of `POST /chat`: HTTP errors and rate limits that the simulator's grammar configures."""

from __future__ import annotations

from tokenfall.messages import ChatRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.api.simulator import Shared
    from tokenfall.http.request import Request
    from tokenfall.simulator.engine import SimulatedEngine


def refuse_chat(request: Request, model: str, *, shared: Shared, engine: SimulatedEngine) -> None:
    """Raise the error that is configured for a chat with the simulated `model`, before its turn starts.

    For a token limit, a turn counts as one token.
    """
    header = request.header(b"x-sim") or ""
    simulation = engine.simulation(ChatRequest(messages=(), model=model, max_tokens=0, simulation=header))
    if simulation.status or simulation.limit:
        shared.refuse(request, simulation)
