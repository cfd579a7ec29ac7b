"""The application that the HTTP server calls: routing, access checks, error responses, access log.

It uses routes, keys and limits through their interfaces, and must not depend on engines, stores or stream formats.
"""

from __future__ import annotations

from os import urandom

from tokenfall import logs
from tokenfall.api import problems
from tokenfall.disconnect import Disconnect
from tokenfall.errors import NotFound, TokenfallError, UnsupportedCoding, shutting_down
from tokenfall.http.encoding import header_lines
from tokenfall.http.loadable import Loadable
from tokenfall.http.response import LiveStream, Response, TimedStream
from tokenfall.metrics.registry import add

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from tokenfall.api.access import AccessLog
    from tokenfall.api.cors import CORS
    from tokenfall.api.guard import Callers, CrossSiteGuard, LoopbackGuard
    from tokenfall.api.metrics_vllm import VLLMMetrics
    from tokenfall.api.request_log import RequestLog
    from tokenfall.api.routing import Refuse, Route, Router
    from tokenfall.api.throttle import Throttle
    from tokenfall.http.application import Outcome
    from tokenfall.http.request import Request
    from tokenfall.http.response import AnyResponse
    from tokenfall.metrics.registry import Metrics


_ID = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
"""The characters allowed in a client's own request id, which has at most 64."""

_log = logs.get(__name__)


_AT_ONCE = (Response, TimedStream, LiveStream, Disconnect, Loadable)
"""The results of a handler that need not be awaited."""


class App:
    """Implements `tokenfall.http.application.Application`."""

    def __init__(
        self,
        router: Router,
        *,
        callers: Callers,
        cors: CORS,
        metrics: Metrics,
        access: AccessLog | None,
        log_quiet: bool,
    ) -> None:
        self.draining = False
        self.throttle: Callable[[], Throttle] | None = None
        """Returns the rate limiter per address, which is created by the first limited request."""
        self.loopback_guard: LoopbackGuard | None = None
        self.cross_site_guard: CrossSiteGuard | None = None
        """Protects private routes if no API keys are set."""
        self.request_log: RequestLog | None = None
        self.vllm: VLLMMetrics | None = None
        self._router = router
        self._callers = callers
        self._keys = callers.keys
        self._cors = cors
        self._metrics = metrics
        self._access = access
        self._quiet: frozenset[str] = frozenset() if log_quiet else router.quiet_paths()
        self._id_prefix = urandom(4).hex().encode()
        self._count = 0

    def respond(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
        self._set_id(request)
        methods = self._router.methods(request.path)
        route = methods.get(request.method)
        self._add_cors(request)
        if route is None:
            return self._no_route(request, methods)
        request.route = route.path
        if route.request_logged and self.request_log is not None and self.request_log.is_on:
            self.request_log.add(request)
        return self._respond_on_route(request, route)

    def respond_when_loaded(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
        methods = self._router.methods(request.path)
        route = methods.get(request.method)
        return self._no_route(request, methods) if route is None else self._respond_on_route(request, route)

    def _respond_on_route(self, request: Request, route: Route) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
        if route.needs is not None and not route.needs.is_loaded:
            return route.needs
        try:
            if self.draining and not route.open_while_draining:
                raise shutting_down()
            if request.body and b"content-encoding" in request.headers:
                _check_coding(request)
            if route.limited and self.throttle is not None:
                return self._respond_throttled(request, route=route, throttle=self.throttle())
            self._check(request, route)
            return route.handler(request)
        except TokenfallError as error:
            return self._failed(request, error)
        except Exception as error:  # noqa: BLE001 - a defect is logged, the response is a 500, and the process continues
            return self.crashed(request, error)

    def needed_for_refusal(self, request: Request) -> Loadable | None:
        encoder = self._router.error_encoder_of(request.route or request.path, request.method)
        if encoder is None or encoder.needs is None or encoder.needs.is_loaded:
            return None
        return encoder.needs

    def refuse(self, request: Request, status: int, *, detail: str) -> Response:
        if not request.id:
            self._set_id(request)
            self._add_cors(request)
            route = self._router.methods(request.path).get(request.method)
            request.route = "" if route is None else route.path  # for the metrics: its body was refused
        api_error, refuse = problems.of_status(request, status, detail=detail), self._refuse_of(request)
        return problems.problem(request, api_error) if refuse is None else refuse(request, api_error)

    def cut(self, request: Request) -> Response:
        return self._failed(request, shutting_down())

    def caller(self, request: Request) -> str:
        return self._callers.named(request)

    def crashed(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, TokenfallError):
            _log.exception("request %s failed", request.id)
        return self._failed(request, error)

    def _failed(self, request: Request, error: Exception) -> Response:
        refuse = self._refuse_of(request)
        api_error = problems.of_error(request, error, as_provider=refuse is not None)
        return problems.problem(request, api_error) if refuse is None else refuse(request, api_error)

    def _refuse_of(self, request: Request) -> Refuse | None:
        """Encodes errors in the path's dialect; None (a problem document) without a dialect, or if it is not loaded."""
        encoder = self._router.error_encoder_of(request.route or request.path, request.method)
        return None if encoder is None or self.needed_for_refusal(request) is not None else encoder.refuse

    def ended(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
        metrics = self._metrics
        key = (request.route, status)
        metrics.requests[key] = metrics.requests.get(key, 0) + 1
        metrics.bytes_sent += sent_bytes
        if outcome == "failed" and status == 200:
            add(metrics.streams_failed, request.route)
        if self.vllm is not None:
            self.vllm.ended(request, outcome)
        if self._access is not None and (status >= 400 or request.route not in self._quiet):
            self._access.log_response(request, status, outcome=outcome, sent_bytes=sent_bytes)

    async def _respond_throttled(self, request: Request, *, route: Route, throttle: Throttle) -> AnyResponse:
        await throttle.spend(request)
        self._check(request, route)
        response = route.handler(request)
        return response if isinstance(response, _AT_ONCE) else await response

    def _check(self, request: Request, route: Route) -> None:
        if not route.keyed:
            return
        if self.loopback_guard is not None:
            self.loopback_guard.check(request)
        elif route.private and self.cross_site_guard is not None:
            self.cross_site_guard.check(request)
        self._keys.owner(request)

    def _add_cors(self, request: Request) -> None:
        if b"origin" in request.headers:
            request.response_headers += self._cors.lines(request)

    def _set_id(self, request: Request) -> None:
        """Set the request id: the client's own if it is valid, else a new one."""
        sent = request.headers.get(b"x-request-id")
        if sent and len(sent) <= 64 and not sent.translate(None, _ID):
            request_id = sent
        else:
            self._count += 1
            request_id = b"%b-%08x" % (self._id_prefix, self._count)
        request.id = request_id.decode("ascii")
        request.response_headers = b"x-request-id: %b\r\n" % request_id

    def _no_route(self, request: Request, methods: dict[str, Route]) -> Response | Loadable:
        """The response to OPTIONS, to an unknown path and to a method that the path does not support."""
        allowed = ", ".join(sorted({*methods, "OPTIONS"}))
        if request.method == "OPTIONS" and (methods or request.path == "*"):
            if b"access-control-request-method" in request.headers:
                request.response_headers += self._cors.preflight(request, allowed)
            return Response(204, headers=(("allow", allowed),))
        needed = self.needed_for_refusal(request)
        if needed is not None:
            return needed
        if methods:
            request.response_headers += header_lines((("allow", allowed),))
            return self.refuse(request, 405, detail=f"{request.path[:200]} takes {allowed}")
        return self._failed(request, NotFound("there is no such path; the chat page is at /web"))


def _check_coding(request: Request) -> None:
    """Raises `UnsupportedCoding` for a coded body; the response names what is accepted: RFC 9110, section 12.5.3."""
    coding = request.header(b"content-encoding") or ""
    if coding.strip().lower() not in ("", "identity"):
        request.response_headers += b"accept-encoding: identity\r\n"
        raise UnsupportedCoding("the server accepts no content coding of request bodies; send them without one")
