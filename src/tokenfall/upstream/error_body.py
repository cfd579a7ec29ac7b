"""Receives the body of an error response, limited in time and size. Used by `response` and `token_stream`."""

from __future__ import annotations

from collections.abc import Callable

from tokenfall.errors import TokenfallError
from tokenfall.ports import Wheel
from tokenfall.reactor.deadlines import Deadlined
from tokenfall.upstream.exchange import UpstreamExchange
from tokenfall.upstream.refusals import MAX_ERROR_BODY_BYTES

BODY_S = 1.0
"""How long to wait for the body of an error. It is short, because the status is already known and matters more."""


class ErrorBody(Deadlined):
    """Fails `exchange`, once, with the error that `explain` makes from the body."""

    __slots__ = ("_body", "_exchange", "_explain")

    def __init__(self, exchange: UpstreamExchange, explain: Callable[[bytes], TokenfallError], *, wheel: Wheel) -> None:
        super().__init__(wheel)
        self._exchange = exchange
        self._explain = explain
        self._body = bytearray()
        self.set_deadline(wheel.now() + BODY_S)

    def add(self, data: bytes) -> None:
        """The next part of the body."""
        self._body += data[: MAX_ERROR_BODY_BYTES - len(self._body)]
        if len(self._body) == MAX_ERROR_BODY_BYTES:
            self.end()

    def end(self) -> None:
        """The body is complete, too large, too slow or broken: fail the exchange."""
        self.clear_deadline()
        self._exchange.fail(self._explain(bytes(self._body)))

    def expired(self) -> None:
        self.end()
