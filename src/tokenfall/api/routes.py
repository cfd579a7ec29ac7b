"""Every route, on one screen."""

from collections.abc import Coroutine
from typing import Any

from tokenfall.api.chat import ChatRoutes
from tokenfall.api.control import ControlRoutes
from tokenfall.api.ondemand import Once, OnDemand
from tokenfall.api.page import PAGES, Page
from tokenfall.api.probes import Probes
from tokenfall.api.routing import Handler, Route
from tokenfall.api.simulator import DataDocument, PlainStream
from tokenfall.edge.request import Request
from tokenfall.edge.response import Response


def chat_routes(chat: ChatRoutes) -> list[Route]:
    """What reaches a model or a conversation: keyed and limited."""
    return [
        Route(method="POST", path="/chat", handler=chat.chat, limited=True, journaled=True),
        Route(method="GET", path="/history", handler=chat.history, limited=True),
        Route(method="DELETE", path="/history", handler=chat.clear, limited=True),
        Route(method="GET", path="/chat/turns/{turn}", handler=chat.resume, limited=True),
        Route(method="POST", path="/chat/turns/{turn}/stop", handler=chat.stop, limited=True),
        Route(method="GET", path="/conversations", handler=chat.conversations, limited=True),
        Route(method="PATCH", path="/conversations/{conversation}", handler=chat.rename, limited=True),
        Route(method="DELETE", path="/conversations/{conversation}", handler=chat.delete, limited=True),
    ]


def simulator_routes(*, sse: PlainStream, ndjson: PlainStream, loop: PlainStream, data: DataDocument) -> list[Route]:
    """What load tests call: keyed, but never limited."""
    return [
        Route(method="GET", path="/stream-sse", handler=sse, journaled=True),
        Route(method="GET", path="/stream-ndjson", handler=ndjson, journaled=True),
        Route(method="GET", path="/stream-loop", handler=loop, journaled=True),
        Route(method="GET", path="/api/data", handler=data, quiet=True, journaled=True),
    ]


def control_routes(control: ControlRoutes) -> list[Route]:
    """The simulator's controls: keyed."""
    return [
        Route(method="GET", path="/sim", handler=control.show),
        Route(method="PATCH", path="/sim", handler=control.change),
        Route(method="PUT", path="/sim", handler=control.replace),
        Route(method="DELETE", path="/sim", handler=control.reset),
        Route(method="GET", path="/sim/requests", handler=control.requests),
        Route(method="DELETE", path="/sim/requests", handler=control.forget_requests),
        Route(method="GET", path="/sim/gates", handler=control.gates),
        Route(method="GET", path="/sim/gates/{gate}", handler=control.gate),
        Route(method="PATCH", path="/sim/gates/{gate}", handler=control.move_gate),
        Route(method="DELETE", path="/sim/gates/{gate}", handler=control.drop_gate),
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
"""Method, path, and the handler's name in `tokenfall.bootstrap.providers`. Groq's clients look below `/openai`."""


def provider_routes(handlers: OnDemand) -> list[Route]:
    """The providers' own paths: keyed; what is relayed is limited by its handler."""
    return [
        Route(method=method, path=path, handler=handlers.handler(name), refuse=handlers.refuse(name), journaled=True)
        for method, path, name in PROVIDERS
    ]


def probe_routes(probes: Probes) -> list[Route]:
    """What operators call: outside keys and limits, to the very end."""
    return [
        _open("/health", probes.health),
        _open("/livez", probes.live),
        _open("/readyz", probes.ready),
        _open("/metrics", probes.metrics),
        _open("/version", probes.version),
    ]


def page_routes(page: Page) -> list[Route]:
    """The pages and what they consist of."""
    files = (Route(method="GET", path=path, handler=page.serve, keyed=False) for path in (*PAGES, "/web/{file}"))
    return [Route(method="GET", path="/", handler=page.lead, keyed=False), *files]


def board_routes(watch: Handler) -> list[Route]:
    """What the server is doing: keyed. Its page is one of the page's."""
    return [Route(method="GET", path="/board/events", handler=watch)]


def described(routes: list[Route], *, keyed: bool, relays: bool) -> list[Route]:
    """All of `routes`, and the one that describes them and itself: written at the first request, then kept."""

    def make() -> Response:
        from tokenfall.api.openapi import encoded  # noqa: PLC0415 - few ask, and it is a megabyte

        body = encoded(everything, keyed=keyed, relays=relays)
        return Response(200, body, content_type="application/json", headers=(("cache-control", "no-cache"),))

    once = Once(make)

    def describe(_: Request) -> Response | Coroutine[Any, Any, Response]:
        return once.known() or once.get()

    everything = [*routes, Route(method="GET", path="/openapi.json", handler=describe, keyed=False)]
    return everything


def _open(path: str, handler: Handler) -> Route:
    return Route(method="GET", path=path, handler=handler, keyed=False, open_while_draining=True, quiet=True)
