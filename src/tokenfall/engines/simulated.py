"""A model that is none: it says prose, at the times that its grammar asks for."""

from tokenfall.engines.planning import Plan, plan
from tokenfall.events import Delta, Finished
from tokenfall.messages import ChatRequest
from tokenfall.pacing.grammar import Simulation, parse
from tokenfall.ports import Clock, Hear

MODEL = "sim"
"""The simulated model's name; `sim:` with the grammar behind it is the same model told otherwise."""


LATEST = "latest"
"""The tag that Ollama's clients put behind a name without one: no grammar, but the same model."""


def is_simulated(model: str) -> bool:
    """Whether `model` names the simulator: `sim`, and all names that begin so."""
    return model.startswith(MODEL)


class SimulatedEngine:
    """Answers every question. `defaults` hold where neither the model's name nor `simulation` says otherwise."""

    def __init__(self, clock: Clock, defaults: Simulation) -> None:
        self._clock = clock
        self._defaults = defaults

    async def reply(self, request: ChatRequest, hear: Hear) -> Finished:
        """See `Engine`. Raises `InvalidRequest` on a mistake in the grammar."""
        planned = self.plan(request)
        clock = self._clock
        due_s = clock.now()
        for part in planned.choices[0].parts:
            for text in part.tokens:
                due_s += next(planned.gaps)
                await clock.sleep_until(due_s)
                full = hear(Delta(text))
                if full is not None:
                    await full
        await clock.sleep_until(due_s + next(planned.gaps))
        return Finished(planned.choices[0].reason, MODEL, planned.usage)

    def plan(self, request: ChatRequest, *, call_ids: str = "call_") -> Plan:
        """What is said to `request`, and when. Raises `InvalidRequest`."""
        return plan(request, self._simulation(request), call_ids=call_ids)

    def _simulation(self, request: ChatRequest) -> Simulation:
        """Nearer over farther: what came with the request, the model's name, the defaults."""
        suffix = request.model.partition(":")[2] if is_simulated(request.model) else ""
        suffix = "" if suffix == LATEST else suffix
        return self._defaults.overlay(parse(suffix)).overlay(parse(request.simulation))
