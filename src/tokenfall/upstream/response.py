"""Receives the response to an upstream request: a subclass handles a 200, any other status becomes an error."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable

from tokenfall.errors import TokenfallError, UpstreamMalformed, copy_error
from tokenfall.upstream.error_body import ErrorBody
from tokenfall.upstream.exchange import Headers, StaleConnection, UpstreamExchange
from tokenfall.upstream.refusals import encoding_error, error_document, refusal
from tokenfall.upstream.timeouts import Watch

MAX_BODY_BYTES = 16_777_216


class UpstreamResponse(UpstreamExchange):
    """Base class: fails with an `UpstreamError` on a status other than 200 and on a compressed body."""

    __slots__ = ("_error_body", "_watch", "status")

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self._error_body: ErrorBody | None = None
        self.status = 0
        """The response's status, 0 before it arrives."""

    def begin(self) -> None:
        super().begin()
        self._watch.start(self.fail)

    def stop(self) -> None:
        super().stop()
        self._watch.stop()
        if self._error_body is not None:
            self._error_body.clear_deadline()
            self._error_body = None  # break the reference cycle

    def head_received(self, status: int, headers: Headers) -> None:
        self.status = status
        named = dict(headers)
        if status != 200:
            retry_after = named.get("retry-after")
            explain = lambda body: refusal(status, body, retry_after=retry_after)  # noqa: E731 - bound to this response
            self._error_body = ErrorBody(self, explain, wheel=self._watch.wheel)
        elif error := encoding_error(named.get("content-encoding")):
            self.fail(error)
        else:
            self.accepted(named.get("content-type"))

    def accepted(self, content_type: str | None) -> None:
        """The status is 200 and the body follows."""

    def body_received(self, data: bytes) -> None:
        if self._error_body is not None:
            self._error_body.add(data)
        else:
            self.take(data)

    def take(self, data: bytes) -> None:
        """The next part of the body of a 200."""
        raise NotImplementedError

    def body_ended(self) -> None:
        if self._error_body is not None:
            self._error_body.end()
        else:
            self.completed()

    def completed(self) -> None:
        """The body of a 200 is complete."""
        raise NotImplementedError

    def broken(self, error: TokenfallError | StaleConnection) -> None:
        if self._error_body is not None:
            self._error_body.end()
        else:
            self.fail(error)


class CompleteResponse(UpstreamResponse):
    """Collects a non-streaming response; `body` is set when it is complete.

    `on_size` is called with the size received so far; the response fails with an error that it raises.
    """

    __slots__ = ("_on_size", "_received", "_size_bytes", "body")

    def __init__(self, watch: Watch, *, on_size: Callable[[int], None] | None = None) -> None:
        super().__init__(watch)
        self._on_size = on_size
        self._size_bytes = 0
        self._received = bytearray()  # a list of small chunks would take a hundred times their size
        self.body = b""

    def head_received(self, status: int, headers: Headers) -> None:
        super().head_received(status, headers)
        length = dict(headers).get("content-length", "")
        if status == 200 and length.isdigit() and int(length) > MAX_BODY_BYTES:
            self.fail(_too_large())

    def take(self, data: bytes) -> None:
        if self.count(data):
            self._received += data

    def count(self, data: bytes) -> bool:
        """Whether the body with `data` is within `MAX_BODY_BYTES`; fails the response if it is not."""
        self.responding()
        self._size_bytes += len(data)
        if self._size_bytes > MAX_BODY_BYTES:
            self.fail(_too_large())
            return False
        try:
            if self._on_size is not None:
                self._on_size(self._size_bytes)
        except TokenfallError as error:
            self.fail(copy_error(error))
            return False
        return True

    def close(self) -> None:
        """Stop, and close the connection if it is still used."""
        self.stop()
        self.abandon()

    def completed(self) -> None:
        self.body = bytes(self._received).removeprefix(BOM_UTF8)
        self._received.clear()
        error = error_document(self.body)
        if error is None:
            self.finish()
        else:
            self.fail(error)


def _too_large() -> UpstreamMalformed:
    return UpstreamMalformed(f"the upstream's response has more than {MAX_BODY_BYTES} bytes")
