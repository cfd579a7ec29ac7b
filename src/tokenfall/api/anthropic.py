"""Anthropic's route beside its messages: counting tokens, by the simulator's own splitter."""

from collections.abc import Coroutine
from typing import Any

from tokenfall.api.documents import document, name_twice
from tokenfall.edge.request import Request
from tokenfall.edge.response import Response
from tokenfall.engines.planning import prompt_tokens
from tokenfall.slices import Sliced
from tokenfall.slicing import begun
from tokenfall.wire import anthropic_models, anthropic_request


def count_tokens(request: Request) -> Response | Coroutine[Any, Any, Response]:
    """`POST /v1/messages/count_tokens`. No OpenAI-compatible upstream counts, so ours is the only count there is."""
    name_twice(request)
    return begun(_counted(request.body))


def _counted(body: bytes) -> Sliced[Response]:
    tokens = yield from prompt_tokens(anthropic_request.decode_count(body))
    return document(anthropic_models.count(tokens))
