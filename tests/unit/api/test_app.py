import json
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from tokenfall.api.access import AccessLog
from tokenfall.api.addresses import TrustedProxies
from tokenfall.api.app import App
from tokenfall.api.cors import CORS
from tokenfall.api.guard import Keys, LoopbackGuard
from tokenfall.api.providers import FunctionHandler
from tokenfall.api.request_log import RequestLog
from tokenfall.api.routing import ErrorEncoder, Route, Router
from tokenfall.api.throttle import Throttle
from tokenfall.errors import InvalidRequest, UpstreamRefused
from tokenfall.http.loadable import Loadable
from tokenfall.http.request import Request, placeholder_request
from tokenfall.http.response import AnyResponse, Response
from tokenfall.limits.memory import MemoryLimiter
from tokenfall.metrics import Metrics
from tokenfall.wire.api_error import ApiError

from tests.contracts.limits import BURST, RATE
from tests.doubles.clocks import FakeClock, FakeWheel
from tests.doubles.requests import lines_of, request


def ok(request: Request) -> Response:
    return Response(200, b"ok")


async def later(request: Request) -> Response:
    return Response(200, b"later")


def mistaken(request: Request) -> Response:
    raise InvalidRequest("not so")


def defective(request: Request) -> Response:
    raise ZeroDivisionError("s3cret")


def refused_upstream(request: Request) -> Response:
    raise UpstreamRefused("no such model", status=404, param="model")


def worded(request: Request, api_error: ApiError) -> Response:
    """A dialect of its own."""
    words = {"words": api_error.code, "says": api_error.message, "param": api_error.param, "id": api_error.request_id}
    headers = (("retry-after", f"{api_error.retry_after_s:g}"),) if api_error.retry_after_s else ()
    return Response(api_error.status, json.dumps(words).encode(), headers=headers)


ROUTES = [
    Route("POST", "/v1/ok", operation="", handler=ok, limited=True, refuse=worded),
    Route("GET", "/v1/mistaken", operation="", handler=mistaken, keyed=False, refuse=worded),
    Route("GET", "/v1/defective", operation="", handler=defective, keyed=False, refuse=worded),
    Route("GET", "/v1/upstream", operation="", handler=refused_upstream, keyed=False, refuse=worded),
    Route("GET", "/upstream", operation="", handler=refused_upstream, keyed=False),
    Route("GET", "/open", operation="", handler=ok, keyed=False, open_while_draining=True, quiet=True),
    Route("GET", "/keyed", operation="", handler=ok),
    Route("POST", "/keyed", operation="", handler=later, limited=True),
    Route("GET", "/mistaken", operation="", handler=mistaken, keyed=False),
    Route("GET", "/defective", operation="", handler=defective, keyed=False),
    Route("GET", "/data", operation="", handler=ok, quiet=True),
]


def in_own_words(request: Request, api_error: ApiError) -> Response:
    return Response(api_error.status, b"own words", content_type="text/plain")


class Harness:
    """An application with everything that stands before its handlers."""

    def __init__(self, *, keys: tuple[str, ...] = (), log_quiet: bool = False) -> None:
        self.metrics = Metrics()
        self.written: list[str] = []
        self.access = AccessLog(self.written.append, FakeWheel(), metrics=self.metrics, as_json=False)
        self.app = App(
            Router(ROUTES, error_encoders=[("/provider/", ErrorEncoder(in_own_words))]),
            keys=Keys(keys),
            cors=CORS((), loopback_only=False),
            metrics=self.metrics,
            access=self.access,
            log_quiet=log_quiet,
        )

    def throttled(self) -> "Harness":
        limiter = MemoryLimiter(RATE, BURST, now=FakeClock())
        throttle = Throttle(limiter, proxies=TrustedProxies(()), metrics=self.metrics)
        self.app.throttle = lambda: throttle
        return self

    async def answer(self, requested: Request) -> Response:
        """The answer, as the edge comes by it."""
        try:
            answer: AnyResponse | Coroutine[Any, Any, AnyResponse] = self.app.respond(requested)
            if isinstance(answer, Coroutine):
                answer = await answer
        except Exception as error:  # noqa: BLE001 - the edge asks `crashed` whatever it was
            answer = self.app.crashed(requested, error)
        assert isinstance(answer, Response)
        return answer

    def logged(self) -> str:
        self.access.flush()
        return "".join(self.written)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def code(response: Response) -> str:
    found: str = json.loads(response.body)["code"]
    return found


# What is loaded first


class Needing:
    """An application whose one route needs something that is not loaded."""

    def __init__(self) -> None:
        self.needed = Loadable()
        handlers = FunctionHandler(lambda request: Response(200, b"loaded"), worded)
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
            keys=Keys(("secret",)),
            cors=CORS((), loopback_only=False),
            metrics=Metrics(),
            access=None,
            log_quiet=False,
        )
        self.app.request_log = self.request_log = RequestLog()
        self.request_log.is_on = True

    def asked(self) -> Request:
        return request("/v1/a", method="POST", headers={"x-api-key": "secret"})


def test_route_responds_once_its_modules_are_loaded() -> None:
    needing = Needing()
    requested = needing.asked()
    assert needing.app.respond(requested) is needing.needed
    name = requested.id
    needing.needed.finish()
    answer = needing.app.respond_when_loaded(requested)

    assert isinstance(answer, Response)
    assert (answer.body, requested.id, len(needing.request_log.entries())) == (b"loaded", name, 1)


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/v1/unknown", "GET", 404), ("/v1", "POST", 404), ("/v1/a", "GET", 405)]
)
def test_unknown_path_or_method_is_refused_once_the_dialect_is_loaded(path: str, method: str, status: int) -> None:
    needing = Needing()
    requested = request(path, method=method)
    assert needing.app.respond(requested) is needing.needed
    needing.needed.finish()
    response = needing.app.respond_when_loaded(requested)

    assert isinstance(response, Response)
    assert (response.status, words(response)["id"]) == (status, requested.id)


def test_dialect_error_requires_its_module_to_be_loaded() -> None:
    needing = Needing()
    requested = needing.asked()
    assert needing.app.needed_for_refusal(requested) is needing.needed
    assert needing.app.needed_for_refusal(request("/nowhere")) is None
    needing.needed.finish()

    assert needing.app.needed_for_refusal(requested) is None
    assert json.loads(needing.app.refuse(requested, 413, detail="too large").body)["words"] == "body_too_large"


def test_error_is_a_problem_document_if_its_dialect_cannot_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    needing = Needing()
    requested = needing.asked()
    assert needing.app.respond(requested) is needing.needed
    with caplog.at_level(logging.ERROR):
        answer = needing.app.crashed(requested, ImportError("no such library"))

    assert (answer.status, code(answer)) == (500, "internal_error")
    assert requested.id in caplog.text


# Routes


async def test_handler_responds_and_its_route_is_recorded(harness: Harness) -> None:
    requested = request("/open?a=b")

    assert (await harness.answer(requested)).body == b"ok"
    assert requested.route == "/open"


async def test_unknown_path_is_not_found(harness: Harness) -> None:
    requested = request("/nowhere")
    response = await harness.answer(requested)

    assert (response.status, code(response), requested.route) == (404, "not_found", "")


async def test_unknown_method_is_405_with_the_allowed_methods(harness: Harness) -> None:
    requested = request("/keyed", method="DELETE")
    response = await harness.answer(requested)

    assert (response.status, code(response)) == (405, "method_not_allowed")
    assert "allow: GET, HEAD, OPTIONS, POST" in lines_of(requested.response_headers)


@pytest.mark.parametrize(
    ("path", "allowed"), [("/keyed", "GET, HEAD, OPTIONS, POST"), ("/open", "GET, HEAD, OPTIONS"), ("*", "OPTIONS")]
)
async def test_options_response_has_the_allowed_methods(harness: Harness, path: str, allowed: str) -> None:
    response = await harness.answer(request(path, method="OPTIONS"))

    assert response.status == 204
    assert f"allow: {allowed}" in lines_of(response.head)


async def test_options_of_an_unknown_path_is_404(harness: Harness) -> None:
    assert (await harness.answer(request("/nowhere", method="OPTIONS"))).status == 404


async def test_preflight_needs_no_key() -> None:
    headers = {"origin": "http://a", "access-control-request-method": "POST", "access-control-request-headers": "x-sim"}
    requested = request("/keyed", method="OPTIONS", headers=headers)
    response = await Harness(keys=("k",)).answer(requested)

    assert response.status == 204
    assert "access-control-allow-origin: *" in lines_of(requested.response_headers)
    assert "access-control-allow-methods: GET, HEAD, OPTIONS, POST" in lines_of(requested.response_headers)


async def test_request_without_an_origin_gets_no_cors_headers(harness: Harness) -> None:
    requested = request("/open")
    await harness.answer(requested)

    assert b"access-control" not in requested.response_headers


@pytest.mark.parametrize("path", ["/nowhere", "/mistaken", "/defective", "/keyed"])
async def test_error_responses_have_cors_headers(path: str) -> None:
    requested = request(path, headers={"origin": "http://a"})
    response = await Harness(keys=("k",)).answer(requested)

    assert response.status >= 400
    assert "access-control-allow-origin: *" in lines_of(requested.response_headers)


# Names


async def test_valid_request_id_of_the_client_is_kept(harness: Harness) -> None:
    requested = request("/mistaken", headers={"x-request-id": "my.Request_1-2"})
    response = await harness.answer(requested)

    assert requested.id == "my.Request_1-2"
    assert "x-request-id: my.Request_1-2" in lines_of(requested.response_headers)
    assert json.loads(response.body)["request_id"] == "my.Request_1-2"


@pytest.mark.parametrize("sent", ["", "a b", "a" * 65, "a\nb", "é", "a,b", 'a"b'])
async def test_invalid_request_id_of_the_client_is_replaced(harness: Harness, sent: str) -> None:
    requested = request("/open", headers={"x-request-id": sent})
    await harness.answer(requested)

    assert requested.id != sent
    assert requested.id.isascii()
    assert f"x-request-id: {requested.id}" in lines_of(requested.response_headers)


async def test_generated_request_ids_are_unique() -> None:
    ids = []
    for each in (Harness(), Harness()):
        for _ in range(10):
            requested = request("/open")
            await each.answer(requested)
            ids.append(requested.id)

    assert len(set(ids)) == 20


# Guards


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_keyed_route_requires_a_key(method: str) -> None:
    harness = Harness(keys=("k",))
    refused = await harness.answer(request("/keyed", method=method))
    allowed = await harness.answer(request("/keyed", method=method, headers={"x-api-key": "k"}))

    assert (refused.status, code(refused), allowed.status) == (401, "unauthorized", 200)


async def test_open_route_requires_no_key() -> None:
    assert (await Harness(keys=("k",)).answer(request("/open"))).status == 200


async def test_only_limited_routes_are_limited(harness: Harness) -> None:
    harness.throttled()
    spent = [(await harness.answer(request("/keyed", method="POST"))).status for _ in range(BURST + 1)]
    free = [(await harness.answer(request("/keyed"))).status for _ in range(BURST + 1)]

    assert spent == [200] * BURST + [429]
    assert free == [200] * (BURST + 1)


async def test_every_limited_response_has_the_remaining_limit(harness: Harness) -> None:
    harness.throttled()
    requests = [request("/keyed", method="POST") for _ in range(BURST + 1)]
    for each in requests:
        await harness.answer(each)

    assert ["r=2" in str(each.response_headers) for each in requests] == [True, False, False, False]
    assert all(b"\r\nratelimit: " in each.response_headers for each in requests)


async def test_rate_limit_is_checked_before_the_key() -> None:
    harness = Harness(keys=("k",)).throttled()
    statuses = [(await harness.answer(request("/keyed", method="POST"))).status for _ in range(BURST + 2)]

    assert statuses == [401] * BURST + [429] * 2


async def test_limited_route_also_requires_its_key() -> None:
    harness = Harness(keys=("k",)).throttled()

    assert (await harness.answer(request("/keyed", method="POST", headers={"x-api-key": "k"}))).body == b"later"


@pytest.mark.parametrize("limited", [True, False])
async def test_other_origins_are_refused_if_no_keys_are_configured(harness: Harness, limited: bool) -> None:
    harness.app.loopback_guard = LoopbackGuard((), check_host=True)
    if limited:
        harness.throttled()
    evil = {"host": "localhost", "origin": "http://evil.example"}
    refused = await harness.answer(request("/keyed", method="POST", headers=evil))
    allowed = await harness.answer(request("/keyed", method="POST", headers={"host": "localhost"}))
    probed = await harness.answer(request("/open", headers=evil))

    assert (refused.status, allowed.status, probed.status) == (403, 200, 200)


# Errors


async def test_error_becomes_a_response_with_its_status(harness: Harness) -> None:
    response = await harness.answer(request("/mistaken"))

    assert (response.status, code(response)) == (400, "invalid_request")


async def test_internal_error_is_logged_and_not_shown(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    requested = request("/defective")
    with caplog.at_level(logging.ERROR):
        response = await harness.answer(requested)

    assert (response.status, code(response)) == (500, "internal_error")
    assert b"s3cret" not in response.body
    assert caplog.records[0].getMessage() == f"request {requested.id} failed"
    assert caplog.records[0].exc_info is not None


def test_http_server_refusal_has_request_id_code_and_cors_headers(harness: Harness) -> None:
    requested = request("/keyed", headers={"origin": "http://a"})
    response = harness.app.refuse(requested, 413, detail="too large")

    assert (response.status, code(response)) == (413, "body_too_large")
    assert json.loads(response.body)["request_id"] == requested.id
    assert f"x-request-id: {requested.id}" in lines_of(requested.response_headers)
    assert "access-control-allow-origin: *" in lines_of(requested.response_headers)


async def test_refusal_keeps_the_request_id_already_assigned(harness: Harness) -> None:
    requested = request("/open")
    await harness.answer(requested)
    before = requested.id, requested.response_headers
    harness.app.refuse(requested, 503, detail="full")

    assert (requested.id, requested.response_headers) == before


# The drain


async def test_draining_server_serves_only_probes(harness: Harness) -> None:
    harness.app.draining = True
    refused = await harness.answer(request("/keyed"))

    assert (refused.status, code(refused)) == (503, "shutting_down")
    assert "retry-after: 5" in lines_of(refused.head)
    assert (await harness.answer(request("/open"))).status == 200


def test_request_cut_before_its_response_gets_an_error(harness: Harness) -> None:
    response = harness.app.cut(request("/keyed"))

    assert (response.status, code(response)) == (503, "shutting_down")
    assert "retry-after: 5" in lines_of(response.head)


# Logs and metrics


async def test_response_is_counted_by_route_and_status(harness: Harness) -> None:
    for path, status, sent_bytes in (("/open", 200, 10), ("/open", 200, 20), ("/keyed", 401, 5)):
        requested = request(path)
        requested.route = path
        harness.app.ended(requested, status, outcome="complete", sent_bytes=sent_bytes)

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
    requested = request("/x")
    requested.route = path
    harness.app.ended(requested, status, outcome="complete", sent_bytes=0)

    assert (harness.logged() != "") is logged


def test_responses_are_counted_without_an_access_log() -> None:
    metrics = Metrics()
    app = App(
        Router(ROUTES), keys=Keys(()), cors=CORS((), loopback_only=False), metrics=metrics, access=None, log_quiet=True
    )
    app.ended(request("/x"), 404, outcome="complete", sent_bytes=0)

    assert metrics.requests == {("", 404): 1}


# The words of a path's own dialect


def words(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.body)
    return found


def post(**headers: str) -> Request:
    return request("/v1/ok", method="POST", headers=headers)


async def test_missing_key_is_refused_in_the_dialect() -> None:
    requested = post()
    refused = await Harness(keys=("k",)).answer(requested)

    assert (refused.status, words(refused)["words"], words(refused)["id"]) == (401, "unauthorized", requested.id)


async def test_rate_limited_request_is_refused_in_the_dialect(harness: Harness) -> None:
    harness.throttled()
    answers = [await harness.answer(post()) for _ in range(BURST + 1)]

    assert [answer.status for answer in answers] == [200] * BURST + [429]
    assert words(answers[-1])["words"] == "rate_limited"
    assert any(line.startswith("retry-after: ") for line in lines_of(answers[-1].head))


async def test_drain_is_reported_in_the_dialect(harness: Harness) -> None:
    harness.app.draining = True
    refused, cut = await harness.answer(post()), harness.app.cut(post())

    assert [(each.status, words(each)["words"]) for each in (refused, cut)] == [(503, "shutting_down")] * 2
    assert "retry-after: 5" in lines_of(refused.head)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_invalid_request_is_refused_in_the_dialect(harness: Harness, method: str) -> None:
    response = await harness.answer(request("/v1/mistaken", method=method))

    assert (response.status, words(response)["says"]) == (400, "not so")


async def test_internal_error_is_not_shown_in_any_dialect(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = await harness.answer(request("/v1/defective"))

    assert (response.status, words(response)["words"]) == (500, "internal_error")
    assert b"s3cret" not in response.body


@pytest.mark.parametrize(
    ("status", "expected"), [(413, "body_too_large"), (408, "request_timeout"), (503, "overloaded")]
)
def test_http_server_refusal_is_encoded_in_the_dialect_of_the_path(
    harness: Harness, status: int, expected: str
) -> None:
    requested = post(origin="http://a")
    response = harness.app.refuse(requested, status, detail="no")

    assert (response.status, words(response)["words"], words(response)["id"]) == (status, expected, requested.id)
    assert "access-control-allow-origin: *" in lines_of(requested.response_headers)


def test_http_server_refusal_without_a_dialect_is_a_problem_document(harness: Harness) -> None:
    for requested in (request("/v1/nowhere", method="POST"), request("/open"), placeholder_request("127.0.0.1", 1.0)):
        assert code(harness.app.refuse(requested, 413, detail="no")) == "body_too_large"


async def test_unknown_method_is_refused_in_the_dialect_of_the_path(harness: Harness) -> None:
    requested = request("/v1/ok", headers={"origin": "http://a"})
    response = await harness.answer(requested)

    assert (response.status, words(response)["words"]) == (405, "method_not_allowed")
    assert words(response)["says"] == "/v1/ok takes OPTIONS, POST"
    assert "allow: OPTIONS, POST" in lines_of(requested.response_headers)
    assert "access-control-allow-origin: *" in lines_of(requested.response_headers)


async def test_provider_status_is_used_on_its_dialects_routes(harness: Harness) -> None:
    own, ours = await harness.answer(request("/v1/upstream")), await harness.answer(request("/upstream"))

    assert (own.status, words(own)["param"]) == (404, "model")
    assert (ours.status, code(ours)) == (400, "upstream_refused")


async def test_unknown_path_under_a_provider_prefix_is_refused_in_its_dialect() -> None:
    harness = Harness()

    assert (await harness.answer(request("/provider/unknown"))).body == b"own words"
    assert (await harness.answer(request("/unknown"))).body != b"own words"
