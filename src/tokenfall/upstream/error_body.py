"""Receives the body of a response that turned out to be an error, as far as it comes in good time."""

from __future__ import annotations

from collections.abc import Callable

from tokenfall.errors import TokenfallError
from tokenfall.ports import Wheel
from tokenfall.reactor.deadlines import Deadlined
from tokenfall.upstream.exchange import Exchange

MAX_ERROR_BODY_BYTES = 65_536
BODY_S = 1.0
"""How long the reason of a refusal is waited for: the status is known, and worth more."""


class ErrorBody(Deadlined):
    """Fails `exchange` with what `explain` makes of the body, once."""

    __slots__ = ("_exchange", "_explain", "_left_bytes", "_pieces")

    def __init__(self, exchange: Exchange, explain: Callable[[bytes], TokenfallError], *, wheel: Wheel) -> None:
        super().__init__(wheel)
        self._exchange = exchange
        self._explain = explain
        self._pieces: list[bytes] = []
        self._left_bytes = MAX_ERROR_BODY_BYTES
        self.set_deadline(wheel.now() + BODY_S)

    def add(self, data: bytes) -> None:
        """The next part of the body."""
        self._pieces.append(data[: self._left_bytes])
        self._left_bytes -= len(data)
        if self._left_bytes <= 0:
            self.end()

    def end(self) -> None:
        """There will be no more, for whatever reason."""
        self.clear_deadline()
        self._exchange.fail(self._explain(b"".join(self._pieces)))

    def expired(self) -> None:
        self.end()
