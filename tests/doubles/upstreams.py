"""Engines that send requests to a test upstream."""

from tokenfall.metrics.registry import Metrics
from tokenfall.ports import Wheel
from tokenfall.upstream.address import parse_address
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.dialer import Dialer
from tokenfall.upstream.engine import UpstreamEngine
from tokenfall.upstream.proxies import Proxy
from tokenfall.upstream.retries import Retries
from tokenfall.upstream.timeouts import UpstreamTimeouts

from tests.doubles.loops import running_reactor


def engine_for(
    url: str,
    *,
    key: str | None = None,
    wheel: Wheel | None = None,
    metrics: Metrics | None = None,
    retries: Retries | None = None,
    proxy: Proxy | None = None,
) -> UpstreamEngine:
    """Return an engine on the running loop. `wheel` has the response deadlines; connection deadlines use real time."""
    reactor = running_reactor()
    dialer = Dialer(parse_address(url), reactor=reactor, connect_s=5.0, proxy=proxy)
    return UpstreamEngine(
        HTTPClient(dialer, reactor),
        key=key,
        timeouts=UpstreamTimeouts(),
        wheel=wheel or reactor.wheel,
        metrics=metrics or Metrics(),
        retries=retries,
    )
