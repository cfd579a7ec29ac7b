"""The handler of Anthropic's token counting route."""

from collections.abc import Coroutine
from typing import Any

from tokenfall.api.documents import add_request_id_header, document
from tokenfall.http.request import Request
from tokenfall.http.response import Response
from tokenfall.messages import ChatRequest
from tokenfall.simulator.engine import is_simulated
from tokenfall.simulator.estimate import estimated_tokens
from tokenfall.simulator.planning import prompt_tokens
from tokenfall.slicing.computation import Sliced
from tokenfall.slicing.scheduler import start_sliced
from tokenfall.wire.anthropic import models as anthropic_models
from tokenfall.wire.anthropic import request as anthropic_request


class TokenCounting:
    """`POST /v1/messages/count_tokens`. An estimate for upstream models: OpenAI-compatible servers cannot count."""

    def __init__(self, *, relays: bool) -> None:
        self._relays = relays

    def count(self, request: Request) -> Response | Coroutine[Any, Any, Response]:
        """Return the token count. Raises `InvalidRequest`."""
        add_request_id_header(request)
        return start_sliced(self._counted(anthropic_request.decode_count(request.body)))

    def _counted(self, chat_request: ChatRequest) -> Sliced[Response]:
        if self._relays and not is_simulated(chat_request.model):
            return document(anthropic_models.count(estimated_tokens(chat_request)))
        return document(anthropic_models.count((yield from prompt_tokens(chat_request))))
