"""The upstream of a server, made at the start where one is set."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tokenfall.engines.retries import Retries
from tokenfall.engines.upstream import UpstreamEngine
from tokenfall.engines.watch import UpstreamTimeouts

if TYPE_CHECKING:
    from tokenfall.bootstrap.parts import Parts


def upstream_of(parts: Parts) -> UpstreamEngine:
    """The client of the upstream that the settings name."""
    settings = parts.settings
    assert settings.upstream is not None  # noqa: S101 - the caller has looked
    timeouts = UpstreamTimeouts(
        connect_s=settings.upstream_connect_timeout,
        first_token_s=settings.upstream_first_token_timeout,
        next_token_s=settings.upstream_next_token_timeout,
        total_s=settings.upstream_total_timeout,
    )
    return UpstreamEngine(
        settings.upstream,
        settings.upstream_key,
        timeouts=timeouts,
        wheel=parts.wheel,
        metrics=parts.metrics,
        retries=Retries(parts.clock, Random(), most=settings.upstream_retries),  # noqa: S311 - a jitter, no secret
    )
