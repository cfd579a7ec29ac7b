"""What a server consists of beyond its sockets. Most parts are made when first asked for: they bring libraries.

A server that only streams from the simulator makes none of them, and so holds neither asyncio nor msgspec.
"""

from __future__ import annotations

from tokenfall.api.guard import Keys
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.probes import resident_bytes
from tokenfall.api.request_log import RequestLog
from tokenfall.api.simulator import Shared
from tokenfall.reactor.clock import WheelClock
from tokenfall.settings import DEFAULT_SIM, MEMORY
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.library import Library
from tokenfall.simulator.state import NOTHING, SimulatorState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tokenfall.api.lazy_handlers import Speaking
    from tokenfall.api.metrics_vllm import VLLMMetrics
    from tokenfall.api.probes import Check
    from tokenfall.api.throttle import Throttle
    from tokenfall.chat.service import Chat
    from tokenfall.limits.fallback import FallbackLimiter
    from tokenfall.limits.shared import SharedTable
    from tokenfall.metrics import Metrics
    from tokenfall.ports import HistoryStore, SharedTurns
    from tokenfall.reactor.loop import Reactor
    from tokenfall.settings import Settings
    from tokenfall.simulator.engine import SimulatedEngine
    from tokenfall.upstream.engine import UpstreamEngine


class Parts:
    """One server's parts. `table` is where the workers of a port keep their rate limits, None where there is one."""

    def __init__(
        self, settings: Settings, reactor: Reactor, *, metrics: Metrics, table: SharedTable | None = None
    ) -> None:
        self.settings = settings
        self.wheel = reactor.wheel
        self.metrics = metrics
        self.clock = WheelClock(self.wheel)
        self.keys = Keys(settings.api_key)
        said = NOTHING if settings.sim == DEFAULT_SIM else parse(settings.sim)
        self.state = SimulatorState(said, now=self.wheel.now)
        trusted = frozenset(name for name in (self.state.configured.script, self.state.configured.profile) if name)
        self.library = Library(settings.sim_files, trusted=trusted)
        self.injected_errors = InjectedErrors(self.wheel.now)
        self.request_log = RequestLog()
        self.shared = Shared(self.state, self.injected_errors, keys=self.keys, library=self.library)
        self.chat: Chat | None = None
        """None until the first request to it."""
        self.vllm: VLLMMetrics | None = self._vllm() if settings.metrics_vllm else None
        self._table = table
        self._simulated: SimulatedEngine | None = None
        self._throttle: Throttle | None = None
        self.history: HistoryStore | None = self._store() if settings.history != MEMORY else None
        """None for `memory://` until the first conversation."""
        self.shared_turns: SharedTurns | None = self._turns_everywhere() if settings.turns != MEMORY else None
        self.limiter: FallbackLimiter | None = None
        """Where addresses are limited in Redis."""
        self.upstream: UpstreamEngine | None = self._relay(reactor) if settings.upstream is not None else None
        if settings.rate_limit_rps > 0 and settings.limits != MEMORY:
            self.throttle()

    @property
    def holds_asyncio(self) -> bool:
        """Whether something here must be closed by awaiting it."""
        stores = (self.chat, self.history, self.shared_turns, self.limiter, self.upstream)
        return any(store is not None for store in stores)

    def checks(self) -> tuple[dict[str, Check], dict[str, Check]]:
        """What `/readyz` asks: stores without which no work can be done, and those that only serve some of it."""
        wanted: dict[str, Check] = {}
        if self.limiter is not None:
            wanted["limits"] = self.limiter.check
        if self.shared_turns is not None:
            wanted["turns"] = self.shared_turns.check
        return ({} if self.history is None else {"history": self.history.check}), wanted

    async def close(self) -> None:
        """Let go of everything that was made; turns are drained by then."""
        if self.chat is not None:
            await self.chat.runner.settle()
        elif self.shared_turns is not None:
            await self.shared_turns.close()
        for part in (self.upstream, self.limiter, self.history):
            if part is not None:
                await part.close()

    # Handlers, made once for each `LazyHandlers`

    def chat_handlers(self) -> Mapping[str, Any]:
        from tokenfall.api.chat import ChatRoutes  # noqa: PLC0415 - it brings asyncio and msgspec
        from tokenfall.api.chat_injected_errors import ChatInjectedErrors  # noqa: PLC0415

        if self.settings.rate_limit_rps > 0:
            self.throttle()
        chat = self.conversations()
        model, relays = self._default_model(), self.settings.upstream is not None
        refuse = ChatInjectedErrors(self.shared, self.simulated(), default_model=model, relays=relays)
        routes = ChatRoutes(chat, self.keys, refuse=refuse)
        names = ("chat", "history", "clear", "resume", "stop", "conversations", "rename", "delete")
        return {name: getattr(routes, name) for name in names}

    def control_handlers(self) -> Mapping[str, Any]:
        from tokenfall.api.control import ControlRoutes  # noqa: PLC0415 - it brings msgspec
        from tokenfall.recording import redaction  # noqa: F401, PLC0415 - for the journal
        from tokenfall.simulator import format_grammar  # noqa: F401, PLC0415 - for what is shown

        routes = ControlRoutes(
            self.state,
            self.injected_errors,
            library=self.library,
            journal=self.request_log,
            alone=self.settings.workers == 1,
        )
        names = ("show", "change", "replace", "reset", "requests", "forget_requests")
        gates = ("gates", "gate", "move_gate", "drop_gate")
        return {name: getattr(routes, name) for name in names + gates}

    def page_handlers(self) -> Mapping[str, Any]:
        from tokenfall.api.page import Page  # noqa: PLC0415 - few look at a page

        page = Page()
        return {"lead": page.lead, "serve": page.serve}

    def provider_handlers(self) -> Mapping[str, Speaking]:
        from tokenfall.bootstrap.providers import Providing, handlers  # noqa: PLC0415 - six dialects, and msgspec

        throttle = self.throttle() if self.settings.rate_limit_rps > 0 else None
        return handlers(
            Providing(
                self.simulated(), self.upstream, self.clock, throttle, self.injected_errors, self.keys, vllm=self.vllm
            )
        )

    # Parts

    def conversations(self) -> Chat:
        """The chat service."""
        if self.chat is None:
            from tokenfall.bootstrap.chat import chat_of  # noqa: PLC0415 - it brings asyncio and msgspec

            if self.history is None:
                self.history = self._store()
            self.chat = chat_of(self, self.history, model=self._default_model())
        return self.chat

    def simulated(self) -> SimulatedEngine:
        """The simulator behind the chat and the providers' formats."""
        if self._simulated is None:
            from tokenfall.simulator.engine import SimulatedEngine  # noqa: PLC0415 - it brings msgspec

            self._simulated = SimulatedEngine(self.clock, self.state, library=self.library)
        return self._simulated

    def throttle(self) -> Throttle:
        """The rate limit of client addresses."""
        if self._throttle is None:
            from tokenfall.api.addresses import TrustedProxies  # noqa: PLC0415 - chats alone are limited
            from tokenfall.api.throttle import Throttle  # noqa: PLC0415
            from tokenfall.bootstrap import stores  # noqa: PLC0415

            settings, now = self.settings, self.wheel.now
            local = stores.local_limiter(settings, now, table=self._table)
            if settings.limits != MEMORY:
                self.limiter = stores.redis_limiter(settings, local, now=now, metrics=self.metrics)
            proxies = TrustedProxies(settings.trusted_proxies)
            self._throttle = Throttle(self.limiter or local, proxies=proxies, metrics=self.metrics)
        return self._throttle

    def measured(self) -> Metrics:
        """What is counted by now in this process."""
        self.metrics.resident_bytes = resident_bytes()
        self.metrics.timer_resolution_s = self.wheel.resolution_s
        return self.metrics

    def _vllm(self) -> VLLMMetrics:
        from tokenfall.api.metrics_vllm import VLLMMetrics  # noqa: PLC0415 - few want them

        return VLLMMetrics(self.state, self.wheel.now, model=self._default_model())

    def _default_model(self) -> str:
        from tokenfall.simulator.engine import MODEL, is_simulated  # noqa: PLC0415 - it brings msgspec

        settings = self.settings
        return settings.model if settings.upstream or is_simulated(settings.model) else MODEL

    def _store(self) -> HistoryStore:
        from tokenfall.bootstrap import stores  # noqa: PLC0415 - it brings msgspec, and what a URL names

        return stores.history(self.settings, self.metrics)

    def _turns_everywhere(self) -> SharedTurns | None:
        from tokenfall.bootstrap import stores  # noqa: PLC0415 - it brings redis

        return stores.shared_turns(self.settings, self.clock, metrics=self.metrics)

    def _relay(self, reactor: Reactor) -> UpstreamEngine:
        from tokenfall.bootstrap.upstream import upstream_of  # noqa: PLC0415 - it brings asyncio and msgspec

        return upstream_of(self, reactor)
