"""A model that is none: it says prose, at the times that its grammar asks for."""

from random import Random

from tokenfall.engines.prose import WORDS, count_tokens, tokens
from tokenfall.events import Delta, Finished, Usage
from tokenfall.messages import ChatRequest
from tokenfall.pacing.grammar import Length, Simulation, Spread, parse
from tokenfall.pacing.timing import answer_length, schedule
from tokenfall.ports import Clock, Hear

MODEL = "sim"
"""The simulated model's name; `sim:` with the grammar behind it is the same model told otherwise."""

GAP = Spread(0.1)
"""Between two tokens where nobody says otherwise."""


def is_simulated(model: str) -> bool:
    """Whether `model` names the simulator."""
    return model == MODEL or model.startswith(MODEL + ":")


class SimulatedEngine:
    """Answers every question. `defaults` hold where neither the model's name nor `simulation` says otherwise."""

    def __init__(self, clock: Clock, defaults: Simulation) -> None:
        self._clock = clock
        self._defaults = defaults

    async def reply(self, request: ChatRequest, hear: Hear) -> Finished:
        """See `Engine`. Raises `InvalidRequest` on a mistake in the grammar."""
        plan = self._plan(request)
        random = Random(plan.seed)
        wanted = answer_length(plan.tokens or Length(len(WORDS), len(WORDS)), random)
        said = min(wanted, request.max_tokens)
        gaps = schedule(plan.ttft, plan.gap or GAP, random=random)
        clock = self._clock
        due_s = clock.now()
        for text in tokens(said):
            due_s += next(gaps)
            await clock.sleep_until(due_s)
            full = hear(Delta(text))
            if full is not None:
                await full
        await clock.sleep_until(due_s + next(gaps))
        prompt = sum(count_tokens(message.content) for message in request.messages)
        return Finished("length" if said < wanted else "stop", MODEL, Usage(prompt, said))

    def _plan(self, request: ChatRequest) -> Simulation:
        """Nearer over farther: what came with the request, the model's name, the defaults."""
        suffix = request.model.partition(":")[2] if is_simulated(request.model) else ""
        return self._defaults.overlay(parse(suffix)).overlay(parse(request.simulation))
