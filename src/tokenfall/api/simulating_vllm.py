"""Simulated responses that are counted for vLLM's metrics."""

from typing import Any

from tokenfall.api.metrics_vllm import VLLMMetrics
from tokenfall.api.simulating import Played, Simulating
from tokenfall.http.request import Request
from tokenfall.simulator.grammar import Simulation


class CountedSimulating(Simulating):
    """The same responses; each is counted when it is planned."""

    def __init__(self, *of: Any, counts: VLLMMetrics, **named: Any) -> None:  # noqa: ANN401 - whatever `Simulating` takes
        super().__init__(*of, **named)
        self._counts = counts

    def _played(self, request: Request, said: Any) -> Played:  # noqa: ANN401 - `_Said`, the base's own
        if not isinstance(said, Simulation):  # a recording brings its own text and times
            usage = said.planned.usage
            self._counts.began(
                request,
                prompt_tokens=usage.prompt_tokens,
                reason=said.finished.reason,
                whole_tokens=0 if said.asked.stream else usage.completion_tokens,
            )
        return super()._played(request, said)
