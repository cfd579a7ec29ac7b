"""Builds, starts and stops the server of one process. Called by `cli` and `testing`."""

from __future__ import annotations

import gc

from tokenfall import logs
from tokenfall.api.access import AccessLog
from tokenfall.api.app import App
from tokenfall.api.cors import CORS
from tokenfall.api.guard import CrossSiteGuard, LoopbackGuard
from tokenfall.api.lazy_handlers import LazyHandlers
from tokenfall.api.probes import Probes, resident_bytes
from tokenfall.api.routes import (
    chat_routes,
    control_routes,
    dashboard_routes,
    error_encoders,
    page_routes,
    probe_routes,
    provider_routes,
    simulator_routes,
    with_openapi,
)
from tokenfall.api.routing import Router
from tokenfall.api.simulator import DataDocument, loop_stream, ndjson_stream, sse_stream
from tokenfall.bootstrap.parts import Parts
from tokenfall.bootstrap.sampling import Sampling
from tokenfall.http.bounds import Bounds
from tokenfall.http.loadable import THREADING
from tokenfall.http.server import HTTPServer, descriptor_limit
from tokenfall.metrics.registry import Metrics
from tokenfall.settings.loading import LOOPBACK_HOSTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Callable, Coroutine
    from typing import Any, Protocol

    from tokenfall.api.dashboard import Dashboard
    from tokenfall.api.routing import Route
    from tokenfall.http.request import Request
    from tokenfall.http.response import LiveStream, Response
    from tokenfall.limits.shared import SharedTable
    from tokenfall.metrics.shared import SharedMetrics, WorkerMetrics
    from tokenfall.reactor.loop import Reactor
    from tokenfall.settings import Settings

    class SharedMemory(Protocol):
        """Memory shared by the worker processes of one port."""

        shared_metrics: SharedMetrics
        table: SharedTable
        """The rate limits."""


REDIS_CHECK_S = 1.0
"""When Redis is checked after the start. Earlier, the name server of a container network may not know a new container
yet, and the resolver would then ask the next server, for seconds."""

_log = logs.get(__name__)


class Server:
    """A server on a reactor that the caller runs and closes. It listens after `start`."""

    def __init__(
        self,
        settings: Settings,
        write_access: Callable[[str], object] | None,
        *,
        reactor: Reactor,
        json_logs: bool,
        worker: SharedMemory | None = None,
        embedded: bool = False,
    ) -> None:
        """`worker`: memory shared with the other workers of the port.

        An `embedded` server runs inside another program, such as a test, and does not change the process's garbage
        collector or descriptor limit.
        """
        self.settings = settings
        self.reactor = reactor
        self.wheel = reactor.wheel
        self.metrics = Metrics()
        self.wheel.late_s = self.metrics.timer_late_s
        self.parts = Parts(settings, reactor, metrics=self.metrics, table=None if worker is None else worker.table)
        self._providers = LazyHandlers(self.parts.provider_handlers)
        self._dashboard: Dashboard | None = None
        self._started_s = self.wheel.now()
        self._worker_metrics = None if worker is None else self._publish_metrics(worker.shared_metrics)
        self._access: AccessLog | None = None
        if write_access is not None:
            self._access = AccessLog(write_access, self.wheel, metrics=self.metrics, as_json=json_logs)
        router = Router(self.routes(), error_encoders=error_encoders(self._providers))
        self._page_paths = router.page_paths()
        self.sampling = self._sampling(worker)
        self.app = self._app(router)
        self._embedded = embedded
        self._stopping: Task[None] | None = None
        self._warming: Task[None] | None = None
        self._checking: Task[None] | None = None
        is_first = worker is None or worker.shared_metrics.number == 0
        self._checks_redis = is_first and bool(settings.redis_urls)
        self.http = HTTPServer(
            self.app,
            reactor=reactor,
            bounds=_bounds(settings),
            metrics=self.metrics,
            max_descriptors=descriptor_limit() if embedded else None,
            request_memory=self.parts.request_memory.shares,
        )
        if worker is None:
            self.http.on_first_client = self.sampling.start

    def start(self) -> list[tuple[str, int]]:
        """Listen, and return the addresses. Freezes the objects created so far (`gc.freeze`). Raises OSError."""
        shares_port = self._worker_metrics is not None
        addresses = self.http.listen(self.settings.host, self.settings.port, reuse_port=shares_port)
        if self.parts.upstream is not None and self.settings.upstream_warm:
            self._warming = self.reactor.spawn(self.parts.upstream.warm_up())
        if self._checks_redis:
            self._checking = self.reactor.spawn(self._check_redis())
        if not self._embedded:
            gc.collect()
            gc.freeze()
            gc.set_threshold(10_000, 20, 50)
        return addresses

    async def _check_redis(self) -> None:
        from tokenfall.bootstrap.startup_checks import warn_of_unavailable_redis  # noqa: PLC0415 - imports asyncio

        await self.parts.clock.sleep_until(self.wheel.now() + REDIS_CHECK_S)
        required, optional = self.parts.checks()
        await warn_of_unavailable_redis(self.settings, {**required, **optional})

    def stop_then(self, stopped: Callable[[], None]) -> None:
        """Drain, close all parts, and then call `stopped` in a turn of the reactor."""
        if self.reactor.loop is not None or self.parts.needs_async_close:
            self._stopping = self.reactor.spawn(self.stop())
            self._stopping.add_done_callback(lambda task: self._stopped(task, stopped))
            return

        def drained() -> None:
            self.flush()
            stopped()

        self.app.draining = True
        self.http.drain(self.settings.drain_timeout, drained)

    async def stop(self) -> None:
        """`stop_then` as a coroutine."""
        import asyncio  # noqa: PLC0415 - a server without coroutines stops without it

        self.app.draining = True
        drain_s = self.settings.drain_timeout
        drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.http.drain(drain_s, lambda: drained.set_result(None))
        chat = self.parts.chat
        if self._checking is not None:
            self._checking.cancel()
        try:
            await asyncio.gather(drained, *(() if chat is None else (chat.runner.drain(drain_s),)))
            await self.parts.close()
        finally:
            self.flush()

    @staticmethod
    def _stopped(task: Task[None], stopped: Callable[[], None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error("stopping the server failed", exc_info=task.exception())
        stopped()

    def flush(self) -> None:
        """Write the buffered access log, and publish the metrics to the other workers."""
        if self._access is not None:
            self._access.flush()
        if self._worker_metrics is not None:
            self._worker_metrics.publish()

    def _app(self, router: Router) -> App:
        settings, keys = self.settings, self.parts.keys
        unprotected = settings.upstream is not None and not keys
        app = App(
            router,
            callers=self.parts.callers,
            cors=CORS(settings.cors_origins, loopback_only=unprotected),
            metrics=self.metrics,
            access=self._access,
            log_quiet=settings.log_level == "debug",
        )
        app.request_log = self.parts.request_log
        app.vllm = self.parts.vllm
        if settings.rate_limit_rps > 0:
            app.throttle = self.parts.throttle
        if unprotected:
            check_host = settings.host in LOOPBACK_HOSTS
            app.loopback_guard = LoopbackGuard(settings.cors_origins, check_host=check_host)
        elif not keys:
            app.cross_site_guard = CrossSiteGuard(settings.cors_origins)
        return app

    def routes(self) -> list[Route]:
        """All routes with their handlers."""
        parts, shared = self.parts, self.parts.shared
        required, optional = parts.checks()
        probes = Probes(
            self._measured, lambda: self.app.draining, required=required, optional=optional, vllm=parts.vllm
        )
        routes = [
            *chat_routes(LazyHandlers(parts.chat_handlers, after=THREADING)),
            *simulator_routes(
                sse=sse_stream(shared),
                ndjson=ndjson_stream(shared),
                loop=loop_stream(shared),
                data=DataDocument(shared, parts.clock),
            ),
            *control_routes(LazyHandlers(parts.control_handlers)),
            *provider_routes(self._providers),
            *probe_routes(probes),
            *page_routes(LazyHandlers(parts.page_handlers, take_bodies=False)),
            *dashboard_routes(self._dashboard_events, self._dashboard_history),
        ]
        return with_openapi(routes, keyed=bool(parts.keys), relays=self.settings.upstream is not None)

    def _dashboard_events(self, request: Request) -> LiveStream:
        if self._dashboard is None:
            from tokenfall.api.dashboard import Dashboard  # noqa: PLC0415 - rarely needed
            from tokenfall.simulator.format_grammar import format_grammar  # noqa: PLC0415

            self._dashboard = Dashboard(
                self._measured,
                self.parts.clock,
                page_paths=self._page_paths,
                sim=lambda: format_grammar(self.parts.state.defaults),
                started_s=self._started_s,
                is_draining=lambda: self.app.draining,
            )
        return self._dashboard.events(request)

    def _dashboard_history(
        self, request: Request
    ) -> Response | LiveStream | Coroutine[Any, Any, Response | LiveStream]:
        from tokenfall.api.dashboard_history import dashboard_history  # noqa: PLC0415 - rarely needed

        return dashboard_history(
            request,
            self.sampling.history,
            now_s=self.wheel.now(),
            memory=self.parts.response_memory,
            caller=self.parts.callers.of(request).name,
        )

    def _sampling(self, worker: SharedMemory | None) -> Sampling:
        shared = None if worker is None else worker.shared_metrics
        history = None if shared is None else shared.history
        sampling = Sampling(self._measured, self.wheel, page_paths=self._page_paths, history=history)
        if shared is not None and shared.number == 0:
            sampling.start()
        return sampling

    def _measured(self) -> Metrics:
        """The current metrics of all workers."""
        return self.parts.current_metrics() if self._worker_metrics is None else self._worker_metrics.total()

    def _publish_metrics(self, shared: SharedMetrics) -> WorkerMetrics:
        from tokenfall.metrics.shared import WorkerMetrics  # noqa: PLC0415 - not needed by a single process

        return WorkerMetrics(shared, self.metrics, wheel=self.wheel, resident_bytes=resident_bytes)


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        header_timeout_s=settings.header_timeout,
        body_timeout_s=settings.body_timeout,
        idle_timeout_s=settings.idle_timeout,
        stall_timeout_s=settings.stall_timeout,
        max_head_bytes=settings.max_head,
        max_body_bytes=settings.max_body,
        max_connections=settings.max_connections,
    )
