"""Simulated responses that are counted for vLLM's metrics."""

from typing import Any

from tokenfall.api.metrics_vllm import VLLMMetrics
from tokenfall.api.simulated_provider import Played, SimulatedProvider
from tokenfall.http.request import Request
from tokenfall.simulator.grammar import Simulation


class CountedSimulatedProvider(SimulatedProvider):
    """A `SimulatedProvider` that counts each response when it is planned."""

    def __init__(self, *args: Any, counts: VLLMMetrics, **options: Any) -> None:  # noqa: ANN401 - passed to `SimulatedProvider`
        super().__init__(*args, **options)
        self._counts = counts

    def _played(self, request: Request, prepared: Any) -> Played:  # noqa: ANN401 - `_Prepared`, private to the base class
        if not isinstance(prepared, Simulation):  # recordings are not counted: they have their own text and times
            usage = prepared.planned.usage
            self._counts.started(
                request,
                prompt_tokens=usage.prompt_tokens,
                reason=prepared.finished.reason,
                unstreamed_tokens=0 if prepared.parsed.stream else usage.completion_tokens,
            )
        return super()._played(request, prepared)
