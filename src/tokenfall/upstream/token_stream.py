"""Receives a streamed response: each read is parsed and reported to the event callback synchronously."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from tokenfall.errors import (
    TokenfallError,
    UpstreamBroken,
    UpstreamMalformed,
    UpstreamStreamError,
    UpstreamTruncated,
    copy_error,
)
from tokenfall.events import Finished, PassthroughEvent, ReasoningDelta, TextDelta, ToolCallDelta
from tokenfall.upstream.error_body import ErrorBody
from tokenfall.upstream.refusals import is_event_stream, looks_like_events, no_stream
from tokenfall.upstream.request import UpstreamRequest
from tokenfall.upstream.response import UpstreamResponse
from tokenfall.upstream.timeouts import Watch

MAX_TEXT_BYTES = 4_194_304
"""Maximum UTF-8 size of a response's text, to bound memory."""


ALL = (TextDelta, ReasoningDelta, ToolCallDelta, PassthroughEvent)
"""The types of all events but `Finished`."""


class Reader(Protocol):
    """Parses a stream into events, the last of them `Finished`. `broken` is set once the stream is malformed."""

    broken: UpstreamBroken | None

    def feed(self, data: bytes) -> Sequence[Any]:
        """The events that `data` completes."""
        ...


MAX_EARLY, MAX_EARLY_BYTES = 64, 65_536
"""Maximum number and size of the events before the first token that are held. Above it, all of them are forwarded."""

OnEvent = Callable[[Any], Awaitable[None] | None]
"""As `tokenfall.ports.OnEvent`, for the reader's events."""


class TokenStream(UpstreamResponse):
    """`finished` is set to the final event once the exchange has finished.

    The callback gets the events of the types `reports` only; other tokens still count as progress. While the callback's
    awaitable is pending, reading from the connection is paused.
    """

    __slots__ = (
        "_early",
        "_left_bytes",
        "_must_look",
        "_on_event",
        "_reader",
        "_reports",
        "_request",
        "finished",
        "reported",
    )

    def __init__(
        self,
        request: UpstreamRequest,
        reader: Reader,
        *,
        on_event: OnEvent,
        watch: Watch,
        reports: tuple[type, ...] = ALL,
    ) -> None:
        super().__init__(watch)
        self._request = request
        self._reader = reader
        self._on_event = on_event
        self._reports = reports
        self._early: list[PassthroughEvent] | None = None
        """Events before the first token, such as the role: a failure before the first token must be a status."""
        self._left_bytes = MAX_TEXT_BYTES
        self._must_look = False
        """Whether the start of the body decides if it is an event stream, because the content type does not say so."""
        self.reported = False
        """Whether an event was passed to the callback; after that the request is not retried."""
        self.finished: Finished | None = None

    def accepted(self, content_type: str | None) -> None:
        self._must_look = not is_event_stream(content_type)

    def body_received(self, data: bytes) -> None:
        if (self._error_body is not None or self._must_look) and not self._are_events(data):
            return
        reader = self._reader
        for event in reader.feed(data):
            kind = type(event)
            if kind is Finished:
                self._report_early()
                self.finished = event
                self.finish()
                break
            if kind is PassthroughEvent:
                self._left_bytes -= event.text_bytes
                is_token = event.is_token
            else:
                text = event.id + event.name + event.arguments if kind is ToolCallDelta else event.text
                self._left_bytes -= len(text) if text.isascii() else len(text.encode())
                is_token = text != ""
            if self._left_bytes < 0:
                self.fail(UpstreamMalformed(f"the upstream's response has more than {MAX_TEXT_BYTES} bytes of text"))
                break
            if is_token:
                self._watch.token()
            is_held = kind is PassthroughEvent and not is_token and not self.reported and self._holds(event)
            if kind in self._reports and not is_held:
                self._report(event)
        if reader.broken is not None:
            self.fail(reader.broken)

    def _are_events(self, data: bytes) -> bool:
        """Whether the body is a stream of events; anything else is collected as an error."""
        if self._error_body is None:
            self._must_look = False
            if looks_like_events(data):
                return True
            self._error_body = ErrorBody(self, no_stream, wheel=self._watch.wheel)
        self._error_body.add(data)
        return False

    def _holds(self, event: PassthroughEvent) -> bool:
        """Hold an event that precedes the first token, unless there are too many."""
        early = self._early = self._early or []
        if len(early) >= MAX_EARLY or sum(len(each.data) for each in early) + len(event.data) > MAX_EARLY_BYTES:
            return False
        early.append(event)
        return True

    def _report_early(self) -> None:
        early, self._early = self._early, None
        for event in early or ():
            self._report(event)

    def _report(self, event: object) -> None:
        if self._early is not None:
            self._report_early()
        if not self.reported:
            self.reported = True
            self._request.accepted()
            self.responding()
        try:
            room = self._on_event(event)
        except TokenfallError as error:
            self.fail(copy_error(error))
            return
        if room is not None:
            self._watch.blocked = True
            self.wait_for(room)

    def completed(self) -> None:
        if self.finished is None and not self._must_look:
            self.body_received(b"\n")  # `[DONE]` may lack the end of its line
        if self.finished is None:
            self._reader.feed(b"\n\n")  # an error may lack the blank line after it; anything else is incomplete
            error = self._reader.broken
            truncated = UpstreamTruncated("the upstream's response ended without a final event")
            self.fail(error if isinstance(error, UpstreamStreamError) else truncated)

    def resumed(self) -> None:
        self._watch.resume()
