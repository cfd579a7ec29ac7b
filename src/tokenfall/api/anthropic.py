"""The handler of Anthropic's token counting route."""

from collections.abc import Coroutine
from typing import Any

from tokenfall.api.documents import document
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


def count_tokens(request: Request, *, relays: bool) -> Response | Coroutine[Any, Any, Response]:
    """`POST /v1/messages/count_tokens`. Raises `InvalidRequest`.

    If the server `relays`, the count is an estimate for upstream models: OpenAI-compatible servers cannot count.
    """
    return start_sliced(_counted(anthropic_request.decode_count(request.body), relays=relays))


def _counted(chat_request: ChatRequest, *, relays: bool) -> Sliced[Response]:
    if relays and not is_simulated(chat_request.model):
        return document(anthropic_models.count(estimated_tokens(chat_request)))
    return document(anthropic_models.count((yield from prompt_tokens(chat_request))))
