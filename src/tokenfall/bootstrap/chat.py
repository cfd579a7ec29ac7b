"""Builds the chat service of a server, at the first request that needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenfall.chat.service import Chat, Defaults
from tokenfall.messages import Message
from tokenfall.simulator.engine_by_model import EngineByModel
from tokenfall.turns.detached import DetachedBounds, DetachedTurns
from tokenfall.turns.registry import TurnRegistry
from tokenfall.turns.runner import TurnRunner
from tokenfall.upstream.unset_model import UnsetModel

if TYPE_CHECKING:
    from tokenfall.bootstrap.parts import Parts
    from tokenfall.ports import Engine, HistoryStore


def build_chat(parts: Parts, history: HistoryStore, *, model: str) -> Chat:
    """The chat service; `model` is the default model, `history` stores the conversations."""
    settings = parts.settings
    engine: Engine = parts.simulated_engine()
    if parts.upstream is not None:
        upstream: Engine = parts.upstream
        if settings.model is None:
            upstream, model = UnsetModel(upstream, name=model, models=parts.catalogue().upstream_names), ""
        engine = EngineByModel(simulated=engine, upstream=upstream)
    defaults = Defaults(
        model=model,
        max_tokens=settings.max_tokens,
        system=Message("system", settings.system_prompt) if settings.system_prompt else None,
        context_messages=settings.context_messages,
        context_tokens=settings.context_tokens,
        stored_messages=settings.history_limit // 2 * 2,  # complete turns
        on_disconnect="finish" if settings.on_disconnect == "finish" else "cancel",
    )
    turns = TurnRegistry(
        keep_s=settings.resume_for,
        max_bytes=settings.resume_memory,
        now=parts.wheel.now,
        shared=parts.shared_turns,
        alone=settings.workers == 1,
    )
    bounds = DetachedBounds(
        max_turns=settings.detached_turns, max_bytes=settings.detached_memory, max_s=settings.detached_for
    )

    def count(turns: int) -> None:
        parts.metrics.detached_turns = turns

    detached = DetachedTurns(bounds, now=parts.wheel.now, on_count=count)
    runner = TurnRunner(history, registry=turns, detached=detached, memory=parts.request_memory)
    return Chat(engine, history, defaults=defaults, runner=runner)
