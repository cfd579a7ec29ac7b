"""Simulated responses that are counted for vLLM's metrics."""

from typing import Any

from tokenfall.api.metrics_vllm import VLLMMetrics
from tokenfall.api.simulated_provider import Played, SimulatedProvider
from tokenfall.http.request import Request
from tokenfall.simulator.grammar import Simulation


class CountedSimulatedProvider(SimulatedProvider):
    """The same responses; each is counted when it is planned."""

    def __init__(self, *of: Any, counts: VLLMMetrics, **named: Any) -> None:  # noqa: ANN401 - whatever `SimulatedProvider` takes
        super().__init__(*of, **named)
        self._counts = counts

    def _played(self, request: Request, prepared: Any) -> Played:  # noqa: ANN401 - `_Prepared`, the base's own
        if not isinstance(prepared, Simulation):  # a recording brings its own text and times
            usage = prepared.planned.usage
            self._counts.began(
                request,
                prompt_tokens=usage.prompt_tokens,
                reason=prepared.finished.reason,
                whole_tokens=0 if prepared.asked.stream else usage.completion_tokens,
            )
        return super()._played(request, prepared)
