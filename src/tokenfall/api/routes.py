"""The table of all routes: paths, flags and the names of their operations. Handlers are passed in.

It must not import the operations (`tokenfall.api.openapi`), which are loaded only for `/openapi.json`.
"""

from __future__ import annotations

from tokenfall.api.lazy_handlers import LazyHandlers
from tokenfall.api.probes import METRICS
from tokenfall.api.routing import ErrorEncoder, Route
from tokenfall.http.loadable import THREADING, Modules
from tokenfall.http.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tokenfall.api.probes import Probes
    from tokenfall.api.routing import Handler, Refuse
    from tokenfall.api.simulator import DataDocument, PlainStream


def chat_routes(chat: LazyHandlers) -> list[Route]:
    """Routes to models and conversations: keyed and limited."""
    route = _lazy(chat)
    stored = _lazy(chat, for_pages=True, limited=True, private=True)
    return [
        route("POST", "/chat", operation="chat.chat", limited=True, request_logged=True),
        route("GET", "/chat/defaults", operation="chat.defaults", for_pages=True),
        stored("POST", "/chat/context", operation="chat.context"),
        stored("GET", "/history", operation="chat.history"),
        stored("DELETE", "/history", operation="chat.clear"),
        route("GET", "/chat/turns/{turn}", operation="chat.resume", limited=True, private=True),
        route("POST", "/chat/turns/{turn}/stop", operation="chat.stop", limited=True, private=True),
        stored("GET", "/conversations", operation="chat.conversations"),
        stored("POST", "/conversations", operation="chat.add"),
        stored("PATCH", "/conversations/{conversation}", operation="chat.change"),
        stored("DELETE", "/conversations/{conversation}", operation="chat.delete"),
    ]


def simulator_routes(*, sse: PlainStream, ndjson: PlainStream, loop: PlainStream, data: DataDocument) -> list[Route]:
    """Routes for load tests: keyed, but not limited."""
    return [
        Route("GET", "/stream-sse", operation="simulator.sse", handler=sse, request_logged=True),
        Route("GET", "/stream-ndjson", operation="simulator.ndjson", handler=ndjson, request_logged=True),
        Route("GET", "/stream-loop", operation="simulator.loop", handler=loop, request_logged=True),
        Route("GET", "/api/data", operation="simulator.data", handler=data, quiet=True, request_logged=True),
    ]


def control_routes(control: LazyHandlers) -> list[Route]:
    """Routes that control the simulator: keyed."""
    route = _lazy(control, private=True)
    return [
        route("GET", "/sim", operation="control.show"),
        route("PATCH", "/sim", operation="control.change"),
        route("PUT", "/sim", operation="control.replace"),
        route("DELETE", "/sim", operation="control.reset"),
        route("GET", "/sim/requests", operation="control.requests"),
        route("DELETE", "/sim/requests", operation="control.clear_requests"),
        route("GET", "/sim/gates", operation="control.gates"),
        route("GET", "/sim/gates/{gate}", operation="control.gate"),
        route("PATCH", "/sim/gates/{gate}", operation="control.change_gate"),
        route("DELETE", "/sim/gates/{gate}", operation="control.drop_gate"),
    ]


PROVIDERS = (
    ("POST", "/v1/chat/completions", "openai.chat"),
    ("POST", "/v1/completions", "openai.completions"),
    ("POST", "/v1/responses", "openai.responses"),
    ("POST", "/v1/embeddings", "openai.embeddings"),
    ("GET", "/v1/models", "openai.models"),
    ("GET", "/v1/models/{model...}", "openai.model"),
    ("POST", "/openai/v1/chat/completions", "groq.chat"),
    ("POST", "/openai/v1/completions", "openai.completions"),
    ("POST", "/openai/v1/responses", "openai.responses"),
    ("POST", "/openai/v1/embeddings", "openai.embeddings"),
    ("GET", "/openai/v1/models", "openai.models"),
    ("GET", "/openai/v1/models/{model...}", "openai.model"),
    ("POST", "/v1/messages", "anthropic"),
    ("POST", "/v1/messages/count_tokens", "anthropic.count"),
    ("POST", "/api/chat", "ollama.chat"),
    ("POST", "/api/generate", "ollama.generate"),
    ("POST", "/api/embed", "ollama.embed"),
    ("POST", "/api/embeddings", "ollama.embeddings"),
    ("POST", "/api/show", "ollama.show"),
    ("GET", "/api/tags", "ollama.tags"),
    ("GET", "/api/ps", "ollama.ps"),
    ("GET", "/api/version", "ollama.version"),
)
"""Method, path and operation, which is also the name of the handler. Groq's clients use `/openai`."""


PREFIXES = (
    ("/v1/messages/", "anthropic"),
    ("/v1/", "openai.models"),
    ("/openai/", "openai.models"),
    ("/api/", "ollama.tags"),
)
"""For paths without a route: the name of the handler that encodes errors, by path prefix."""


def error_encoders(handlers: LazyHandlers) -> list[tuple[str, ErrorEncoder]]:
    """The path prefixes, each with what encodes errors for it."""
    return [(prefix, ErrorEncoder(handlers.refuse(name), handlers)) for prefix, name in PREFIXES]


def provider_routes(handlers: LazyHandlers) -> list[Route]:
    """The providers' own paths: keyed. Their handlers limit relayed requests."""
    route = _lazy(handlers)
    return [
        route(method, path, operation=operation, refuse=handlers.refuse(operation), request_logged=True)
        for method, path, operation in PROVIDERS
    ]


def probe_routes(probes: Probes) -> list[Route]:
    """Routes for operators: neither keyed nor limited, open while the server drains."""
    flags: dict[str, Any] = {"keyed": False, "open_while_draining": True, "quiet": True}
    return [
        Route("GET", "/health", operation="probes.health", handler=probes.health, **flags),
        Route("GET", "/livez", operation="probes.live", handler=probes.live, **flags),
        Route("GET", "/readyz", operation="probes.ready", handler=probes.ready, **flags),
        Route("GET", "/metrics", operation="probes.metrics", handler=probes.metrics, needs=METRICS, **flags),
        Route("GET", "/version", operation="probes.version", handler=probes.version, **flags),
    ]


def page_routes(page: LazyHandlers) -> list[Route]:
    """The pages and their assets."""
    route = _lazy(page, for_pages=True, keyed=False)
    return [
        route("GET", "/", operation="pages.to_chat"),
        route("GET", "/web/", operation="pages.to_chat"),
        route("GET", "/board/", operation="pages.to_dashboard"),
        route("GET", "/web", operation="pages.chat"),
        route("GET", "/board", operation="pages.dashboard"),
        route("GET", "/web/{file}", operation="pages.asset"),
    ]


DASHBOARD = Modules("tokenfall.api.dashboard", "tokenfall.simulator.format_grammar", after=THREADING)
DASHBOARD_HISTORY = Modules("tokenfall.api.dashboard_history", after=THREADING)


def dashboard_routes(events: Handler, history: Handler) -> list[Route]:
    """The data of the dashboard: keyed. Its page is in `page_routes`."""
    return [
        Route("GET", "/board/events", operation="dashboard.events", handler=events, needs=DASHBOARD, for_pages=True),
        Route(
            "GET",
            "/board/history",
            operation="dashboard.history",
            handler=history,
            needs=DASHBOARD_HISTORY,
            for_pages=True,
        ),
    ]


def with_openapi(routes: list[Route], *, keyed: bool, relays: bool) -> list[Route]:
    """`routes` and `GET /openapi.json`, which describes all of them: generated at the first request, then cached."""

    def make() -> dict[str, Handler]:
        from tokenfall.api.openapi.document import encoded  # noqa: PLC0415 - rarely requested, and takes a megabyte

        body = encoded(all_routes, keyed=keyed, relays=relays)
        response = Response(200, body, content_type="application/json", headers=(("cache-control", "no-cache"),))
        return {"pages.openapi": lambda _: response}

    description = LazyHandlers(make, after=THREADING, take_bodies=False)
    all_routes = [*routes, _lazy(description, keyed=False)("GET", "/openapi.json", operation="pages.openapi")]
    return all_routes


def _lazy(handlers: LazyHandlers, **common: bool) -> Callable[..., Route]:
    """Creates routes to `handlers` with the flags `common`. The operation is also the name of the handler."""

    def route(method: str, path: str, *, operation: str, refuse: Refuse | None = None, **flags: bool) -> Route:
        handler = handlers.handler(operation)
        every = common | flags
        return Route(method, path, operation=operation, handler=handler, refuse=refuse, needs=handlers, **every)

    return route
