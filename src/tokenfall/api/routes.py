"""The table of all routes. It has paths and flags only; handlers are passed in."""

from __future__ import annotations

from tokenfall.api.lazy_handlers import CachedResponse
from tokenfall.api.probes import METRICS
from tokenfall.api.routing import Route
from tokenfall.http.loadable import THREADING, Modules
from tokenfall.http.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.api.lazy_handlers import LazyHandlers
    from tokenfall.api.probes import Probes
    from tokenfall.api.routing import Handler, Refuse
    from tokenfall.api.simulator import DataDocument, PlainStream
    from tokenfall.http.loadable import Loadable


def chat_routes(chat: LazyHandlers) -> list[Route]:
    """Routes to models and conversations: keyed and limited."""
    return [
        Route("POST", "/chat", handler=chat.handler("chat"), needs=chat, limited=True, request_logged=True),
        Route("GET", "/chat/defaults", handler=chat.handler("defaults"), needs=chat),
        Route("GET", "/history", handler=chat.handler("history"), needs=chat, limited=True, private=True),
        Route("DELETE", "/history", handler=chat.handler("clear"), needs=chat, limited=True, private=True),
        Route("GET", "/chat/turns/{turn}", handler=chat.handler("resume"), needs=chat, limited=True),
        Route("POST", "/chat/turns/{turn}/stop", handler=chat.handler("stop"), needs=chat, limited=True),
        Route("GET", "/conversations", handler=chat.handler("conversations"), needs=chat, limited=True, private=True),
        Route("POST", "/conversations", handler=chat.handler("add"), needs=chat, limited=True, private=True),
        Route(
            "PATCH",
            "/conversations/{conversation}",
            handler=chat.handler("change"),
            needs=chat,
            limited=True,
            private=True,
        ),
        Route(
            "DELETE",
            "/conversations/{conversation}",
            handler=chat.handler("delete"),
            needs=chat,
            limited=True,
            private=True,
        ),
    ]


def simulator_routes(*, sse: PlainStream, ndjson: PlainStream, loop: PlainStream, data: DataDocument) -> list[Route]:
    """Routes for load tests: keyed, but not limited."""
    return [
        Route("GET", "/stream-sse", handler=sse, request_logged=True),
        Route("GET", "/stream-ndjson", handler=ndjson, request_logged=True),
        Route("GET", "/stream-loop", handler=loop, request_logged=True),
        Route("GET", "/api/data", handler=data, quiet=True, request_logged=True),
    ]


def control_routes(control: LazyHandlers) -> list[Route]:
    """Routes that control the simulator: keyed."""
    return [
        Route("GET", "/sim", handler=control.handler("show"), needs=control, private=True),
        Route("PATCH", "/sim", handler=control.handler("change"), needs=control, private=True),
        Route("PUT", "/sim", handler=control.handler("replace"), needs=control, private=True),
        Route("DELETE", "/sim", handler=control.handler("reset"), needs=control, private=True),
        Route("GET", "/sim/requests", handler=control.handler("requests"), needs=control, private=True),
        Route("DELETE", "/sim/requests", handler=control.handler("forget_requests"), needs=control, private=True),
        Route("GET", "/sim/gates", handler=control.handler("gates"), needs=control, private=True),
        Route("GET", "/sim/gates/{gate}", handler=control.handler("gate"), needs=control, private=True),
        Route("PATCH", "/sim/gates/{gate}", handler=control.handler("move_gate"), needs=control, private=True),
        Route("DELETE", "/sim/gates/{gate}", handler=control.handler("drop_gate"), needs=control, private=True),
    ]


PROVIDERS = (
    ("POST", "/v1/chat/completions", "openai.chat"),
    ("POST", "/v1/completions", "openai.completions"),
    ("POST", "/v1/responses", "openai.responses"),
    ("POST", "/v1/embeddings", "openai.embeddings"),
    ("GET", "/v1/models", "models"),
    ("GET", "/v1/models/{model...}", "model"),
    ("POST", "/openai/v1/chat/completions", "groq.chat"),
    ("POST", "/openai/v1/completions", "openai.completions"),
    ("POST", "/openai/v1/responses", "openai.responses"),
    ("POST", "/openai/v1/embeddings", "openai.embeddings"),
    ("GET", "/openai/v1/models", "models"),
    ("GET", "/openai/v1/models/{model...}", "model"),
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
"""Method, path, and the handler's name in `tokenfall.bootstrap.providers`. Groq's clients use `/openai`."""


PREFIXES = (("/v1/messages", "anthropic"), ("/v1/", "models"), ("/openai/", "models"), ("/api/", "ollama.tags"))
"""For paths without a route: the name of the handler that encodes errors, by path prefix."""


def words_below(handlers: LazyHandlers) -> list[tuple[str, Refuse]]:
    """The prefixes, each with the function that encodes errors below it."""
    return [(prefix, handlers.refuse(name)) for prefix, name in PREFIXES]


def provider_routes(handlers: LazyHandlers) -> list[Route]:
    """The providers' own paths: keyed. Their handlers limit relayed requests."""
    return [
        Route(
            method,
            path,
            handler=handlers.handler(name),
            refuse=handlers.refuse(name),
            needs=handlers,
            request_logged=True,
        )
        for method, path, name in PROVIDERS
    ]


def probe_routes(probes: Probes) -> list[Route]:
    """Routes for operators: neither keyed nor limited, open while the server drains."""
    return [
        _open("/health", probes.health),
        _open("/livez", probes.live),
        _open("/readyz", probes.ready),
        _open("/metrics", probes.metrics, needs=METRICS),
        _open("/version", probes.version),
    ]


_PAGES = ("/web", "/board", "/web/{file}")
_PAGE_REDIRECTS = ("/", "/web/", "/board/")

PAGES = frozenset({*_PAGES, *_PAGE_REDIRECTS, "/board/events", "/board/history"})
"""Routes of the pages and the dashboard's data. The dashboard leaves their requests out, as they are mostly its own."""


def page_routes(page: LazyHandlers) -> list[Route]:
    """The pages and their assets."""
    files = [Route("GET", path, handler=page.handler("serve"), needs=page, keyed=False) for path in _PAGES]
    redirects = [Route("GET", path, handler=page.handler("lead"), needs=page, keyed=False) for path in _PAGE_REDIRECTS]
    return [*redirects, *files]


BOARD = Modules("tokenfall.api.dashboard", "tokenfall.simulator.format_grammar", after=THREADING)
BOARD_HISTORY = Modules("tokenfall.api.dashboard_history", after=THREADING)


def board_routes(events: Handler, history: Handler) -> list[Route]:
    """The data of the dashboard: keyed. Its page is in `page_routes`."""
    return [
        Route("GET", "/board/events", handler=events, needs=BOARD),
        Route("GET", "/board/history", handler=history, needs=BOARD_HISTORY),
    ]


def described(routes: list[Route], *, keyed: bool, relays: bool) -> list[Route]:
    """`routes` and `GET /openapi.json`, which describes all of them: generated at the first request, then cached."""

    def make() -> Response:
        from tokenfall.api.openapi import encoded  # noqa: PLC0415 - rarely requested, and takes a megabyte

        body = encoded(all_routes, keyed=keyed, relays=relays)
        return Response(200, body, content_type="application/json", headers=(("cache-control", "no-cache"),))

    description = CachedResponse(make)
    all_routes = [*routes, Route("GET", "/openapi.json", handler=description, needs=description, keyed=False)]
    return all_routes


def _open(path: str, handler: Handler, *, needs: Loadable | None = None) -> Route:
    return Route("GET", path, handler=handler, needs=needs, keyed=False, open_while_draining=True, quiet=True)
