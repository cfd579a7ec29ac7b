"""The application behind the edge: finds the route, lets the guards speak, turns errors into answers.

It knows routes, keys and limits by their interfaces, and must never know an engine, a store or a frame.
"""

from __future__ import annotations

from os import urandom

from tokenfall import logs
from tokenfall.api import problems
from tokenfall.disconnect import Disconnect
from tokenfall.errors import NotFound, TokenfallError, shutting_down
from tokenfall.http.loadable import Loadable
from tokenfall.http.response import LiveStream, Response, TimedStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from tokenfall.api.access import AccessLog
    from tokenfall.api.cors import CORS
    from tokenfall.api.guard import Keys, LoopbackOnly, OtherSites
    from tokenfall.api.metrics_vllm import VLLMMetrics
    from tokenfall.api.request_log import RequestLog
    from tokenfall.api.routing import Refuse, Route, Router
    from tokenfall.api.throttle import Throttle
    from tokenfall.http.application import Outcome
    from tokenfall.http.request import Request
    from tokenfall.http.response import Answer
    from tokenfall.metrics import Metrics


_ID = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
"""What a client's own request id may consist of, up to 64 of them."""

_log = logs.get(__name__)


_AT_ONCE = (Response, TimedStream, LiveStream, Disconnect, Loadable)
"""What an answer is that need not be awaited."""


class App:
    """Implements `tokenfall.http.application.Application`."""

    def __init__(
        self, router: Router, *, keys: Keys, cors: CORS, metrics: Metrics, access: AccessLog | None, log_quiet: bool
    ) -> None:
        self.draining = False
        self.throttle: Callable[[], Throttle] | None = None
        """Gives the limiter of addresses; it is made at the first request that is limited."""
        self.loopback_only: LoopbackOnly | None = None
        self.other_sites: OtherSites | None = None
        """Guards private routes where no API key does."""
        self.request_log: RequestLog | None = None
        self.vllm: VLLMMetrics | None = None
        self._router = router
        self._keys = keys
        self._cors = cors
        self._metrics = metrics
        self._access = access
        self._quiet: frozenset[str] = frozenset() if log_quiet else router.quiet_paths()
        self._id_prefix = urandom(4).hex()
        self._count = 0

    def answer(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        self._name(request)
        methods = self._router.methods(request.path)
        route = methods.get(request.method)
        self._add_cors(request)
        if route is None:
            return self._no_route(request, methods)
        request.route = route.path
        if route.request_logged and self.request_log is not None and self.request_log.is_on:
            self.request_log.note(request)
        return self._answered(request, route)

    def proceed(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        return self._answered(request, self._router.methods(request.path)[request.method])

    def _answered(self, request: Request, route: Route) -> Answer | Coroutine[Any, Any, Answer]:
        if route.needs is not None and not route.needs.is_loaded:
            return route.needs
        try:
            if self.draining and not route.open_while_draining:
                raise shutting_down()
            if route.limited and self.throttle is not None:
                return self._answer_later(request, route=route, throttle=self.throttle())
            self._check(request, route)
            return route.handler(request)
        except TokenfallError as error:
            return self._failed(request, error)
        except Exception as error:  # noqa: BLE001 - a defect answers 500 and is logged; the process lives
            return self.crashed(request, error)

    def refusal_needs(self, request: Request) -> Loadable | None:
        route = self._route_of(request)
        if route is None or route.refuse is None or route.needs is None or route.needs.is_loaded:
            return None
        return route.needs

    def refuse(self, request: Request, status: int, *, detail: str) -> Response:
        if not request.id:
            self._name(request)
            self._add_cors(request)
        api_error, refuse = problems.of_status(request, status, detail=detail), self._words_of(request)
        return problems.problem(request, api_error) if refuse is None else refuse(request, api_error)

    def cut(self, request: Request) -> Response:
        return self._failed(request, shutting_down())

    def crashed(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, TokenfallError):
            _log.exception("request %s failed", request.id)
        return self._failed(request, error)

    def _failed(self, request: Request, error: Exception) -> Response:
        refuse = self._words_of(request)
        api_error = problems.of_error(request, error, as_provider=refuse is not None)
        return problems.problem(request, api_error) if refuse is None else refuse(request, api_error)

    def _words_of(self, request: Request) -> Refuse | None:
        """How faults are told at this path; as anywhere where that is not loaded and could not be."""
        route = self._route_of(request)
        return None if route is None or self.refusal_needs(request) is not None else route.refuse

    def _route_of(self, request: Request) -> Route | None:
        return self._router.methods(request.route or request.path).get(request.method)

    def ended(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
        metrics = self._metrics
        key = (request.route, status)
        metrics.requests[key] = metrics.requests.get(key, 0) + 1
        metrics.bytes_sent += sent_bytes
        if self.vllm is not None:
            self.vllm.ended(request, outcome)
        if self._access is not None and (status >= 400 or request.route not in self._quiet):
            self._access.answered(request, status, outcome=outcome, sent_bytes=sent_bytes)

    async def _answer_later(self, request: Request, *, route: Route, throttle: Throttle) -> Answer:
        await throttle.spend(request)
        self._check(request, route)
        answer = route.handler(request)
        return answer if isinstance(answer, _AT_ONCE) else await answer

    def _check(self, request: Request, route: Route) -> None:
        if not route.keyed:
            return
        if self.loopback_only is not None:
            self.loopback_only.check(request)
        elif route.private and self.other_sites is not None:
            self.other_sites.check(request)
        self._keys.owner(request)

    def _add_cors(self, request: Request) -> None:
        if b"origin" in request.headers:
            request.reply_headers += self._cors.lines(request)

    def _name(self, request: Request) -> None:
        """Give the request its id: the client's own when it sends a plain one."""
        sent = request.headers.get(b"x-request-id")
        if sent and len(sent) <= 64 and not sent.translate(None, _ID):
            request.id = sent.decode("ascii")
        else:
            self._count += 1
            request.id = f"{self._id_prefix}-{self._count:08x}"
        request.reply_headers = b"x-request-id: %b\r\n" % request.id.encode()

    def _no_route(self, request: Request, methods: dict[str, Route]) -> Response:
        """OPTIONS of any path, an unknown path, or an unknown method."""
        allowed = ", ".join(sorted({*methods, "OPTIONS"}))
        if request.method == "OPTIONS" and (methods or request.path == "*"):
            if b"access-control-request-method" in request.headers:
                request.reply_headers += self._cors.preflight(request, allowed)
            return Response(204, headers=(("allow", allowed),))
        if methods:
            detail = f"{request.path[:200]} takes {allowed}"
            api_error = problems.of_status(request, 405, detail=detail)
            return problems.problem(request, api_error, headers=(("allow", allowed),))
        missing = problems.of_error(request, NotFound("there is no such path here; GET /web is the page"))
        refuse = self._router.refuse_below(request.path)
        return problems.problem(request, missing) if refuse is None else refuse(request, missing)
