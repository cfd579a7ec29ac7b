"""Receives a streamed response: each read is parsed and reported to the event callback synchronously."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from tokenfall.errors import TokenfallError, UpstreamBroken, UpstreamMalformed, UpstreamTruncated, copy_error
from tokenfall.events import Finished, PassthroughEvent, TextDelta, ToolCallDelta
from tokenfall.upstream.error_body import ErrorBody
from tokenfall.upstream.refusals import is_event_stream, no_stream
from tokenfall.upstream.request import UpstreamRequest
from tokenfall.upstream.response import UpstreamResponse
from tokenfall.upstream.timeouts import Watch

MAX_TEXT_BYTES = 4_194_304
"""Maximum UTF-8 size of a response's text, to bound memory."""


class Reader(Protocol):
    """Parses a stream into events, the last of them `Finished`. `broken` is set once the stream is malformed."""

    broken: UpstreamBroken | None

    def feed(self, data: bytes) -> Sequence[Any]:
        """The events that `data` completes."""
        ...


OnEvent = Callable[[Any], Awaitable[None] | None]
"""As `tokenfall.ports.OnEvent`, for the reader's events."""


class TokenStream(UpstreamResponse):
    """`finished` is set to the final event once the exchange has finished.

    With `text_only` the callback gets `TextDelta` only; other tokens still count as progress. While the callback's
    awaitable is pending, reading from the connection is paused.
    """

    __slots__ = ("_left_bytes", "_on_event", "_reader", "_request", "_text_only", "finished", "reported")

    def __init__(
        self, request: UpstreamRequest, reader: Reader, *, on_event: OnEvent, watch: Watch, text_only: bool = False
    ) -> None:
        super().__init__(watch)
        self._request = request
        self._reader = reader
        self._on_event = on_event
        self._text_only = text_only
        self._left_bytes = MAX_TEXT_BYTES
        self.reported = False
        """Whether an event was passed to the callback; after that the request is not retried."""
        self.finished: Finished | None = None

    def accepted(self, content_type: str | None) -> None:
        if not is_event_stream(content_type):
            self._error_body = ErrorBody(self, no_stream, wheel=self._watch.wheel)

    def body_received(self, data: bytes) -> None:
        if self._error_body is not None:
            self._error_body.add(data)
            return
        for event in self._reader.feed(data):
            kind = type(event)
            if kind is Finished:
                self.finished = event
                self.finish()
                return
            if kind is PassthroughEvent:
                self._left_bytes -= event.text_bytes
                is_token = event.is_token
            else:
                text = event.id + event.name + event.arguments if kind is ToolCallDelta else event.text
                self._left_bytes -= len(text) if text.isascii() else len(text.encode())
                is_token = text != ""
            if self._left_bytes < 0:
                self.fail(UpstreamMalformed(f"the upstream's response has more than {MAX_TEXT_BYTES} bytes of text"))
                return
            if is_token:
                self._watch.token()
            if kind is TextDelta or not self._text_only:
                self._report(event)
        if self._reader.broken is not None:
            self.fail(self._reader.broken)

    def completed(self) -> None:
        if self.finished is None:
            self.fail(UpstreamTruncated("the upstream's response ended without a final event"))

    def _report(self, event: object) -> None:
        if not self.reported:
            self.reported = True
            self._request.release()
            self.responding()
        try:
            room = self._on_event(event)
        except TokenfallError as error:
            self.fail(copy_error(error))
            return
        if room is not None:
            self._watch.blocked = True
            self.wait_for(room)

    def resumed(self) -> None:
        self._watch.resume()
