"""Decodes the bytes of a provider's stream to events. Pure.

A stream is complete only with `[DONE]`, or with an event type that the caller specifies.
"""

from collections.abc import Callable, Collection

from msgspec.structs import replace

from tokenfall.errors import UpstreamBroken
from tokenfall.events import (
    Finished,
    FinishReason,
    OutputEvent,
    PassthroughEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from tokenfall.wire.sse_decoder import ServerSentEvent, SSEDecoder
from tokenfall.wire.upstream.chunk import NOT_STANDARD, ChunkChoice, ChunkDelta, CompletionChunk, decode_standard
from tokenfall.wire.upstream.errors import stream_error
from tokenfall.wire.upstream.lenient import has_message, lenient_chunk, read_document
from tokenfall.wire.upstream.logprobs import encoded
from tokenfall.wire.upstream.passthrough import read_passthrough
from tokenfall.wire.upstream.surrogates import REPLACEMENT, Place, SurrogateJoiner, has_surrogate_escape
from tokenfall.wire.upstream.thought_tags import ThoughtTags
from tokenfall.wire.upstream.tool_calls import ToolCallReader
from tokenfall.wire.upstream.usage import usage_of

DONE = b"[DONE]"

_REASONS: dict[str, FinishReason] = {
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"), "length"
    ),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(
        ("content_filter", "refusal", "safety", "recitation", "sensitive", "prohibited_content", "blocklist",
         "content_filtered", "guardrail_intervened"), "content_filter"
    ),
}  # fmt: skip
"""Finish reasons of providers; all others are `stop`."""

_FAILURES = frozenset({
    "abort", "aborted", "cancelled", "error", "failed", "function_call_filter", "insufficient_system_resource",
    "malformed_function_call", "network_error",
})  # fmt: skip
"""Reasons of a response that is not complete: of vLLM, DeepSeek, Gemini, Zhipu and others."""

_NO_CHOICE = ChunkChoice(None)
_EXTRA = b'"extra_content"'


def finish_reason(text: str) -> FinishReason:
    """Maps a provider's finish reason; an unknown one becomes `stop`."""
    return _REASONS.get(_reason_name(text), "stop")


def _reason_name(text: str) -> str:
    """The reason without the details that Gemini adds: `content_filter: PROHIBITED_CONTENT`."""
    return text.lower().partition(":")[0].strip()


class ResponseReader:
    """Decodes a chat completion: text, reasoning and tool calls, then `Finished`.

    `logprobs`: read them, too. `tools` are the names of the tools in the request, for names that arrive in parts.
    """

    __slots__ = (
        "_calls", "_choice", "_decoder", "_has_messages", "_joiners", "_logprobs", "_model", "_reason", "_refused",
        "_stop", "_tags", "_tools", "_usage", "broken",
    )  # fmt: skip

    def __init__(self, *, logprobs: bool = False, tools: Collection[str] = ()) -> None:
        self._decoder = SSEDecoder()
        self._tools = tools
        self._logprobs = logprobs
        self._choice: int | None = None
        """The index of the choice that is read: some upstreams send several."""
        self._calls: ToolCallReader | None = None
        self._joiners: SurrogateJoiner | None = None
        """Set when the first surrogate half arrives. While it is set, every delta is read by `_events`."""
        self._tags: ThoughtTags | None = None
        """Set with `_joiners` when the first delta with `extra_content` arrives."""
        self._has_messages = False
        """Whether the chunks have messages in place of deltas."""
        self._model = ""
        self._reason: FinishReason = "stop"
        self._refused = False
        self._stop = ""
        self._usage: Usage | None = None
        self.broken: UpstreamBroken | None = None
        """The error that ended the stream, if any; nothing more can be read then."""

    def feed(self, data: bytes) -> list[OutputEvent | Finished]:
        """The events that `data` completes, including those before an error: check `broken` after each call."""
        events: list[OutputEvent | Finished] = []
        try:
            sole = self._decoder.sole_event(data)
            if sole is None:
                self._read_all(data, events)
                return events
            try:
                chunk = decode_standard(sole)
            except NOT_STANDARD:
                self._read_all(data, events)
            else:
                self._read(chunk, events)
        except UpstreamBroken as error:
            self.broken = error
        return events

    def _read_all(self, data: bytes, events: list[OutputEvent | Finished]) -> None:
        """Append the events of any number of chunks, standard or not."""
        for event in self._decoder.feed(data):
            if event.data.strip() == DONE:
                self._end(events)
                return
            chunk: CompletionChunk | None
            try:
                chunk = decode_standard(event.data) if not event.name else self._lenient_chunk(event)
            except NOT_STANDARD:
                chunk = self._lenient_chunk(event)
            if chunk is not None:
                self._read(chunk, events)

    def _lenient_chunk(self, event: ServerSentEvent) -> CompletionChunk | None:
        """A non-standard chunk, None for an empty event."""
        document = read_document(event)
        if document is None:
            return None
        if self._joiners is None and has_surrogate_escape(event.data):
            self._joiners = SurrogateJoiner()
        if self._tags is None and _EXTRA in event.data:
            self._tags = ThoughtTags()
            self._joiners = self._joiners or SurrogateJoiner()
        is_first = self._choice is None
        self._has_messages = self._has_messages or (is_first and has_message(document))
        return lenient_chunk(document, after_deltas=not (is_first or self._has_messages))

    def _read(self, chunk: CompletionChunk, events: list[OutputEvent | Finished]) -> None:
        if chunk.choices:
            choice = chunk.choices[0]
            if choice.index != self._choice:
                choice = self._own(chunk.choices)
            delta = choice.delta
            if self._logprobs and choice.logprobs is not None:
                events += self._events(delta or ChunkDelta(), encoded(choice.logprobs))
            elif delta is not None:
                if (
                    delta.reasoning_content
                    or delta.reasoning
                    or delta.tool_calls
                    or delta.refusal
                    or delta.reasoning_details
                    or self._joiners is not None
                ):
                    events += self._events(delta)
                elif delta.content:
                    events.append(TextDelta(delta.content))
            if choice.finish_reason:
                self._finish(choice)
        if chunk.model:
            self._model = chunk.model
        if chunk.usage:
            self._usage = usage_of(chunk.usage) or self._usage

    def _own(self, choices: list[ChunkChoice]) -> ChunkChoice:
        """The choice with the index of the first one of the response; an empty one if there is none."""
        first = choices[0]
        if self._choice is None:
            self._choice = first.index
        if first.index == self._choice or first.index is None:
            return first
        return next((choice for choice in choices if choice.index == self._choice), _NO_CHOICE)

    def _events(self, delta: ChunkDelta, logprobs: bytes = b"") -> list[OutputEvent]:
        events: list[OutputEvent] = []
        thought, text = delta.thought(), (delta.content or "") + (delta.refusal or "")
        if self._tags is not None:
            thought, text = self._tags.thought(thought), self._tags.text(text)
        thought = self._joined("thought", thought)
        if thought:
            events.append(ReasoningDelta(thought))
        text = self._joined("text", text)
        self._refused = self._refused or bool(delta.refusal)
        if text or logprobs:
            events.append(TextDelta(text, logprobs))
        if delta.tool_calls:
            self._calls = self._calls or ToolCallReader(self._tools)
            events += map(self._joined_part, self._calls.read(delta.tool_calls))
        return events

    def _joined(self, key: Place, text: str) -> str:
        return text if self._joiners is None else self._joiners.join(key, text)

    def _joined_part(self, part: ToolCallDelta) -> ToolCallDelta:
        if self._joiners is None:
            return part
        return replace(part, arguments=self._joiners.join(part.index, part.arguments))

    def _finish(self, choice: ChunkChoice) -> None:
        reason = choice.finish_reason or ""
        if _reason_name(reason) in _FAILURES:
            raise stream_error("" if reason == "error" else f"the response ended with {reason}")
        self._reason = finish_reason(reason)
        self._refused = self._refused or reason.lower() == "refusal"
        stop = choice.stop_reason if choice.stop_reason is not None else choice.matched_stop
        self._stop = stop if isinstance(stop, str) else ""

    def _end(self, events: list[OutputEvent | Finished]) -> None:
        if self._tags is not None and (held := self._tags.end()):
            events.append(TextDelta(held))
        if self._joiners is not None:
            events += map(_half, self._joiners.halves())
        if self._calls is not None:
            self._calls.end()
        reason: FinishReason = "content_filter" if self._refused and self._reason == "stop" else self._reason
        stop = self._stop if reason == "stop" else ""
        refused = self._refused and reason == "content_filter"
        events.append(Finished(reason, self._model, self._usage, stop, refused))


def _half(place: Place) -> OutputEvent:
    """A replacement character for a surrogate half at the end of a text."""
    if isinstance(place, int):
        return ToolCallDelta(place, "", "", REPLACEMENT)
    return ReasoningDelta(REPLACEMENT) if place == "thought" else TextDelta(REPLACEMENT)


class PassthroughReader:
    """Forwards events unchanged, for a client that uses the provider's own dialect.

    `[DONE]` ends the stream, and so does an event for whose `type` `ends` is true. The last event is forwarded, then
    `Finished`; everything after it is dropped. Any other error breaks the stream, even if `[DONE]` follows.
    """

    __slots__ = ("_decoder", "_ends", "broken")

    def __init__(self, ends: Callable[[str], bool]) -> None:
        self._decoder = SSEDecoder()
        self._ends = ends
        self.broken: UpstreamBroken | None = None

    def feed(self, data: bytes) -> list[PassthroughEvent | Finished]:
        """The events that `data` completes, as `ResponseReader.feed`."""
        events: list[PassthroughEvent | Finished] = []
        sole = self._decoder.sole_event(data)
        frame = b"" if sole is None else data
        try:
            for event in self._decoder.feed(data) if sole is None else (ServerSentEvent(sole),):
                if event.data.strip() == DONE:
                    events += (PassthroughEvent(DONE, is_token=False), Finished("stop", ""))
                    break
                passed = read_passthrough(event, self._ends, frame=frame)
                if passed is None:
                    continue
                events.append(passed)
                if passed.type and self._ends(passed.type):
                    events.append(Finished("stop", ""))
                    break
        except UpstreamBroken as error:
            self.broken = error
        return events
