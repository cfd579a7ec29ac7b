"""The parts of a server, without its sockets. Those that import libraries are created at their first use.

So a server that only streams from the simulator imports neither asyncio nor msgspec.
"""

from __future__ import annotations

from tokenfall.api.addresses import TrustedProxies
from tokenfall.api.guard import Callers, Keys
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.probes import resident_bytes
from tokenfall.api.request_log import RequestLog
from tokenfall.api.simulator import Shared
from tokenfall.memory.leases import RequestMemory, ResponseMemory
from tokenfall.reactor.clock import WheelClock
from tokenfall.settings.fields import DEFAULT_SIM, MEMORY
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.library import Library
from tokenfall.simulator.state import UNSET, SimulatorState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tokenfall.api.catalogue import Catalogue
    from tokenfall.api.lazy_handlers import ProviderHandler
    from tokenfall.api.metrics_vllm import VLLMMetrics
    from tokenfall.api.probes import Check
    from tokenfall.api.throttle import Throttle
    from tokenfall.chat.service import Chat
    from tokenfall.http.request import Request
    from tokenfall.limits.fallback import FallbackLimiter
    from tokenfall.limits.shared import SharedTable
    from tokenfall.metrics.registry import Metrics
    from tokenfall.ports import HistoryStore, SharedTurns
    from tokenfall.reactor.loop import Reactor
    from tokenfall.settings import Settings
    from tokenfall.simulator.engine import SimulatedEngine
    from tokenfall.upstream.engine import UpstreamEngine


class Parts:
    """The parts of one server. `table` holds the rate limits of all workers of a port, None for a single process."""

    def __init__(self, settings: Settings, reactor: Reactor, *, metrics: Metrics, table: SharedTable | None) -> None:
        self.settings = settings
        self.wheel = reactor.wheel
        self.metrics = metrics
        self.response_memory = ResponseMemory(settings.response_memory, metrics)
        self.request_memory = RequestMemory(settings.request_memory, metrics)
        self.clock = WheelClock(self.wheel)
        self.keys = Keys(settings.api_key)
        self.callers = Callers(self.keys, TrustedProxies(settings.trusted_proxies))
        configured = UNSET if settings.sim == DEFAULT_SIM else parse(settings.sim)
        self.state = SimulatorState(configured, now=self.wheel.now)
        trusted = frozenset(name for name in (self.state.configured.script, self.state.configured.profile) if name)
        self.library = Library(settings.sim_files, trusted=trusted)
        self.injected_errors = InjectedErrors(self.wheel.now)
        self.request_log = RequestLog()
        self.shared = Shared(self.state, self.injected_errors, callers=self.callers, library=self.library)
        self.chat: Chat | None = None
        """None before its first request."""
        self.vllm: VLLMMetrics | None = self._vllm() if settings.metrics_vllm else None
        self._table = table
        self._simulated: SimulatedEngine | None = None
        self._catalogue: Catalogue | None = None
        self._throttle: Throttle | None = None
        self.history: HistoryStore | None = self._history_store() if settings.history != MEMORY else None
        """None for `memory://` before the first conversation."""
        self.shared_turns: SharedTurns | None = self._shared_turns() if settings.turns != MEMORY else None
        self.limiter: FallbackLimiter | None = None
        """The rate limiter in Redis, if configured."""
        self.upstream: UpstreamEngine | None = self._upstream(reactor) if settings.upstream is not None else None
        if settings.rate_limit_rps > 0 and settings.limits != MEMORY:
            self.throttle()

    @property
    def needs_async_close(self) -> bool:
        """Whether `close` has to be awaited before the process ends."""
        stores = (self.chat, self.history, self.shared_turns, self.limiter, self.upstream)
        return any(store is not None for store in stores)

    def checks(self) -> tuple[dict[str, Check], dict[str, Check]]:
        """The checks of `/readyz`, required and optional: only without the history does every chat fail."""
        optional: dict[str, Check] = {}
        if self.limiter is not None:
            optional["limits"] = self.limiter.check
        if self.shared_turns is not None:
            optional["turns"] = self.shared_turns.check
        return ({} if self.history is None else {"history": self.history.check}), optional

    async def close(self) -> None:
        """Close all parts. The turns must have been drained."""
        if self.chat is not None:
            await self.chat.runner.close()
        elif self.shared_turns is not None:
            await self.shared_turns.close()
        for part in (self.upstream, self.limiter, self.history):
            if part is not None:
                await part.close()

    # Handlers: each method is called once, by its `LazyHandlers`

    def chat_handlers(self) -> Mapping[str, Any]:
        from tokenfall.api.chat import ChatRoutes  # noqa: PLC0415 - it imports asyncio and msgspec
        from tokenfall.api.chat_injected_errors import refuse_chat  # noqa: PLC0415
        from tokenfall.simulator.engine import is_simulated  # noqa: PLC0415

        if self.settings.rate_limit_rps > 0:
            self.throttle()
        chat = self.chat_service()
        default_model, relays = self._default_model(), self.settings.upstream is not None

        def refuse(request: Request, model: str | None) -> None:
            if not relays or is_simulated(model or default_model):
                refuse_chat(request, model or default_model, shared=self.shared, engine=self.simulated_engine())

        routes = ChatRoutes(
            chat, self.keys, callers=self.callers, memory=self.response_memory, refuse=refuse, relays=relays
        )
        turns = ("chat", "defaults", "context", "resume", "stop")
        stored = ("history", "clear", "conversations", "change", "add", "delete")
        return {f"chat.{name}": getattr(routes, name) for name in (*turns, *stored)}

    def control_handlers(self) -> Mapping[str, Any]:
        from tokenfall.api.control import ControlRoutes  # noqa: PLC0415 - it imports msgspec
        from tokenfall.recording import redaction  # noqa: F401, PLC0415 - for the request log
        from tokenfall.simulator import format_grammar  # noqa: F401, PLC0415 - for the shown grammar

        routes = ControlRoutes(self.shared, request_log=self.request_log, memory=self.response_memory)
        handlers = routes.handlers(alone=self.settings.workers == 1)
        return {f"control.{name}": handler for name, handler in handlers.items()}

    def page_handlers(self) -> Mapping[str, Any]:
        from tokenfall.api.page import Page  # noqa: PLC0415 - rarely needed

        page = Page()
        files = dict.fromkeys(("pages.chat", "pages.dashboard", "pages.asset"), page.serve)
        return {**files, "pages.to_chat": page.redirect, "pages.to_dashboard": page.redirect}

    def provider_handlers(self) -> Mapping[str, ProviderHandler]:
        from tokenfall.bootstrap.providers import build_handlers  # noqa: PLC0415 - six dialects, and msgspec

        return build_handlers(self)

    # Parts

    def chat_service(self) -> Chat:
        """The chat service."""
        if self.chat is None:
            from tokenfall.bootstrap.chat import build_chat  # noqa: PLC0415 - it imports asyncio and msgspec

            if self.history is None:
                self.history = self._history_store()
            self.chat = build_chat(self, self.history, model=self._default_model())
        return self.chat

    def catalogue(self) -> Catalogue:
        """The available models."""
        if self._catalogue is None:
            from tokenfall.api.catalogue import Catalogue  # noqa: PLC0415 - it imports msgspec

            self._catalogue = Catalogue(None if self.upstream is None else self.upstream.models, self.clock.now)
        return self._catalogue

    def simulated_engine(self) -> SimulatedEngine:
        """The simulated engine of the chat and of the providers' APIs."""
        if self._simulated is None:
            from tokenfall.simulator.engine import SimulatedEngine  # noqa: PLC0415 - it imports msgspec

            self._simulated = SimulatedEngine(self.clock, self.state, library=self.library)
        return self._simulated

    def throttle(self) -> Throttle:
        """The rate limit per client address."""
        if self._throttle is None:
            from tokenfall.api.throttle import Throttle  # noqa: PLC0415 - needed only with a rate limit
            from tokenfall.bootstrap import stores  # noqa: PLC0415

            settings, now = self.settings, self.wheel.now
            local = stores.local_limiter(settings, now, table=self._table)
            if settings.limits != MEMORY:
                self.limiter = stores.redis_limiter(settings, local, now=now, metrics=self.metrics)
            self._throttle = Throttle(self.limiter or local, callers=self.callers, metrics=self.metrics)
        return self._throttle

    def current_metrics(self) -> Metrics:
        """The current metrics of this process."""
        self.metrics.resident_bytes = resident_bytes()
        self.metrics.timer_resolution_s = self.wheel.resolution_s
        return self.metrics

    def _vllm(self) -> VLLMMetrics:
        from tokenfall.api.metrics_vllm import VLLMMetrics  # noqa: PLC0415 - rarely needed

        return VLLMMetrics(self.state, self.wheel.now, model=self._default_model())

    def _default_model(self) -> str:
        from tokenfall.simulator.engine import MODEL, is_simulated  # noqa: PLC0415 - it imports msgspec

        settings = self.settings
        if settings.upstream is None and not is_simulated(settings.default_model):
            return MODEL
        return settings.default_model

    def _history_store(self) -> HistoryStore:
        from tokenfall.bootstrap import stores  # noqa: PLC0415 - it imports msgspec and the store's library

        return stores.history(self.settings, self.metrics)

    def _shared_turns(self) -> SharedTurns | None:
        from tokenfall.bootstrap import stores  # noqa: PLC0415 - it imports redis

        return stores.shared_turns(self.settings, self.clock, metrics=self.metrics)

    def _upstream(self, reactor: Reactor) -> UpstreamEngine:
        from tokenfall.bootstrap.upstream import build_upstream  # noqa: PLC0415 - it imports asyncio and msgspec

        return build_upstream(self, reactor)
