"""Builds the upstream engine of a server, at the start, if an upstream is configured."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tokenfall.upstream.address import parse_address
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.dialer import Dialer
from tokenfall.upstream.engine import UpstreamEngine
from tokenfall.upstream.proxies import proxy_for
from tokenfall.upstream.retries import Retries
from tokenfall.upstream.timeouts import UpstreamTimeouts

if TYPE_CHECKING:
    from tokenfall.bootstrap.parts import Parts
    from tokenfall.reactor.loop import Reactor


def build_upstream(parts: Parts, reactor: Reactor) -> UpstreamEngine:
    """The engine for the configured upstream. Raises ValueError if the environment has an invalid proxy or CA file."""
    settings = parts.settings
    assert settings.upstream is not None  # noqa: S101 - checked by the caller
    address = parse_address(settings.upstream)
    proxy = proxy_for(address)
    timeouts = UpstreamTimeouts(
        connect_s=settings.upstream_connect_timeout,
        first_token_s=settings.upstream_first_token_timeout,
        next_token_s=settings.upstream_next_token_timeout,
        total_s=settings.upstream_total_timeout,
    )
    dialer = Dialer(address, reactor=reactor, connect_s=timeouts.connect_s, proxy=proxy)
    engine = UpstreamEngine(
        HTTPClient(dialer, reactor, warm=settings.upstream_warm),
        key=settings.upstream_key,
        timeouts=timeouts,
        wheel=parts.wheel,
        metrics=parts.metrics,
        retries=Retries(parts.clock, Random(), max_retries=settings.upstream_retries),  # noqa: S311 - jitter, not a secret
    )
    engine.memory = parts.request_memory
    return engine
