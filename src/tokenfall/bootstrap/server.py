"""One process's server: everything chosen, wired, started and stopped."""

import asyncio
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tokenfall.api.access import AccessLog
from tokenfall.api.addresses import TrustedProxies
from tokenfall.api.app import App
from tokenfall.api.chat import ChatRoutes
from tokenfall.api.control import ControlRoutes
from tokenfall.api.cors import CORS
from tokenfall.api.guard import Keys, LoopbackOnly
from tokenfall.api.journal import Journal
from tokenfall.api.ondemand import OnDemand
from tokenfall.api.page import Page
from tokenfall.api.probes import Check, Probes, resident_bytes
from tokenfall.api.refusals import Refusals
from tokenfall.api.routes import (
    board_routes,
    chat_routes,
    control_routes,
    described,
    page_routes,
    probe_routes,
    provider_routes,
    simulator_routes,
)
from tokenfall.api.routing import Route, Router
from tokenfall.api.simulator import ChatRefusals, DataDocument, Shared, loop_stream, ndjson_stream, sse_stream
from tokenfall.api.throttle import Throttle
from tokenfall.bootstrap import stores
from tokenfall.chat.service import Chat, Defaults
from tokenfall.chat.turns import Turns
from tokenfall.edge.bounds import Bounds
from tokenfall.edge.request import Request
from tokenfall.edge.response import LiveStream
from tokenfall.edge.server import Edge, descriptor_limit
from tokenfall.engines.library import Library
from tokenfall.engines.simulated import MODEL, SimulatedEngine, is_simulated
from tokenfall.messages import Message
from tokenfall.metrics import Metrics
from tokenfall.pacing.clock import WheelClock
from tokenfall.pacing.grammar import parse
from tokenfall.pacing.stage import NOTHING, Stage
from tokenfall.ports import Engine, RateLimiter
from tokenfall.reactor.loop import Reactor
from tokenfall.settings import DEFAULT_SIM, LOOPBACK_HOSTS, MEMORY, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenfall.api.board import Board
    from tokenfall.api.ondemand import Speaking
    from tokenfall.engines.upstream import UpstreamEngine
    from tokenfall.limits.fallback import FallbackLimiter
    from tokenfall.limits.shared import SharedTable
    from tokenfall.metrics_board import MetricsBoard, WorkerMetrics


if TYPE_CHECKING:

    class SharedMemory(Protocol):
        """Memory that the worker processes of one port share."""

        board: MetricsBoard
        """Where they add up their metrics."""
        table: SharedTable
        """Where they keep their rate limits."""


class Server:
    """A server that is wired but not yet listening, on a reactor that its owner runs and closes."""

    def __init__(
        self,
        settings: Settings,
        write_access: Callable[[str], object] | None,
        *,
        reactor: Reactor,
        json_logs: bool,
        worker: "SharedMemory | None" = None,
        guest: bool = False,
    ) -> None:
        """`worker`: what this process shares with others on the same port.

        A `guest` runs in a process that is another's, a test's: its collector and its limits are left as they are.
        """
        self.settings = settings
        self.reactor = reactor
        self.wheel = reactor.wheel
        self.metrics = Metrics()
        self.wheel.late_s = self.metrics.ticker_late_s
        self._table = None if worker is None else worker.table
        self.clock = WheelClock(self.wheel)
        self._keys = Keys(settings.api_key)
        self._stage = Stage(NOTHING if settings.sim == DEFAULT_SIM else parse(settings.sim))
        trusted = frozenset(name for name in (self._stage.said.script, self._stage.said.profile) if name)
        self._library = Library(settings.sim_files, trusted=trusted)
        self._refusals = Refusals(self.wheel.now)
        self._journal = Journal()
        self._board: Board | None = None
        self._started_s = self.clock.now()
        self._all_metrics = None if worker is None else self._on_board(worker.board)
        self._upstream: UpstreamEngine | None = None
        self._limiter: FallbackLimiter | None = None
        self._history = stores.history(settings)
        self._shared_turns = stores.shared_turns(settings, self.clock)
        self._access: AccessLog | None = None
        if write_access is not None:
            self._access = AccessLog(write_access, self.wheel, metrics=self.metrics, as_json=json_logs)
        self.app = self._app()
        self._guest = guest
        self.edge = Edge(
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
        if not self._guest:
            gc.collect()
            gc.freeze()
            gc.set_threshold(10_000, 20, 50)
        return addresses

    def stop_then(self, stopped: Callable[[], None]) -> None:
        """`stop`, and then call `stopped` in a turn of the reactor."""
        task = self.reactor.spawn(self.stop())
        task.add_done_callback(lambda _: stopped())

    async def stop(self) -> None:
        """Drain, then free everything."""
        self.app.draining = True
        drain_s = self.settings.drain_timeout
        drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.edge.drain(drain_s, lambda: drained.set_result(None))
        await asyncio.gather(drained, self._chat.drain(drain_s))
        await self._chat.settle()
        if self._upstream is not None:
            await self._upstream.close()
        if self._limiter is not None:
            await self._limiter.close()
        await self._history.close()
        if self._access is not None:
            self._access.flush()
        if self._all_metrics is not None:
            self._all_metrics.publish()

    def _app(self) -> App:
        settings = self.settings
        keys = self._keys
        unprotected = settings.upstream is not None and not keys
        limiter = self._rate_limiter() if settings.rate_limit_rps > 0 else None
        app = App(
            Router(self._routes(keys)),
            keys=keys,
            cors=CORS(settings.cors_origins, loopback_only=unprotected),
            metrics=self.metrics,
            access=self._access,
            log_quiet=settings.log_level == "debug",
        )
        app.journal = self._journal
        if limiter is not None:
            app.throttle = Throttle(limiter, proxies=TrustedProxies(settings.trusted_proxies), metrics=self.metrics)
        if unprotected:
            check_host = settings.host in LOOPBACK_HOSTS
            app.loopback_only = LoopbackOnly(settings.cors_origins, check_host=check_host)
        return app

    def _routes(self, keys: Keys) -> list[Route]:
        settings = self.settings
        system = Message("system", settings.system_prompt) if settings.system_prompt else None
        defaults = Defaults(
            model=settings.model if settings.upstream or is_simulated(settings.model) else MODEL,
            max_tokens=settings.max_tokens,
            system=system,
            context_messages=settings.context_messages,
            context_tokens=settings.context_tokens,
            on_disconnect="finish" if settings.on_disconnect == "finish" else "cancel",
        )
        alone = settings.workers == 1
        turns = Turns(
            keep_s=settings.resume_for,
            max_bytes=settings.resume_memory,
            now=self.wheel.now,
            shared=self._shared_turns,
            alone=alone,
        )
        stage = self._stage
        shared = Shared(stage, self._refusals, keys=keys, library=self._library)
        data = DataDocument(shared, self.clock)
        control = ControlRoutes(stage, self._refusals, library=self._library, journal=self._journal, alone=alone)
        self._chat = Chat(self._engine(), self._history, defaults=defaults, turns=turns)
        relays = settings.upstream is not None
        refuse = ChatRefusals(shared, self._simulated, default_model=defaults.model, relays=relays)
        routes = [
            *chat_routes(ChatRoutes(self._chat, keys, refuse=refuse)),
            *simulator_routes(
                sse=sse_stream(shared), ndjson=ndjson_stream(shared), loop=loop_stream(shared), data=data
            ),
            *control_routes(control),
            *provider_routes(OnDemand(self._providers)),
            *probe_routes(self._probes()),
            *page_routes(Page()),
            *board_routes(self._watch),
        ]
        return described(routes, keyed=bool(keys), relays=relays)

    def _providers(self) -> "Mapping[str, Speaking]":
        from tokenfall.bootstrap.providers import Providing, handlers  # noqa: PLC0415 - see `OnDemand`

        shared = Providing(self._simulated, self._upstream, self.clock, self.app.throttle, self._refusals, self._keys)
        return handlers(shared)

    def _rate_limiter(self) -> RateLimiter:
        settings, now = self.settings, self.wheel.now
        local = stores.local_limiter(settings, now, table=self._table)
        if settings.limits == MEMORY:
            return local
        self._limiter = stores.redis_limiter(settings, local, now=now)
        return self._limiter

    def _probes(self) -> Probes:
        wanted: dict[str, Check] = {}
        if self._limiter is not None:
            wanted["limits"] = self._limiter.check
        if self._shared_turns is not None:
            wanted["turns"] = self._shared_turns.check
        needed = {"history": self._history.check}
        return Probes(self._measured, lambda: self.app.draining, needed=needed, wanted=wanted)

    def _watch(self, request: Request) -> LiveStream:
        if self._board is None:
            from tokenfall.api.board import Board  # noqa: PLC0415 - few watch
            from tokenfall.pacing.written import written  # noqa: PLC0415

            self._board = Board(
                self._measured,
                self.clock,
                sim=lambda: written(self._stage.defaults),
                started_s=self._started_s,
                is_draining=lambda: self.app.draining,
            )
        return self._board.events(request)

    def _measured(self) -> Metrics:
        """What is counted by now, by all workers together."""
        if self._all_metrics is not None:
            return self._all_metrics.total()
        self.metrics.resident_bytes = resident_bytes()
        return self.metrics

    def _on_board(self, board: "MetricsBoard") -> "WorkerMetrics":
        from tokenfall.metrics_board import WorkerMetrics  # noqa: PLC0415 - one process alone needs none

        return WorkerMetrics(board, self.metrics, wheel=self.wheel, resident_bytes=resident_bytes)

    def _engine(self) -> Engine:
        settings = self.settings
        self._simulated = simulated = SimulatedEngine(self.clock, self._stage, library=self._library)
        if settings.upstream is None:
            return simulated
        # aiohttp costs 10 MiB and a tenth of a second: only who has an upstream pays.
        from random import Random  # noqa: PLC0415

        from tokenfall.engines.choice import EngineByModel  # noqa: PLC0415
        from tokenfall.engines.retries import Retries  # noqa: PLC0415
        from tokenfall.engines.upstream import UpstreamEngine  # noqa: PLC0415
        from tokenfall.engines.watch import UpstreamTimeouts  # noqa: PLC0415

        timeouts = UpstreamTimeouts(
            connect_s=settings.upstream_connect_timeout,
            first_token_s=settings.upstream_first_token_timeout,
            next_token_s=settings.upstream_next_token_timeout,
            total_s=settings.upstream_total_timeout,
        )
        self._upstream = UpstreamEngine(
            settings.upstream,
            settings.upstream_key,
            timeouts=timeouts,
            wheel=self.wheel,
            metrics=self.metrics,
            retries=Retries(self.clock, Random(), most=settings.upstream_retries),  # noqa: S311 - a jitter, no secret
        )
        return EngineByModel(simulated=simulated, upstream=self._upstream)


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
