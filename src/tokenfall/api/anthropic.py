"""Anthropic's route beside its messages: counting tokens, by the simulator's own splitter."""

from tokenfall.api.documents import document, name_twice
from tokenfall.edge.request import Request
from tokenfall.edge.response import Response
from tokenfall.engines.planning import prompt_tokens
from tokenfall.wire import anthropic_models, anthropic_request


def count_tokens(request: Request) -> Response:
    """`POST /v1/messages/count_tokens`. No OpenAI-compatible upstream counts, so ours is the only count there is."""
    name_twice(request)
    asked = anthropic_request.decode_count(request.body)
    return document(anthropic_models.count(prompt_tokens(asked)))
