from typing import NamedTuple

import pytest

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


class Checks(NamedTuple):
    """Checks before a handler."""

    keyed: bool
    limited: bool
    open_while_draining: bool


CHAT, SIMULATOR, PROBE, PAGE = (
    Checks(keyed=True, limited=True, open_while_draining=False),
    Checks(keyed=True, limited=False, open_while_draining=False),
    Checks(keyed=False, limited=False, open_while_draining=True),
    Checks(keyed=False, limited=False, open_while_draining=False),
)


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


@pytest.mark.parametrize(
    ("method", "path", "before"),
    [
        ("POST", "/chat", CHAT),
        ("GET", "/chat/defaults", SIMULATOR),
        ("POST", "/chat/context", CHAT),
        ("GET", "/history", CHAT),
        ("DELETE", "/history", CHAT),
        ("GET", "/conversations", CHAT),
        ("POST", "/conversations", CHAT),
        ("PATCH", "/conversations/{conversation}", CHAT),
        ("DELETE", "/conversations/{conversation}", CHAT),
        ("GET", "/chat/turns/{turn}", CHAT),
        ("POST", "/chat/turns/{turn}/stop", CHAT),
        ("GET", "/stream-sse", SIMULATOR),
        ("GET", "/stream-ndjson", SIMULATOR),
        ("GET", "/stream-loop", SIMULATOR),
        ("GET", "/api/data", SIMULATOR),
        ("GET", "/health", PROBE),
        ("GET", "/livez", PROBE),
        ("GET", "/readyz", PROBE),
        ("GET", "/metrics", PROBE),
        ("GET", "/version", PROBE),
        ("GET", "/", PAGE),
        ("GET", "/web", PAGE),
        ("GET", "/web/{file}", PAGE),
        ("GET", "/board", PAGE),
        ("GET", "/board/events", SIMULATOR),
        ("GET", "/board/history", SIMULATOR),
        ("GET", "/sim", SIMULATOR),
        ("PATCH", "/sim", SIMULATOR),
        ("PUT", "/sim", SIMULATOR),
        ("DELETE", "/sim", SIMULATOR),
    ],
)
def test_route_has_the_expected_checks(method: str, path: str, before: Checks) -> None:
    route = ROUTES[method, path]

    assert Checks(route.keyed, route.limited, route.open_while_draining) == before


def test_only_probes_and_pages_are_open_without_a_key() -> None:
    unkeyed = {path for (_, path), route in ROUTES.items() if not route.keyed}

    assert unkeyed == {
        "/",
        *PAGES,
        "/web/",
        "/board/",
        "/web/{file}",
        "/health",
        "/livez",
        "/readyz",
        "/metrics",
        "/version",
    }


def test_routes_that_only_pages_call_are_marked() -> None:
    assert Router(all_routes()).page_paths() == {
        "/",
        *PAGES,
        "/web/",
        "/board/",
        "/web/{file}",
        "/board/events",
        "/board/history",
        "/chat/defaults",
        "/chat/context",
        "/history",
        "/conversations",
        "/conversations/{conversation}",
    }


def test_probes_and_load_test_routes_are_quiet() -> None:
    assert Router(all_routes()).quiet_paths() == {"/health", "/livez", "/readyz", "/metrics", "/version", "/api/data"}
