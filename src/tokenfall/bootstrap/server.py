"""One process's server: wired, started and stopped."""

from __future__ import annotations

import gc

from tokenfall import logs
from tokenfall.api.access import AccessLog
from tokenfall.api.app import App
from tokenfall.api.cors import CORS
from tokenfall.api.guard import LoopbackOnly, OtherSites
from tokenfall.api.lazy_handlers import LazyHandlers
from tokenfall.api.probes import Probes, resident_bytes
from tokenfall.api.routes import (
    board_routes,
    chat_routes,
    control_routes,
    described,
    page_routes,
    probe_routes,
    provider_routes,
    simulator_routes,
    words_below,
)
from tokenfall.api.routing import Router
from tokenfall.api.simulator import DataDocument, loop_stream, ndjson_stream, sse_stream
from tokenfall.bootstrap.parts import Parts
from tokenfall.http.bounds import Bounds
from tokenfall.http.loadable import THREADING
from tokenfall.http.server import HTTPServer, descriptor_limit
from tokenfall.metrics import Metrics
from tokenfall.settings import LOOPBACK_HOSTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Callable
    from typing import Protocol

    from tokenfall.api.dashboard import Dashboard
    from tokenfall.api.routing import Route
    from tokenfall.http.request import Request
    from tokenfall.http.response import LiveStream
    from tokenfall.limits.shared import SharedTable
    from tokenfall.reactor.loop import Reactor
    from tokenfall.settings import Settings
    from tokenfall.shared_metrics import SharedMetrics, WorkerMetrics

    class SharedMemory(Protocol):
        """Memory that the worker processes of one port share."""

        board: SharedMetrics
        """Where they add up their metrics."""
        table: SharedTable
        """Where they keep their rate limits."""


_log = logs.get(__name__)


class Server:
    """A server that is wired but not yet listening, on a reactor that its owner runs and closes."""

    def __init__(
        self,
        settings: Settings,
        write_access: Callable[[str], object] | None,
        *,
        reactor: Reactor,
        json_logs: bool,
        worker: SharedMemory | None = None,
        guest: bool = False,
    ) -> None:
        """`worker`: what this process shares with others on the same port.

        A `guest` runs in a process that is another's, a test's: its collector and its limits are left as they are.
        """
        self.settings = settings
        self.reactor = reactor
        self.wheel = reactor.wheel
        self.metrics = Metrics()
        self.wheel.late_s = self.metrics.timer_late_s
        self.parts = Parts(settings, reactor, metrics=self.metrics, table=None if worker is None else worker.table)
        self._board: Dashboard | None = None
        self._started_s = self.wheel.now()
        self._all_metrics = None if worker is None else self._on_board(worker.board)
        self._access: AccessLog | None = None
        if write_access is not None:
            self._access = AccessLog(write_access, self.wheel, metrics=self.metrics, as_json=json_logs)
        self.app = self._app()
        self._guest = guest
        self._stopping: Task[None] | None = None
        self._warming: Task[None] | None = None
        self.edge = HTTPServer(
            self.app,
            reactor=reactor,
            bounds=_bounds(settings),
            metrics=self.metrics,
            most_descriptors=descriptor_limit() if guest else None,
        )

    def start(self) -> list[tuple[str, int]]:
        """Listen; the addresses. What lives until the end is taken out of the collector's sight. Raises OSError."""
        shares_port = self._all_metrics is not None
        addresses = self.edge.listen(self.settings.host, self.settings.port, reuse_port=shares_port)
        if self.parts.upstream is not None and self.settings.upstream_warm:
            self._warming = self.reactor.spawn(self.parts.upstream.warm_up())
        if not self._guest:
            gc.collect()
            gc.freeze()
            gc.set_threshold(10_000, 20, 50)
        return addresses

    def stop_then(self, stopped: Callable[[], None]) -> None:
        """Drain, free everything, and then call `stopped` in a turn of the reactor."""
        if self.reactor.loop is not None or self.parts.holds_asyncio:
            self._stopping = self.reactor.spawn(self.stop())
            self._stopping.add_done_callback(lambda task: self._stopped(task, stopped))
            return

        def drained() -> None:
            self.flush()
            stopped()

        self.app.draining = True
        self.edge.drain(self.settings.drain_timeout, drained)

    async def stop(self) -> None:
        """`stop_then` for who awaits."""
        import asyncio  # noqa: PLC0415 - a server that awaited nothing stops without it

        self.app.draining = True
        drain_s = self.settings.drain_timeout
        drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.edge.drain(drain_s, lambda: drained.set_result(None))
        chat = self.parts.chat
        try:
            await asyncio.gather(drained, *(() if chat is None else (chat.runner.drain(drain_s),)))
            await self.parts.close()
        finally:
            self.flush()

    @staticmethod
    def _stopped(task: Task[None], stopped: Callable[[], None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error("the server did not stop as it should", exc_info=task.exception())
        stopped()

    def flush(self) -> None:
        """Write what is kept of the access log, and let the other workers see what is counted."""
        if self._access is not None:
            self._access.flush()
        if self._all_metrics is not None:
            self._all_metrics.publish()

    def _app(self) -> App:
        settings, keys = self.settings, self.parts.keys
        unprotected = settings.upstream is not None and not keys
        app = App(
            Router(self.routes(), words=words_below(LazyHandlers(self.parts.provider_handlers))),
            keys=keys,
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
            app.loopback_only = LoopbackOnly(settings.cors_origins, check_host=check_host)
        elif not keys:
            app.other_sites = OtherSites(settings.cors_origins)
        return app

    def routes(self) -> list[Route]:
        """Every route, with its handlers."""
        parts, shared = self.parts, self.parts.shared
        needed, wanted = parts.checks()
        probes = Probes(self._measured, lambda: self.app.draining, needed=needed, wanted=wanted, vllm=parts.vllm)
        routes = [
            *chat_routes(LazyHandlers(parts.chat_handlers, after=THREADING)),
            *simulator_routes(
                sse=sse_stream(shared),
                ndjson=ndjson_stream(shared),
                loop=loop_stream(shared),
                data=DataDocument(shared, parts.clock),
            ),
            *control_routes(LazyHandlers(parts.control_handlers)),
            *provider_routes(LazyHandlers(parts.provider_handlers)),
            *probe_routes(probes),
            *page_routes(LazyHandlers(parts.page_handlers)),
            *board_routes(self._watch),
        ]
        return described(routes, keyed=bool(parts.keys), relays=self.settings.upstream is not None)

    def _watch(self, request: Request) -> LiveStream:
        if self._board is None:
            from tokenfall.api.dashboard import Dashboard  # noqa: PLC0415 - few watch
            from tokenfall.simulator.format_grammar import written  # noqa: PLC0415

            self._board = Dashboard(
                self._measured,
                self.parts.clock,
                sim=lambda: written(self.parts.state.defaults),
                started_s=self._started_s,
                is_draining=lambda: self.app.draining,
            )
        return self._board.events(request)

    def _measured(self) -> Metrics:
        """What is counted by now, by all workers together."""
        return self.parts.measured() if self._all_metrics is None else self._all_metrics.total()

    def _on_board(self, board: SharedMetrics) -> WorkerMetrics:
        from tokenfall.shared_metrics import WorkerMetrics  # noqa: PLC0415 - one process alone needs none

        return WorkerMetrics(board, self.metrics, wheel=self.wheel, resident_bytes=resident_bytes)


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
