"""An exchange that records its connection's callbacks, and a connection that records its exchange's calls."""

from typing import Any

from tokenfall.errors import TokenfallError
from tokenfall.upstream.exchange import Headers, StaleConnection, UpstreamExchange


class RecordedExchange(UpstreamExchange):
    """`calls` lists the callbacks in order, consecutive body parts as one; `body` has the joined data."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.status = 0
        self.headers: Headers = ()
        self.body = b""
        self.error: Exception | None = None

    def head_received(self, status: int, headers: Headers) -> None:
        self.calls.append("head")
        self.status = status
        self.headers = headers

    def body_received(self, data: bytes) -> None:
        if self.calls[-1] != "body":
            self.calls.append("body")
        self.body += data

    def body_ended(self) -> None:
        self.calls.append("end")
        self.finish()

    def broken(self, error: TokenfallError | StaleConnection) -> None:
        self.calls.append("broken")
        self.error = error
        super().broken(error)


class FakeConnection:
    """Replaces the `UpstreamConnection` of an exchange."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.reads = True
        self.urgent = True

    def attach(self, exchange: UpstreamExchange) -> None:
        """Become the connection of `exchange`, as `UpstreamConnection.send` does."""
        connection: Any = self
        exchange.connection = connection

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def discard_body(self) -> None:
        self.calls.append("settle")

    def abandon(self) -> None:
        self.calls.append("abandon")
