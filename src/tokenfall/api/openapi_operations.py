"""The OpenAPI metadata of each route, by method and path, or for a provider route by its name."""

from typing import Any

from msgspec import Struct

from tokenfall.api import openapi_answers as answers
from tokenfall.api.dashboard_history import DEFAULT_RANGE, RANGES, Trend
from tokenfall.api.exposition import CONTENT_TYPE as METRICS
from tokenfall.api.openapi_bodies import Schema
from tokenfall.api.page import ASSETS, TYPES
from tokenfall.conversations import ConversationInfo
from tokenfall.simulator.grammar import KEYS
from tokenfall.wire import ndjson, sse
from tokenfall.wire.plain.chat import ChatDefaults

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
_DECIMAL = r"(\d{1,9}(\.\d{0,9})?|\.\d{1,9})"
_CV = r"(~((\d(\.\d{0,9})?)|10))?"

PATTERNS = {
    "gap": rf"^({_DECIMAL}us|\d{{1,7}}(\.\d{{0,9}})?ms|\d{{1,4}}(\.\d{{0,9}})?s|\d{{1,3}}(\.\d{{0,9}})?m){_CV}$",
    "tps": rf"^[1-9]\d{{0,5}}(\.\d{{0,9}})?{_CV}$",
    "tokens": r"^\d{1,6}$|^[1-9]\d{0,4}\.\.[1-9]\d{5}$",
    "seed": r"^\d{1,18}$",
}
PATTERNS["ttft"] = PATTERNS["gap"]
"""Patterns of the grammar's values. Every value that matches is accepted; a few accepted values do not match."""


class Operation(Struct, frozen=True, kw_only=True):
    """One route. `body` is a key of `BODIES`; `answers` are the Structs of its JSON response, any one of them.

    `media` are the media types of its other responses: streams and files. `failures` are its error statuses in addition
    to those of every route of its kind.
    """

    summary: str
    tag: str
    body: str = ""
    answers: tuple[Any, ...] = ()
    media: tuple[str, ...] = ()
    status: int = 200
    failures: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    unready: type | None = None
    """The body of a 503 that is the result of a probe, not an error."""


_TURN = ("X-Conversation-Id", "X-Turn-Id")
_UPSTREAM = (400, 502, 503, 504)
_SIM = ("X-Sim",)
_CONTROL: dict[str, Any] = {"tag": "simulator", "failures": (400,)}
_GATE: dict[str, Any] = {"tag": "simulator", "failures": (400, 404), "parameters": ("{gate}",)}
_FILE: dict[str, Any] = {"tag": "page", "headers": ("ETag",), "failures": (304,)}
_STREAM: dict[str, Any] = {"tag": "simulator", "parameters": (*KEYS, "X-Sim"), "failures": (400,)}

OURS = {
    "POST /chat": Operation(
        summary="Send a message and receive the response",
        tag="chat",
        body="chat",
        answers=(answers.WholeAnswer,),
        media=(sse.CONTENT_TYPE,),
        parameters=("X-Sim", "Idempotency-Key"),
        headers=(*_TURN, "X-Model"),
        failures=(404, 409, 422, *_UPSTREAM),
    ),
    "GET /chat/defaults": Operation(
        summary="Get the model and the limit of questions that set none", tag="chat", answers=(ChatDefaults,)
    ),
    "GET /history": Operation(
        summary="List the messages of a conversation, oldest first",
        tag="chat",
        answers=(list[answers.HistoryMessage],),
        parameters=("conversation?", "variants"),
        failures=(400, 404, 503),
    ),
    "DELETE /history": Operation(
        summary="Delete a conversation", tag="chat", status=204, parameters=("conversation?",), failures=(400, 404, 503)
    ),
    "GET /chat/turns/{turn}": Operation(
        summary="Resume the event stream of a turn",
        tag="chat",
        media=(sse.CONTENT_TYPE,),
        parameters=("turn", "Last-Event-ID", "announce", "details"),
        headers=_TURN,
        failures=(404, 409, 410, *_UPSTREAM),
    ),
    "POST /chat/turns/{turn}/stop": Operation(
        summary="Stop a turn and keep its text so far",
        tag="chat",
        status=204,
        parameters=("turn",),
        failures=(404, 503),
    ),
    "GET /conversations": Operation(
        summary="List or search the caller's conversations, paginated",
        tag="chat",
        answers=(list[ConversationInfo],),
        parameters=("limit", "after", "search"),
        failures=(400, 404, 503),
    ),
    "POST /conversations": Operation(
        summary="Import an exported conversation as a new one",
        tag="chat",
        body="import",
        status=201,
        answers=(answers.NewConversation,),
        failures=(400, 503),
    ),
    "PATCH /conversations/{conversation}": Operation(
        summary="Set the title of a conversation, pin or unpin it",
        tag="chat",
        body="conversation",
        status=204,
        parameters=("conversation",),
        failures=(400, 404, 503),
    ),
    "DELETE /conversations/{conversation}": Operation(
        summary="Delete a conversation", tag="chat", status=204, parameters=("conversation",), failures=(400, 404, 503)
    ),
    "GET /stream-sse": Operation(
        summary="Stream a paragraph as server-sent events", media=(sse.CONTENT_TYPE,), **_STREAM
    ),
    "GET /stream-ndjson": Operation(summary="Stream a paragraph as NDJSON", media=(ndjson.CONTENT_TYPE,), **_STREAM),
    "GET /stream-loop": Operation(
        summary="Stream words without end as server-sent events", media=(sse.CONTENT_TYPE,), **_STREAM
    ),
    "GET /api/data": Operation(summary="Get a JSON document", answers=(answers.StaticDocument,), **_STREAM),
    "GET /sim": Operation(summary="Get the simulator's defaults", answers=(answers.Simulated,), **_CONTROL),
    "PATCH /sim": Operation(
        summary="Change the simulator's defaults, or switch the request log",
        body="sim",
        answers=(answers.Simulated,),
        **_CONTROL,
    ),
    "PUT /sim": Operation(
        summary="Replace the simulator's defaults", body="new_sim", answers=(answers.Simulated,), **_CONTROL
    ),
    "DELETE /sim": Operation(summary="Reset the simulator to its state at server start", status=204, **_CONTROL),
    "GET /sim/requests": Operation(summary="List the logged requests", answers=(answers.Journal,), **_CONTROL),
    "DELETE /sim/requests": Operation(summary="Clear the request log", status=204, **_CONTROL),
    "GET /sim/gates": Operation(summary="List the gates", answers=(answers.GateList,), **_CONTROL),
    "GET /sim/gates/{gate}": Operation(summary="Get a gate", answers=(answers.GateState,), **_GATE),
    "PATCH /sim/gates/{gate}": Operation(
        summary="Open, close or create a gate", body="gate", answers=(answers.GateState,), **_GATE
    ),
    "DELETE /sim/gates/{gate}": Operation(summary="Delete a gate", status=204, **_GATE),
    "GET /health": Operation(summary="Health check", tag="probes", answers=(answers.Health,), media=(TEXT,)),
    "GET /livez": Operation(summary="Liveness: the event loop runs", tag="probes", media=(TEXT,)),
    "GET /readyz": Operation(
        summary="Readiness: the server accepts new requests",
        tag="probes",
        answers=(answers.Readiness,),
        unready=answers.Readiness,
    ),
    "GET /metrics": Operation(summary="Metrics in Prometheus text format", tag="probes", media=(METRICS,)),
    "GET /version": Operation(summary="Name and version of the server", tag="probes", answers=(answers.Version,)),
    "GET /board/events": Operation(
        summary="Stream the server's live statistics, one event a second", tag="page", media=(sse.CONTENT_TYPE,)
    ),
    "GET /board/history": Operation(
        summary="Get the server's statistics of up to 24 hours",
        tag="page",
        answers=(Trend,),
        parameters=("range",),
        failures=(400,),
    ),
    "GET /web": Operation(summary="The chat page", media=(TYPES[".html"],), **_FILE),
    "GET /board": Operation(summary="The dashboard", media=(TYPES[".html"],), **_FILE),
    "GET /web/{file}": Operation(
        summary="An asset of the pages",
        media=tuple(TYPES[extension] for extension in sorted(ASSETS)),
        parameters=("file",),
        **_FILE | {"failures": (304, 404)},
    ),
    "GET /": Operation(summary="Redirect to the chat page", tag="page", status=307, headers=("Location",)),
    "GET /web/": Operation(summary="Redirect to the chat page", tag="page", status=307, headers=("Location",)),
    "GET /board/": Operation(summary="Redirect to the dashboard", tag="page", status=307, headers=("Location",)),
    "GET /openapi.json": Operation(summary="This OpenAPI description", tag="page", answers=(answers.Description,)),
}
"""Tokenfall's own routes."""


_SSE: dict[str, Any] = {"media": (sse.CONTENT_TYPE,), "parameters": _SIM, "failures": _UPSTREAM}
_LINES: dict[str, Any] = _SSE | {"media": (ndjson.CONTENT_TYPE,)}
_READ: dict[str, Any] = {"failures": _UPSTREAM}
_LIST: dict[str, Any] = {"failures": (502, 503, 504)}
_ONE: dict[str, Any] = {"failures": (404, 502, 503, 504)}


def _provider(summary: str, kind: type | tuple[type, ...], *, tag: str, **fields: Any) -> Operation:  # noqa: ANN401 - fields of `Operation`
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return Operation(summary=summary, tag=tag, answers=kinds, **fields)


PROVIDED = {
    "openai.chat": _provider("Chat completion", answers.ChatCompletion, tag="openai", body="openai.chat", **_SSE),
    "groq.chat": _provider(
        "Chat completion in Groq's format", answers.ChatCompletion, tag="openai", body="openai.chat", **_SSE
    ),
    "openai.completions": _provider(
        "Legacy completion", answers.Completion, tag="openai", body="openai.completions", **_SSE
    ),
    "openai.responses": _provider(
        "Model response", answers.ResponsesResponse, tag="openai", body="openai.responses", **_SSE
    ),
    "openai.embeddings": _provider("Embeddings", answers.Embeddings, tag="openai", body="openai.embeddings", **_READ),
    "models": _provider(
        "List the models; in Anthropic's format if the anthropic-version header is set",
        (answers.Models, answers.AnthropicModels),
        tag="openai",
        parameters=("anthropic-version",),
        **_LIST,
    ),
    "model": _provider(
        "Get a model; in Anthropic's format if the anthropic-version header is set",
        (answers.Model, answers.AnthropicModel),
        tag="openai",
        parameters=("model", "anthropic-version"),
        **_ONE,
    ),
    "anthropic": _provider("Message", answers.AnthropicResponse, tag="anthropic", body="anthropic", **_SSE),
    "anthropic.count": _provider(
        "Count the tokens of a message", answers.TokenCount, tag="anthropic", body="anthropic.count", failures=(400,)
    ),
    "ollama.chat": _provider("Chat completion", answers.OllamaChat, tag="ollama", body="ollama.chat", **_LINES),
    "ollama.generate": _provider(
        "Text completion", answers.OllamaGenerated, tag="ollama", body="ollama.generate", **_LINES
    ),
    "ollama.embed": _provider("Embeddings", answers.OllamaEmbed, tag="ollama", body="ollama.embed", **_READ),
    "ollama.embeddings": _provider(
        "Embedding of one text", answers.OllamaEmbedding, tag="ollama", body="ollama.embeddings", **_READ
    ),
    "ollama.show": _provider(
        "Get a model", answers.OllamaShow, tag="ollama", body="ollama.show", failures=(404, *_UPSTREAM)
    ),
    "ollama.tags": _provider("List the models", answers.OllamaTags, tag="ollama", **_LIST),
    "ollama.ps": _provider("List the models in memory", answers.OllamaProcesses, tag="ollama", **_LIST),
    "ollama.version": _provider("Ollama version", answers.OllamaVersion, tag="ollama"),
}
"""The providers' routes, by their names in `tokenfall.api.routes`."""

_ID_PATTERN = "^[A-Za-z0-9._:@-]{1,64}$"  # as ConversationId


def _parameter(name: str, place: str, *, schema: Schema, description: str = "") -> Schema:
    required = {"required": True} if place == "path" else {}
    described = {"description": description} if description else {}
    return {"name": name, "in": place, **described, **required, "schema": {"type": "string", **schema}}


PARAMETERS: dict[str, Schema] = {
    **{
        key: _parameter(key, "query", schema={"pattern": PATTERNS[key]} if key in PATTERNS else {}, description=takes)
        for key, (_, _, takes) in KEYS.items()
    },
    "X-Sim": _parameter(
        "X-Sim", "header", schema={"example": "ttft=300ms,gap=20ms"}, description="The simulator's grammar."
    ),
    "Idempotency-Key": _parameter("Idempotency-Key", "header", schema={"minLength": 1, "maxLength": 255}),
    "announce": _parameter("announce", "query", schema={"type": "boolean", "default": False}),
    "details": _parameter("details", "query", schema={"type": "boolean", "default": False}),
    "Last-Event-ID": _parameter("Last-Event-ID", "header", schema={"pattern": r"^\d{1,12}$"}),
    "anthropic-version": _parameter("anthropic-version", "header", schema={"example": "2023-06-01"}),
    "conversation?": _parameter("conversation", "query", schema={"pattern": _ID_PATTERN, "default": "default"}),
    "range": _parameter("range", "query", schema={"enum": [*RANGES], "default": DEFAULT_RANGE}),
    "limit": _parameter("limit", "query", schema={"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
    "after": _parameter(
        "after", "query", schema={"pattern": _ID_PATTERN}, description="The last id of the page before."
    ),
    "variants": _parameter("variants", "query", schema={"type": "boolean", "default": False}),
    "search": _parameter(
        "search",
        "query",
        schema={"minLength": 1, "maxLength": 200, "pattern": r"^\s*\S+(\s+\S+){0,15}\s*$"},
        description="Only conversations in whose title or messages each of these words occurs.",
    ),
    "conversation": _parameter("conversation", "path", schema={"pattern": _ID_PATTERN}),
    "{gate}": _parameter("gate", "path", schema={"pattern": "^[._-]{0,20}[A-Za-z0-9][A-Za-z0-9._-]{0,43}$"}),
    "file": _parameter("file", "path", schema={"pattern": r"^[a-z_]+\.(css|js|svg)$"}),
    "turn": _parameter("turn", "path", schema={"pattern": "^turn_[0-9a-f]{24}$"}),
    "model": _parameter("model", "path", schema={"minLength": 1}, description="It may have slashes in it."),
}
