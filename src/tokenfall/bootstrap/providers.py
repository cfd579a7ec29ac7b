"""Builds the handlers of the providers' APIs, at the first request to one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from tokenfall.api.anthropic import count_tokens
from tokenfall.api.ollama import OllamaRoutes
from tokenfall.api.openai import OpenAIRoutes, PassThrough
from tokenfall.api.providers import FunctionHandler, Provider, Relay
from tokenfall.api.simulated_provider import SimulatedProvider
from tokenfall.memory.leases import ResponseMemory
from tokenfall.ports import Fetch
from tokenfall.wire.dialect import Dialect
from tokenfall.wire.dialects import DIALECTS

if TYPE_CHECKING:
    from tokenfall.api.lazy_handlers import ProviderHandler
    from tokenfall.bootstrap.parts import Parts
    from tokenfall.upstream.engine import UpstreamEngine

PASSTHROUGH_PATHS = {
    "openai.chat": "/chat/completions",
    "groq.chat": "/chat/completions",
    "openai.completions": "/completions",
    "openai.responses": "/responses",
}
"""Paths of the dialects that an OpenAI-compatible upstream supports itself. The others are translated."""

_OPENAI = ("embeddings", "models", "model")
_OLLAMA = ("embed", "embeddings", "show", "tags", "ps", "version")
"""The routes of a provider that have no dialect, by the names of their methods."""


def build_handlers(parts: Parts) -> Mapping[str, ProviderHandler]:
    """All handlers by the names used in `tokenfall.api.routes`."""
    upstream, callers, memory = parts.upstream, parts.callers, parts.response_memory
    throttle = parts.throttle() if parts.settings.rate_limit_rps > 0 else None
    providers = {
        name: Provider(
            dialect,
            _simulated(parts, dialect),
            relay=None if upstream is None else _relay(upstream, dialect, memory=memory),
            throttle=throttle,
            callers=callers,
            memory=memory,
        )
        for name, dialect in DIALECTS.items()
    }
    fetch = None if upstream is None else _fetch(upstream)
    relay = None if upstream is None else _pass_through(upstream)
    openai = OpenAIRoutes(parts.catalogue(), relay=relay, throttle=throttle, callers=callers)
    ollama = OllamaRoutes(parts.catalogue(), fetch=fetch, throttle=throttle, callers=callers, memory=memory)
    count = partial(count_tokens, relays=upstream is not None)
    return {
        **providers,
        **{f"openai.{name}": FunctionHandler(getattr(openai, name), openai.refuse) for name in _OPENAI},
        **{f"ollama.{name}": FunctionHandler(getattr(ollama, name), ollama.refuse) for name in _OLLAMA},
        "anthropic.count": FunctionHandler(count, providers["anthropic"].refuse),
    }


def _simulated(parts: Parts, dialect: Dialect) -> SimulatedProvider:
    simulated = SimulatedProvider(
        dialect,
        parts.simulated_engine(),
        clock=parts.clock,
        injected_errors=parts.injected_errors,
        callers=parts.callers,
        memory=parts.response_memory,
    )
    simulated.vllm = parts.vllm
    return simulated


def _relay(upstream: UpstreamEngine, dialect: Dialect, *, memory: ResponseMemory) -> Relay:
    from tokenfall.api.relays import DONE, RESPONSES, PassthroughRelay, TranslatedRelay  # noqa: PLC0415 - only needed with an upstream

    path = PASSTHROUGH_PATHS.get(dialect.name)
    if path is not None:
        return PassthroughRelay(upstream, path, framing=RESPONSES if dialect.name == "openai.responses" else DONE)
    if dialect.name == "ollama.generate":
        from tokenfall.wire.ollama.context import with_context  # noqa: PLC0415 - only needed with an upstream

        dialect = with_context(dialect)
    return TranslatedRelay(upstream, dialect, memory=memory)


def _pass_through(upstream: UpstreamEngine) -> PassThrough:
    from tokenfall.api.relays import passed_through  # noqa: PLC0415 - only needed with an upstream
    from tokenfall.upstream.engine import PassthroughRequest  # noqa: PLC0415 - only needed with an upstream

    return lambda path, body, caller: passed_through(upstream, PassthroughRequest(path, body, caller=caller))


def _fetch(upstream: UpstreamEngine) -> Fetch:
    from tokenfall.upstream.engine import PassthroughRequest  # noqa: PLC0415 - only needed with an upstream

    async def fetch(path: str, body: bytes, *, caller: str, on_size: Callable[[int], None]) -> bytes:
        return await upstream.fetch(PassthroughRequest(path, body, caller=caller), on_size=on_size)

    return fetch
