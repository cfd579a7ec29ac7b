"""One request for each part of the server that is imported or built at first use."""

from functools import partial

from tests.doubles.hostile_requests import (
    Make,
    anthropic,
    chat,
    embed,
    function,
    imported,
    ollama,
    prompt,
    responses,
    turn,
    with_schema,
)
from tests.end_to_end.client import request


def too_large() -> bytes:
    """Return a head with a body too large: refused before the body, with an error of the path's dialect."""
    head = request("/v1/messages", method="POST", body="x")
    return head.replace(b"Content-Length: 1\r\n", b"Content-Length: 999999999\r\n").removesuffix(b"x")


FIRST: dict[str, Make] = {
    "stream": partial(request, "/stream-sse?gap=0us"),
    "stream with a fault": partial(request, "/stream-ndjson?gap=0us&fault=stall@1:1us&text=words"),
    "stream with a profile": partial(request, "/stream-sse?profile=groq-70b&gap=0us&ttft=0us"),
    "stream with a status": partial(request, "/stream-sse?status=418"),
    "percent signs": partial(request, "/stream-sse?gap=%30us"),
    "data that waits": partial(request, "/api/data?ttft=1us"),
    "OpenAI chat": chat,
    "OpenAI chat as a stream": partial(chat, stream=True),
    "long OpenAI chat": partial(chat, "tokens=100000"),
    "OpenAI completion": prompt,
    "OpenAI response": responses,
    "OpenAI embedding": embed,
    "OpenAI models": partial(request, "/v1/models"),
    "Groq chat": partial(chat, path="/openai/v1/chat/completions"),
    "Anthropic message": anthropic,
    "body too large for Anthropic": too_large,
    "Ollama chat": ollama,
    "Ollama models": partial(request, "/api/tags"),
    "tool": partial(chat, tools=[function("f")]),
    "JSON schema": partial(with_schema, {"type": "object", "properties": {"a": {"type": "string"}}}),
    "script": partial(chat, "script=none.yaml"),
    "recording": partial(chat, "script=none.jsonl"),
    "turn of the chat": turn,
    "history": partial(request, "/history"),
    "search of conversations": partial(request, "/conversations?search=a"),
    "imported conversation": partial(imported, 2),
    "/sim": partial(request, "/sim"),
    "page": partial(request, "/web"),
    "events of the board": partial(request, "/board/events", method="HEAD", Connection="close"),
    "history of the board": partial(request, "/board/history?range=2m"),
    "metrics": partial(request, "/metrics"),
    "openapi.json": partial(request, "/openapi.json"),
    "unknown path below a provider's prefix": partial(request, "/v1/unknown"),
    "unknown method of a provider's path": partial(request, "/v1/messages", method="PUT"),
}
