"""Receives a streamed response: each read goes through the reader to the event callback in one chain of calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from tokenfall.errors import UpstreamBroken, UpstreamMalformed, UpstreamTruncated
from tokenfall.events import Finished, PassthroughEvent, ReasoningDelta, TextDelta, ToolCallDelta
from tokenfall.upstream.error_body import ErrorBody
from tokenfall.upstream.refusals import is_event_stream, no_stream
from tokenfall.upstream.request import Request
from tokenfall.upstream.response import Response
from tokenfall.upstream.timeouts import Watch

MAX_TEXT_BYTES = 4_194_304
"""So much text, in UTF-8, may a response have: an upstream must not fill the memory."""


class Reader(Protocol):
    """Bytes of a stream to events, the last of them `Finished`. `broken` says why nothing more can be read, if so."""

    broken: UpstreamBroken | None

    def feed(self, data: bytes) -> Sequence[Any]:
        """The events that `data` completes."""
        ...


OnEvent = Callable[[Any], Awaitable[None] | None]
"""As `tokenfall.ports.OnEvent`, for whatever the reader gives."""


class TokenStream(Response):
    """`finished` is the genuine end once the exchange has finished.

    With `text_only` the callback gets nothing but `TextDelta`; reasoning is progress all the same. While the callback's
    awaitable is pending, nothing more is read from the connection.
    """

    __slots__ = ("_left_bytes", "_on_event", "_reader", "_request", "_text_only", "finished", "told")

    def __init__(
        self, request: Request, reader: Reader, *, on_event: OnEvent, watch: Watch, text_only: bool = False
    ) -> None:
        super().__init__(watch)
        self._request = request
        self._reader = reader
        self._on_event = on_event
        self._text_only = text_only
        self._left_bytes = MAX_TEXT_BYTES
        self.told = False
        """Whether the callback was given anything; then the request is not sent again."""
        self.finished: Finished | None = None

    def accepted(self, content_type: str | None) -> None:
        if not is_event_stream(content_type):
            self._error_body = ErrorBody(self, no_stream, wheel=self._watch.wheel)

    def take(self, data: bytes) -> None:
        for event in self._reader.feed(data):
            if type(event) is TextDelta:
                text = event.text
                self._left_bytes -= len(text) if text.isascii() else len(text.encode())
            elif isinstance(event, Finished):
                self.finished = event
                self.finish()
                return
            else:
                self._left_bytes -= _size_bytes(event)
                if isinstance(event, PassthroughEvent) and not event.is_token:
                    self._tell(event)
                    continue
                if self._text_only and self._left_bytes >= 0:
                    self._watch.token()
                    continue
            if self._left_bytes < 0:
                self.fail(UpstreamMalformed(f"the upstream's response has more than {MAX_TEXT_BYTES} bytes of text"))
                return
            self._watch.token()
            self._tell(event)
        if self._reader.broken is not None:
            self.fail(self._reader.broken)

    def taken(self) -> None:
        if self.finished is None:
            self.fail(UpstreamTruncated("the upstream's response ended without its end"))

    def _tell(self, event: object) -> None:
        if not self.told:
            self.told = True
            self._request.sent_for_good()
        full = self._on_event(event)
        if full is not None:
            self._watch.blocked = True
            self.wait_for(full)

    def resumed(self) -> None:
        self._watch.resume()


def _size_bytes(event: ReasoningDelta | ToolCallDelta | PassthroughEvent) -> int:
    if isinstance(event, PassthroughEvent):
        return event.text_bytes
    return len((event.arguments if isinstance(event, ToolCallDelta) else event.text).encode())
