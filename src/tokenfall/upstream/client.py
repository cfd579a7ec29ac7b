"""HTTP client of one address: sends each request on a pooled connection, or on a new one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tokenfall import logs
from tokenfall.errors import UpstreamError, UpstreamUntrusted
from tokenfall.upstream.exchange import StaleConnection, UpstreamExchange
from tokenfall.upstream.pool import Pool
from tokenfall.upstream.request import RequestEncoder, UpstreamRequest

if TYPE_CHECKING:
    from tokenfall.reactor.loop import Reactor, Timer
    from tokenfall.upstream.connection import UpstreamConnection
    from tokenfall.upstream.dialer import Dialer

REFILL_S = 0.01
"""Delay before a used warm connection is replaced: opening one at once would delay the first token of the request."""

_log = logs.get(__name__)


class HTTPClient:
    """Keeps `warm` idle connections open in advance; each one that a request uses is replaced."""

    def __init__(self, dialer: Dialer, reactor: Reactor, *, warm: int = 0) -> None:
        self._dialer = dialer
        self._reactor = reactor
        self._encoder = RequestEncoder(dialer.address, proxy=dialer.proxy)
        self._pool = Pool(reactor.wheel.now, on_response=dialer.remember)
        self._warm = warm
        self._warming: set[asyncio.Task[None]] = set()
        self._refill: Timer | None = None
        self._unreachable = False  # since the last warm connection

    async def run(self, request: UpstreamRequest, exchange: UpstreamExchange, *, within_s: float) -> None:
        """Send a request and wait until `exchange` has finished; raises the error that it failed with.

        `within_s` limits opening a connection; TimeoutError after that. If the server had closed the pooled connection
        before a byte of the response, the request is sent once more on a new connection.
        """
        data = self._encoder.encode(request)
        connection = self._pool.take()
        if self._warm and self._refill is None:
            self._refill = self._reactor.call_at(self._reactor.wheel.now() + REFILL_S, self.warm_up)
        if connection is None:
            connection = await self._open(within_s)
        while True:
            exchange.begin()
            connection.send(data, exchange, is_head=request.method == "HEAD")
            del data  # it may be large
            try:
                await exchange.end
            except StaleConnection:
                data = self._encoder.encode(request)
                connection = await self._open(within_s)
            else:
                return
            finally:
                exchange.abandon()

    def warm_up(self) -> None:
        """Start to open the missing warm connections, without waiting for them."""
        self._refill = None
        for _ in range(self._warm - len(self._pool) - len(self._warming)):
            task = asyncio.ensure_future(self._open_one())
            self._warming.add(task)
            task.add_done_callback(self._warming.discard)

    async def close(self) -> None:
        """Close all connections."""
        if self._refill is not None:
            self._reactor.wheel.cancel(self._refill)
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)
        self._pool.close()

    async def _open_one(self) -> None:
        try:
            connection = await self._open(float("inf"))
        except UpstreamError as error:
            is_logged = self._unreachable or isinstance(error, UpstreamUntrusted)
            if not is_logged:  # one line for all of them, until one is open again
                _log.warning("no connection to %s: %s", self._dialer.address.origin, error.message)
            self._unreachable = True
            return
        self._unreachable = False
        self._pool.connection_idle(connection)

    async def _open(self, within_s: float) -> UpstreamConnection:
        connection = await self._dialer.dial(self._pool, within_s=within_s)
        self._pool.add(connection)
        return connection
