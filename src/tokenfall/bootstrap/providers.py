"""Builds the handlers of the providers' APIs, at the first request to one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenfall.api.anthropic import TokenCounting
from tokenfall.api.catalogue import Catalogue
from tokenfall.api.guard import Callers
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.ollama import OllamaRoutes
from tokenfall.api.openai import OpenAIRoutes, PassThrough
from tokenfall.api.providers import FunctionHandler, Provider, Relay
from tokenfall.api.simulated_provider import SimulatedProvider
from tokenfall.api.throttle import Throttle
from tokenfall.memory.leases import ResponseMemory
from tokenfall.ports import Clock, Fetch
from tokenfall.simulator.engine import SimulatedEngine
from tokenfall.wire.dialect import Dialect
from tokenfall.wire.dialects import DIALECTS

if TYPE_CHECKING:
    from tokenfall.api.lazy_handlers import ProviderHandler
    from tokenfall.api.metrics_vllm import VLLMMetrics
    from tokenfall.upstream.engine import UpstreamEngine

PASSTHROUGH_PATHS = {
    "openai.chat": "/chat/completions",
    "groq.chat": "/chat/completions",
    "openai.completions": "/completions",
    "openai.responses": "/responses",
}
"""Paths of the dialects that an OpenAI-compatible upstream supports itself. The others are translated."""


class ProviderParts(NamedTuple):
    """Dependencies of the handlers."""

    simulated: SimulatedEngine
    upstream: UpstreamEngine | None
    clock: Clock
    throttle: Throttle | None
    injected_errors: InjectedErrors
    callers: Callers
    catalogue: Catalogue
    memory: ResponseMemory
    vllm: VLLMMetrics | None = None


def build_handlers(parts: ProviderParts) -> Mapping[str, ProviderHandler]:
    """All handlers by the names used in `tokenfall.api.routes`."""
    upstream, throttle = parts.upstream, parts.throttle
    providers = {
        name: Provider(
            dialect,
            _simulated(parts, dialect),
            relay=_relay(upstream, dialect, memory=parts.memory),
            throttle=throttle,
            callers=parts.callers,
            memory=parts.memory,
        )
        for name, dialect in DIALECTS.items()
    }
    fetch = None if upstream is None else _fetch(upstream)
    relay = None if upstream is None else _pass_through(upstream)
    openai = OpenAIRoutes(parts.catalogue, relay=relay, throttle=throttle, callers=parts.callers)
    ollama = OllamaRoutes(parts.catalogue, fetch=fetch, throttle=throttle, callers=parts.callers, memory=parts.memory)
    return {
        **providers,
        "openai.embeddings": FunctionHandler(openai.embeddings, openai.refuse),
        "openai.models": FunctionHandler(openai.models, openai.refuse),
        "openai.model": FunctionHandler(openai.model, openai.refuse),
        "anthropic.count": FunctionHandler(
            TokenCounting(relays=upstream is not None).count, providers["anthropic"].refuse
        ),
        "ollama.embed": FunctionHandler(ollama.embed, ollama.refuse),
        "ollama.embeddings": FunctionHandler(ollama.embeddings, ollama.refuse),
        "ollama.show": FunctionHandler(ollama.show, ollama.refuse),
        "ollama.tags": FunctionHandler(ollama.tags, ollama.refuse),
        "ollama.ps": FunctionHandler(ollama.ps, ollama.refuse),
        "ollama.version": FunctionHandler(ollama.version, ollama.refuse),
    }


def _simulated(parts: ProviderParts, dialect: Dialect) -> SimulatedProvider:
    shared: dict[str, Any] = {
        "clock": parts.clock,
        "injected_errors": parts.injected_errors,
        "callers": parts.callers,
        "memory": parts.memory,
    }
    if parts.vllm is None:
        return SimulatedProvider(dialect, parts.simulated, **shared)
    from tokenfall.api.simulated_provider_vllm import CountedSimulatedProvider  # noqa: PLC0415 - rarely needed

    return CountedSimulatedProvider(dialect, parts.simulated, counts=parts.vllm, **shared)


def _relay(upstream: UpstreamEngine | None, dialect: Dialect, *, memory: ResponseMemory) -> Relay | None:
    if upstream is None:
        return None
    from tokenfall.api.relays import DoneFraming, PassthroughRelay, ResponsesFraming, TranslatedRelay  # noqa: PLC0415 - only needed with an upstream

    path = PASSTHROUGH_PATHS.get(dialect.name)
    if path is None:
        if dialect.name == "ollama.generate":
            from tokenfall.wire.ollama.context import with_context  # noqa: PLC0415 - only needed with an upstream

            dialect = with_context(dialect)
        return TranslatedRelay(upstream, dialect, memory=memory)
    framing = ResponsesFraming() if dialect.name == "openai.responses" else DoneFraming()
    return PassthroughRelay(upstream, path, framing=framing)


def _pass_through(upstream: UpstreamEngine) -> PassThrough:
    from tokenfall.api.relays import passed_through  # noqa: PLC0415 - only needed with an upstream
    from tokenfall.upstream.engine import PassthroughRequest  # noqa: PLC0415 - only needed with an upstream

    return lambda path, body, caller: passed_through(upstream, PassthroughRequest(path, body, caller=caller))


def _fetch(upstream: UpstreamEngine) -> Fetch:
    from tokenfall.upstream.engine import PassthroughRequest  # noqa: PLC0415 - only needed with an upstream

    async def fetch(path: str, body: bytes, *, caller: str, on_size: Callable[[int], None]) -> bytes:
        return await upstream.fetch(PassthroughRequest(path, body, caller=caller), on_size=on_size)

    return fetch
