"""The providers' handlers, made when the first of their paths is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from tokenfall.api.anthropic import TokenCounting
from tokenfall.api.catalogue import Catalogue
from tokenfall.api.guard import Keys
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.lazy_handlers import HandlerWithErrors
from tokenfall.api.ollama import OllamaRoutes
from tokenfall.api.openai import OpenAIRoutes
from tokenfall.api.providers import Provider, Relay
from tokenfall.api.simulated_provider import SimulatedProvider
from tokenfall.api.throttle import Throttle
from tokenfall.ports import Clock, Fetch
from tokenfall.simulator.engine import SimulatedEngine
from tokenfall.wire.dialect import Dialect
from tokenfall.wire.dialects import DIALECTS

if TYPE_CHECKING:
    from tokenfall.api.lazy_handlers import Speaking
    from tokenfall.api.metrics_vllm import VLLMMetrics
    from tokenfall.upstream.engine import UpstreamEngine

PASSED_ON = {
    "openai.chat": "/chat/completions",
    "groq.chat": "/chat/completions",
    "openai.completions": "/completions",
    "openai.responses": "/responses",
}
"""The dialects that an OpenAI-compatible upstream speaks itself, and where."""


class Providing(NamedTuple):
    """What all handlers are made of."""

    simulated: SimulatedEngine
    upstream: UpstreamEngine | None
    clock: Clock
    throttle: Throttle | None
    injected_errors: InjectedErrors
    keys: Keys
    vllm: VLLMMetrics | None = None


def handlers(of: Providing) -> Mapping[str, Speaking]:
    """All of them by the names that `tokenfall.api.routes` uses."""
    upstream, throttle = of.upstream, of.throttle
    providers = {
        name: Provider(
            dialect,
            _simulating(of, dialect),
            relay=_relay(upstream, dialect),
            throttle=throttle,
        )
        for name, dialect in DIALECTS.items()
    }
    fetch = None if upstream is None else _fetch(upstream)
    catalogue = Catalogue(None if upstream is None else upstream.models, of.clock.now)
    openai = OpenAIRoutes(catalogue, fetch=fetch, throttle=throttle)
    ollama = OllamaRoutes(catalogue, fetch=fetch, throttle=throttle)
    return {
        **providers,
        "openai.embeddings": HandlerWithErrors(openai.embeddings, openai.refuse),
        "models": HandlerWithErrors(openai.models, openai.refuse),
        "model": HandlerWithErrors(openai.model, openai.refuse),
        "anthropic.count": HandlerWithErrors(
            TokenCounting(relays=upstream is not None).count, providers["anthropic"].refuse
        ),
        "ollama.embed": HandlerWithErrors(ollama.embed, ollama.refuse),
        "ollama.embeddings": HandlerWithErrors(ollama.embeddings, ollama.refuse),
        "ollama.show": HandlerWithErrors(ollama.show, ollama.refuse),
        "ollama.tags": HandlerWithErrors(ollama.tags, ollama.refuse),
        "ollama.ps": HandlerWithErrors(ollama.ps, ollama.refuse),
        "ollama.version": HandlerWithErrors(ollama.version, ollama.refuse),
    }


def _simulating(of: Providing, dialect: Dialect) -> SimulatedProvider:
    if of.vllm is None:
        return SimulatedProvider(
            dialect, of.simulated, clock=of.clock, injected_errors=of.injected_errors, keys=of.keys
        )
    from tokenfall.api.simulated_provider_vllm import CountedSimulatedProvider  # noqa: PLC0415 - few count so

    return CountedSimulatedProvider(
        dialect, of.simulated, clock=of.clock, injected_errors=of.injected_errors, keys=of.keys, counts=of.vllm
    )


def _relay(upstream: UpstreamEngine | None, dialect: Dialect) -> Relay | None:
    if upstream is None:
        return None
    from tokenfall.api.relays import DoneFraming, PassthroughRelay, ResponsesFraming, TranslatedRelay  # noqa: PLC0415 - few have an upstream

    path = PASSED_ON.get(dialect.name)
    if path is None:
        return TranslatedRelay(upstream, dialect)
    form = ResponsesFraming() if dialect.name == "openai.responses" else DoneFraming()
    return PassthroughRelay(upstream, path, form=form)


def _fetch(upstream: UpstreamEngine) -> Fetch:
    from tokenfall.upstream.engine import PassthroughRequest  # noqa: PLC0415 - few have an upstream

    async def fetch(path: str, body: bytes) -> bytes:
        return await upstream.fetch(PassthroughRequest(path, body))

    return fetch
