import json
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from tokenfall.api.access import AccessLog
from tokenfall.api.app import App
from tokenfall.api.cors import CORS
from tokenfall.api.guard import LoopbackGuard
from tokenfall.api.providers import FunctionHandler
from tokenfall.api.request_log import RequestLog
from tokenfall.api.routing import ErrorEncoder, Route, Router
from tokenfall.api.throttle import Throttle
from tokenfall.errors import InvalidRequest, UpstreamRefused
from tokenfall.http.loadable import Loadable
from tokenfall.http.request import Request, placeholder_request
from tokenfall.http.response import AnyResponse, Response
from tokenfall.limits.memory import MemoryLimiter
from tokenfall.metrics.registry import Metrics
from tokenfall.wire.api_error import ApiError

from tests.contracts.limits import BURST, RATE
from tests.doubles.callers import callers
from tests.doubles.clocks import FakeClock, FakeWheel
from tests.doubles.requests import lines_of, request


def ok(request: Request) -> Response:
    return Response(200, b"ok")


async def later(request: Request) -> Response:
    return Response(200, b"later")


def invalid(request: Request) -> Response:
    raise InvalidRequest("not so")


def defective(request: Request) -> Response:
    raise ZeroDivisionError("s3cret")


def refused_upstream(request: Request) -> Response:
    raise UpstreamRefused("no such model", status=404, param="model")


def encode_error(request: Request, api_error: ApiError) -> Response:
    """An error encoder whose body differs from the problem document."""
    body = {
        "dialect_code": api_error.code,
        "dialect_message": api_error.message,
        "param": api_error.param,
        "id": api_error.request_id,
    }
    headers = (("retry-after", f"{api_error.retry_after_s:g}"),) if api_error.retry_after_s else ()
    return Response(api_error.status, json.dumps(body).encode(), headers=headers)


ROUTES = [
    Route("POST", "/v1/ok", operation="", handler=ok, limited=True, refuse=encode_error),
    Route("GET", "/v1/invalid", operation="", handler=invalid, keyed=False, refuse=encode_error),
    Route("GET", "/v1/defective", operation="", handler=defective, keyed=False, refuse=encode_error),
    Route("GET", "/v1/upstream", operation="", handler=refused_upstream, keyed=False, refuse=encode_error),
    Route("GET", "/upstream", operation="", handler=refused_upstream, keyed=False),
    Route("GET", "/open", operation="", handler=ok, keyed=False, open_while_draining=True, quiet=True),
    Route("GET", "/keyed", operation="", handler=ok),
    Route("POST", "/keyed", operation="", handler=later, limited=True),
    Route("GET", "/invalid", operation="", handler=invalid, keyed=False),
    Route("GET", "/defective", operation="", handler=defective, keyed=False),
    Route("GET", "/data", operation="", handler=ok, quiet=True),
]


def own_dialect_error(request: Request, api_error: ApiError) -> Response:
    return Response(api_error.status, b"own dialect", content_type="text/plain")


class Harness:
    """An application with guards, throttle and access log."""

    def __init__(self, *, keys: tuple[str, ...] = (), log_quiet: bool = False) -> None:
        self.metrics = Metrics()
        self.written: list[str] = []
        self.access = AccessLog(self.written.append, FakeWheel(), metrics=self.metrics, as_json=False)
        self.app = App(
            Router(ROUTES, error_encoders=[("/provider/", ErrorEncoder(own_dialect_error))]),
            callers=callers(*keys),
            cors=CORS((), loopback_only=False),
            metrics=self.metrics,
            access=self.access,
            log_quiet=log_quiet,
        )

    def throttled(self) -> "Harness":
        limiter = MemoryLimiter(RATE, BURST, now=FakeClock())
        throttle = Throttle(limiter, callers=callers(), metrics=self.metrics)
        self.app.throttle = lambda: throttle
        return self

    async def handle(self, incoming: Request) -> Response:
        """Handle a request as the HTTP server does: await coroutines and convert exceptions."""
        try:
            result: AnyResponse | Coroutine[Any, Any, AnyResponse] = self.app.respond(incoming)
            if isinstance(result, Coroutine):
                result = await result
        except Exception as error:  # noqa: BLE001 - the HTTP server passes any exception to `crashed`
            result = self.app.crashed(incoming, error)
        assert isinstance(result, Response)
        return result

    def logged(self) -> str:
        self.access.flush()
        return "".join(self.written)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def body_of(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.body)
    return found


def code(response: Response) -> str:
    """The error code in a problem document or in the dialect of `/v1`."""
    document = body_of(response)
    return str(document.get("dialect_code") or document["code"])


in_each_format = pytest.mark.parametrize("prefix", ["", "/v1"])
"""For problem documents and for the errors of a dialect."""


# Modules loaded before the response


class LazyApplication:
    """An application whose only route needs a module that is not loaded."""

    def __init__(self) -> None:
        self.needed = Loadable()
        handlers = FunctionHandler(lambda request: Response(200, b"loaded"), encode_error)
        route = Route(
            "POST",
            "/v1/a",
            operation="",
            handler=handlers,
            refuse=handlers.refuse,
            needs=self.needed,
            request_logged=True,
        )
        self.app = App(
            Router([route], error_encoders=[("/v1/", ErrorEncoder(handlers.refuse, self.needed))]),
            callers=callers("secret"),
            cors=CORS((), loopback_only=False),
            metrics=Metrics(),
            access=None,
            log_quiet=False,
        )
        self.app.request_log = self.request_log = RequestLog()
        self.request_log.is_on = True

    def new_request(self) -> Request:
        return request("/v1/a", method="POST", headers={"x-api-key": "secret"})


def test_route_responds_once_its_modules_are_loaded() -> None:
    lazy = LazyApplication()
    incoming = lazy.new_request()
    assert lazy.app.respond(incoming) is lazy.needed
    name = incoming.id
    lazy.needed.finish()
    response = lazy.app.respond_when_loaded(incoming)

    assert isinstance(response, Response)
    assert (response.body, incoming.id, len(lazy.request_log.entries())) == (b"loaded", name, 1)


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/v1/unknown", "GET", 404), ("/v1", "POST", 404), ("/v1/a", "GET", 405)]
)
def test_unknown_path_or_method_is_refused_once_the_dialect_is_loaded(path: str, method: str, status: int) -> None:
    lazy = LazyApplication()
    incoming = request(path, method=method)
    assert lazy.app.respond(incoming) is lazy.needed
    lazy.needed.finish()
    response = lazy.app.respond_when_loaded(incoming)

    assert isinstance(response, Response)
    assert (response.status, body_of(response)["id"]) == (status, incoming.id)


def test_dialect_error_requires_its_module_to_be_loaded() -> None:
    lazy = LazyApplication()
    incoming = lazy.new_request()
    assert lazy.app.needed_for_refusal(incoming) is lazy.needed
    assert lazy.app.needed_for_refusal(request("/nowhere")) is None
    lazy.needed.finish()

    assert lazy.app.needed_for_refusal(incoming) is None
    assert json.loads(lazy.app.refuse(incoming, 413, detail="too large").body)["dialect_code"] == "body_too_large"


def test_error_is_a_problem_document_if_its_dialect_cannot_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    lazy = LazyApplication()
    incoming = lazy.new_request()
    assert lazy.app.respond(incoming) is lazy.needed
    with caplog.at_level(logging.ERROR):
        response = lazy.app.crashed(incoming, ImportError("no such library"))

    assert (response.status, code(response)) == (500, "internal_error")
    assert incoming.id in caplog.text


# Routes


async def test_handler_responds_and_its_route_is_recorded(harness: Harness) -> None:
    incoming = request("/open?a=b")

    assert (await harness.handle(incoming)).body == b"ok"
    assert incoming.route == "/open"


async def test_unknown_path_is_not_found(harness: Harness) -> None:
    incoming = request("/nowhere")
    response = await harness.handle(incoming)

    assert (response.status, code(response), incoming.route) == (404, "not_found", "")


@pytest.mark.parametrize(("path", "allowed"), [("/keyed", "GET, HEAD, OPTIONS, POST"), ("/v1/ok", "OPTIONS, POST")])
async def test_unknown_method_is_405_with_the_allowed_methods(harness: Harness, path: str, allowed: str) -> None:
    incoming = request(path, method="DELETE", headers={"origin": "http://a"})
    response = await harness.handle(incoming)

    assert (response.status, code(response)) == (405, "method_not_allowed")
    assert f"{path} takes {allowed}".encode() in response.body
    assert {f"allow: {allowed}", "access-control-allow-origin: *"} <= {*lines_of(incoming.response_headers)}


@pytest.mark.parametrize(
    ("path", "allowed"), [("/keyed", "GET, HEAD, OPTIONS, POST"), ("/open", "GET, HEAD, OPTIONS"), ("*", "OPTIONS")]
)
async def test_options_response_has_the_allowed_methods(harness: Harness, path: str, allowed: str) -> None:
    response = await harness.handle(request(path, method="OPTIONS"))

    assert response.status == 204
    assert f"allow: {allowed}" in lines_of(response.head)


async def test_options_of_an_unknown_path_is_404(harness: Harness) -> None:
    assert (await harness.handle(request("/nowhere", method="OPTIONS"))).status == 404


async def test_preflight_needs_no_key() -> None:
    headers = {"origin": "http://a", "access-control-request-method": "POST", "access-control-request-headers": "x-sim"}
    incoming = request("/keyed", method="OPTIONS", headers=headers)
    response = await Harness(keys=("k",)).handle(incoming)

    assert response.status == 204
    assert "access-control-allow-origin: *" in lines_of(incoming.response_headers)
    assert "access-control-allow-methods: GET, HEAD, OPTIONS, POST" in lines_of(incoming.response_headers)


async def test_request_without_an_origin_gets_no_cors_headers(harness: Harness) -> None:
    incoming = request("/open")
    await harness.handle(incoming)

    assert b"access-control" not in incoming.response_headers


@pytest.mark.parametrize("path", ["/nowhere", "/invalid", "/defective", "/keyed"])
async def test_error_responses_have_cors_headers(path: str) -> None:
    incoming = request(path, headers={"origin": "http://a"})
    response = await Harness(keys=("k",)).handle(incoming)

    assert response.status >= 400
    assert "access-control-allow-origin: *" in lines_of(incoming.response_headers)


# Request ids


async def test_valid_request_id_of_the_client_is_kept(harness: Harness) -> None:
    incoming = request("/invalid", headers={"x-request-id": "my.Request_1-2"})
    response = await harness.handle(incoming)

    assert incoming.id == "my.Request_1-2"
    assert "x-request-id: my.Request_1-2" in lines_of(incoming.response_headers)
    assert json.loads(response.body)["request_id"] == "my.Request_1-2"


@pytest.mark.parametrize("sent", ["", "a b", "a" * 65, "a\nb", "é", "a,b", 'a"b'])
async def test_invalid_request_id_of_the_client_is_replaced(harness: Harness, sent: str) -> None:
    incoming = request("/open", headers={"x-request-id": sent})
    await harness.handle(incoming)

    assert incoming.id != sent
    assert incoming.id.isascii()
    assert f"x-request-id: {incoming.id}" in lines_of(incoming.response_headers)


async def test_generated_request_ids_are_unique() -> None:
    ids = []
    for each in (Harness(), Harness()):
        for _ in range(10):
            incoming = request("/open")
            await each.handle(incoming)
            ids.append(incoming.id)

    assert len(set(ids)) == 20


# Guards


@pytest.mark.parametrize(
    ("path", "method"), [("/keyed", "GET"), ("/keyed", "HEAD"), ("/keyed", "POST"), ("/v1/ok", "POST")]
)
async def test_keyed_route_requires_a_key(path: str, method: str) -> None:
    harness = Harness(keys=("k",))
    refused = await harness.handle(request(path, method=method))
    allowed = await harness.handle(request(path, method=method, headers={"x-api-key": "k"}))

    assert (refused.status, code(refused), allowed.status) == (401, "unauthorized", 200)


async def test_open_route_requires_no_key() -> None:
    assert (await Harness(keys=("k",)).handle(request("/open"))).status == 200


async def test_only_limited_routes_are_limited(harness: Harness) -> None:
    harness.throttled()
    spent = [(await harness.handle(request("/keyed", method="POST"))).status for _ in range(BURST + 1)]
    free = [(await harness.handle(request("/keyed"))).status for _ in range(BURST + 1)]

    assert spent == [200] * BURST + [429]
    assert free == [200] * (BURST + 1)


async def test_every_limited_response_has_the_remaining_limit(harness: Harness) -> None:
    harness.throttled()
    incoming = [request("/keyed", method="POST") for _ in range(BURST + 1)]
    for each in incoming:
        await harness.handle(each)

    assert ["r=2" in str(each.response_headers) for each in incoming] == [True, False, False, False]
    assert all(b"\r\nratelimit: " in each.response_headers for each in incoming)


async def test_rate_limit_is_checked_before_the_key() -> None:
    harness = Harness(keys=("k",)).throttled()
    statuses = [(await harness.handle(request("/keyed", method="POST"))).status for _ in range(BURST + 2)]

    assert statuses == [401] * BURST + [429] * 2


async def test_limited_route_also_requires_its_key() -> None:
    harness = Harness(keys=("k",)).throttled()

    assert (await harness.handle(request("/keyed", method="POST", headers={"x-api-key": "k"}))).body == b"later"


@pytest.mark.parametrize("limited", [True, False])
async def test_other_origins_are_refused_if_no_keys_are_configured(harness: Harness, limited: bool) -> None:
    harness.app.loopback_guard = LoopbackGuard((), check_host=True)
    if limited:
        harness.throttled()
    evil = {"host": "localhost", "origin": "http://evil.example"}
    refused = await harness.handle(request("/keyed", method="POST", headers=evil))
    allowed = await harness.handle(request("/keyed", method="POST", headers={"host": "localhost"}))
    probed = await harness.handle(request("/open", headers=evil))

    assert (refused.status, allowed.status, probed.status) == (403, 200, 200)


# Errors


@in_each_format
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_error_becomes_a_response_with_its_status(harness: Harness, prefix: str, method: str) -> None:
    response = await harness.handle(request(f"{prefix}/invalid", method=method))

    assert (response.status, code(response)) == (400, "invalid_request")
    assert b"not so" in response.body


@in_each_format
async def test_internal_error_is_logged_and_not_shown(
    harness: Harness, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    incoming = request(f"{prefix}/defective")
    with caplog.at_level(logging.ERROR):
        response = await harness.handle(incoming)

    assert (response.status, code(response)) == (500, "internal_error")
    assert b"s3cret" not in response.body
    assert caplog.records[0].getMessage() == f"request {incoming.id} failed"
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("path", ["/keyed", "/v1/ok"])
@pytest.mark.parametrize(
    ("status", "expected"), [(413, "body_too_large"), (408, "request_timeout"), (503, "overloaded")]
)
def test_http_server_refusal_has_request_id_code_and_cors_headers(
    harness: Harness, path: str, status: int, expected: str
) -> None:
    incoming = request(path, method="POST", headers={"origin": "http://a"})
    response = harness.app.refuse(incoming, status, detail="no")

    assert (response.status, code(response)) == (status, expected)
    assert f'"{incoming.id}"'.encode() in response.body
    lines = lines_of(incoming.response_headers)
    assert {f"x-request-id: {incoming.id}", "access-control-allow-origin: *"} <= {*lines}


@pytest.mark.parametrize(("path", "route"), [("/keyed", "/keyed"), ("/unknown", "")])
def test_http_server_refusal_is_counted_for_its_route(harness: Harness, path: str, route: str) -> None:
    refused = request(path)
    harness.app.refuse(refused, 413, detail="too large")
    harness.app.ended(refused, 413, outcome="complete", sent_bytes=0)

    assert harness.metrics.requests == {(route, 413): 1}


async def test_refusal_keeps_the_request_id_already_assigned(harness: Harness) -> None:
    incoming = request("/open")
    await harness.handle(incoming)
    before = incoming.id, incoming.response_headers
    harness.app.refuse(incoming, 503, detail="full")

    assert (incoming.id, incoming.response_headers) == before


# Drain


@pytest.mark.parametrize("path", ["/keyed", "/v1/ok"])
async def test_draining_server_refuses_new_and_cuts_pending_requests(harness: Harness, path: str) -> None:
    harness.app.draining = True
    refused = await harness.handle(request(path, method="POST"))

    for response in (refused, harness.app.cut(request(path, method="POST"))):
        assert (response.status, code(response)) == (503, "shutting_down")
        assert "retry-after: 5" in lines_of(response.head)
    assert (await harness.handle(request("/open"))).status == 200


# Logs and metrics


async def test_response_is_counted_by_route_and_status(harness: Harness) -> None:
    for path, status, sent_bytes in (("/open", 200, 10), ("/open", 200, 20), ("/keyed", 401, 5)):
        incoming = request(path)
        incoming.route = path
        harness.app.ended(incoming, status, outcome="complete", sent_bytes=sent_bytes)

    assert harness.metrics.requests == {("/open", 200): 2, ("/keyed", 401): 1}
    assert harness.metrics.bytes_sent == 35


@pytest.mark.parametrize(
    ("path", "status", "log_quiet", "logged"),
    [
        ("/keyed", 200, False, True),
        ("/open", 200, False, False),
        ("/data", 200, False, False),
        ("/open", 503, False, True),
        ("/open", 200, True, True),
        ("", 404, False, True),
    ],
)
def test_quiet_routes_are_logged_only_on_errors(path: str, status: int, log_quiet: bool, logged: bool) -> None:
    harness = Harness(log_quiet=log_quiet)
    incoming = request("/x")
    incoming.route = path
    harness.app.ended(incoming, status, outcome="complete", sent_bytes=0)

    assert (harness.logged() != "") is logged


# Errors in the dialect of the path


def post(**headers: str) -> Request:
    return request("/v1/ok", method="POST", headers=headers)


async def test_rate_limited_request_is_refused_in_the_dialect(harness: Harness) -> None:
    harness.throttled()
    responses = [await harness.handle(post()) for _ in range(BURST + 1)]

    assert [response.status for response in responses] == [200] * BURST + [429]
    assert body_of(responses[-1])["dialect_code"] == "rate_limited"
    assert any(line.startswith("retry-after: ") for line in lines_of(responses[-1].head))


def test_http_server_refusal_without_a_dialect_is_a_problem_document(harness: Harness) -> None:
    for incoming in (request("/v1/nowhere", method="POST"), request("/open"), placeholder_request("127.0.0.1", 1.0)):
        assert code(harness.app.refuse(incoming, 413, detail="no")) == "body_too_large"


async def test_provider_status_is_used_on_its_dialects_routes(harness: Harness) -> None:
    own, default = await harness.handle(request("/v1/upstream")), await harness.handle(request("/upstream"))

    assert (own.status, body_of(own)["param"]) == (404, "model")
    assert (default.status, code(default)) == (400, "upstream_refused")


async def test_unknown_path_under_a_provider_prefix_is_refused_in_its_dialect() -> None:
    harness = Harness()

    assert (await harness.handle(request("/provider/unknown"))).body == b"own dialect"
    assert (await harness.handle(request("/unknown"))).body != b"own dialect"
