from tokenfall.api.lazy_handlers import LazyHandlers
from tokenfall.api.page import PAGES
from tokenfall.api.probes import Probes
from tokenfall.api.routes import (
    chat_routes,
    control_routes,
    dashboard_routes,
    page_routes,
    probe_routes,
    simulator_routes,
)
from tokenfall.api.routing import Route, Router
from tokenfall.api.simulator import DataDocument, loop_stream, ndjson_stream, sse_stream
from tokenfall.http.response import Response
from tokenfall.metrics.registry import Metrics

from tests.doubles.clocks import InstantClock
from tests.unit.api.test_simulator import shared

LAZY = LazyHandlers(dict)


def all_routes() -> list[Route]:
    return [
        *chat_routes(LAZY),
        *simulator_routes(
            sse=sse_stream(shared()),
            ndjson=ndjson_stream(shared()),
            loop=loop_stream(shared()),
            data=DataDocument(shared(), InstantClock()),
        ),
        *probe_routes(Probes(Metrics, lambda: False)),
        *page_routes(LAZY),
        *control_routes(LAZY),
        *dashboard_routes(lambda request_: Response(200), lambda request_: Response(200)),
    ]


ROUTES = {(route.method, route.path): route for route in all_routes()}


PROBES = {"/health", "/livez", "/readyz", "/metrics", "/version"}
PAGE_FILES = {"/", *PAGES, "/web/", "/board/", "/web/{file}"}


def with_flag(flag: str) -> set[str]:
    """The paths of the routes that have a flag; a path may not have it for one method only."""
    paths = {path for (_, path), route in ROUTES.items() if getattr(route, flag)}
    assert [route.path for route in ROUTES.values() if route.path in paths and not getattr(route, flag)] == []
    return paths


def test_only_probes_and_pages_are_open_without_a_key() -> None:
    assert {path for _, path in ROUTES} - with_flag("keyed") == PROBES | PAGE_FILES


def test_only_routes_to_models_and_conversations_are_limited() -> None:
    chat = {path for _, path in ROUTES if path.startswith(("/chat", "/history", "/conversations"))}

    assert with_flag("limited") == chat - {"/chat/defaults"}
    assert {"/chat", "/chat/turns/{turn}", "/history", "/conversations"} <= chat


def test_only_probes_are_served_while_the_server_drains() -> None:
    assert with_flag("open_while_draining") == PROBES


def test_only_probes_and_load_test_routes_are_quiet() -> None:
    assert with_flag("quiet") == Router(all_routes()).quiet_paths() == PROBES | {"/api/data"}


def test_routes_that_only_pages_call_are_marked() -> None:
    assert Router(all_routes()).page_paths() == {
        *PAGE_FILES,
        "/board/events",
        "/board/history",
        "/chat/defaults",
        "/chat/context",
        "/history",
        "/conversations",
        "/conversations/{conversation}",
    }
