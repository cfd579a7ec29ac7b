"""Normalizes the events of an upstream's response so that every dialect can encode them. Pure.

Rules for all dialects:

- Content blocks never interleave. Until the arguments of a tool call are complete, all other events are queued.
- A tool call has an id that is unique in its conversation and valid in every dialect, and the name that the client
  gave the tool. It is emitted once its name is complete: with its first arguments, or with the next event.
- Arguments end with their JSON object: some upstreams send it again. `null` is an empty object. A JSON string that
  contains the object, which some upstreams send, is decoded.
- Text does not begin with white space only: a text block of white space alone is dropped.
- Log probabilities stay with their text, also where it is queued; those without text are added to the next text.
- Reasoning is dropped when the client disabled it.
- A stop sequence is reported only if it is one of the request; some upstreams report their own special tokens.
- If the request has more stop sequences than an upstream accepts, the text is ended here, before the first match.
- A response with a tool call finishes with `tool_calls`, whatever reason the upstream sent, unless it was truncated.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from tokenfall.errors import UpstreamMalformed
from tokenfall.events import Finished, FinishReason, OutputEvent, ReasoningDelta, TextDelta, ToolCallDelta
from tokenfall.messages import ChatRequest
from tokenfall.utf8 import TextBuffer
from tokenfall.wire.json_document import JSONDocument
from tokenfall.wire.logprob_list import LogprobList
from tokenfall.wire.stop_sequences import StopSequences
from tokenfall.wire.tool_names import client_id, client_names
from tokenfall.wire.upstream.request import MAX_STOPS

_string = msgspec.json.Decoder(str).decode
MAX_QUEUED = 2_048
"""Limit of the events of a response that are queued; consecutive ones of a kind count as one."""


class _OpenCall:
    """The tool call whose deltas are being emitted."""

    __slots__ = ("_is_object", "_scanner", "_string", "head", "index", "is_complete")

    def __init__(self, head: ToolCallDelta) -> None:
        self.head: ToolCallDelta | None = head
        """Id and name, which are not emitted yet; None after that."""
        self.index = head.index
        self.is_complete = False
        self._is_object = False
        self._scanner = JSONDocument()
        self._string: TextBuffer | None = None
        """Arguments that are a JSON string, which may contain the object: held until they are complete."""

    def add(self, arguments: str) -> str:
        """The part of `arguments` that belongs to the call."""
        if self.is_complete:
            return "" if self._is_object else arguments
        before = self._scanner.size_bytes
        if not before and arguments.strip() == "null":
            return ""
        if self._string is not None or (not before and arguments.lstrip().startswith('"')):
            self._string = self._string or TextBuffer()
            self._string.add(arguments)
            return ""
        data = arguments.encode(errors="replace")
        document = self._scanner.feed(data)
        if document is None:
            return arguments
        self.is_complete = True
        self._is_object = document.lstrip().startswith(b"{")
        return data[: len(document) - before].decode() if self._is_object else arguments

    def held(self) -> str:
        """The object in the held string; the held arguments as they are if there is none."""
        held = "" if self._string is None else self._string.text()
        try:
            text = _string(held)
        except msgspec.DecodeError:
            return held
        return text if text.lstrip().startswith("{") else held


class _Queue:
    """Queued events. Consecutive ones of a kind are joined, to save memory."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: list[tuple[OutputEvent, TextBuffer, LogprobList]] = []
        """The first of some events of a kind, their text, and their log probabilities."""

    def add(self, event: OutputEvent) -> bool:
        """Queue an event; return whether it started a run."""
        is_new = not self._runs or type(self._runs[-1][0]) is not type(event)
        if is_new:
            self._runs.append((event, TextBuffer(), LogprobList()))
        first, text, logprobs = self._runs[-1]
        text.add(event.arguments if isinstance(event, ToolCallDelta) else event.text)
        if isinstance(event, TextDelta):
            logprobs.add(event.logprobs)
        elif (
            event is not first and isinstance(event, ToolCallDelta) and isinstance(first, ToolCallDelta) and event.name
        ):
            self._runs[-1] = replace(first, name=first.name + event.name), text, logprobs
        return is_new

    def events(self) -> Iterator[OutputEvent]:
        """One event for each run."""
        for first, text, logprobs in self._runs:
            joined = text.text()
            if isinstance(first, ToolCallDelta):
                yield replace(first, arguments=joined)
            elif isinstance(first, TextDelta):
                yield TextDelta(joined, logprobs.take())
            else:
                yield ReasoningDelta(joined)


class EventNormalizer:
    """Normalizes the events of one response. Generated ids contain `number`, the id of the response."""

    def __init__(self, request: ChatRequest, number: str) -> None:
        self._number = number
        self._names = client_names(request.tools)
        self._ids = {call.id for message in request.messages for call in message.tool_calls}
        self._drops_reasoning = request.disables_reasoning
        self._stop_texts = request.stop
        self._stops = StopSequences(request.stop) if len(request.stop) > MAX_STOPS else None
        self._emitted: set[int] = set()
        """Indices of the emitted calls."""
        self._open: _OpenCall | None = None
        self._queued: dict[int, _Queue] = {}
        """Events queued until the open call is complete: tool calls by index, runs of other events by -1, -2, ..."""
        self._runs = 0
        self._left = MAX_QUEUED
        self._leading_space = ""
        """Leading white space of a text block, held until other text follows."""
        self._in_text = False
        """Whether the next text delta continues the open text block."""
        self._logprobs = LogprobList()
        """Log probabilities held until text follows."""

    def add(self, event: OutputEvent) -> Sequence[OutputEvent]:
        """The events that can be emitted now, in order. Raises `UpstreamMalformed` above `MAX_QUEUED`."""
        if self._in_text and self._stops is None and type(event) is TextDelta:
            return (event,)
        if self._open is not None and not self._open.is_complete and _index(event) != self._open.index:
            self._left -= self._queued.setdefault(self._queue_key(event), _Queue()).add(event)
            if self._left < 0:
                raise UpstreamMalformed(f"over {MAX_QUEUED} parts of a response follow an incomplete tool call")
            return ()
        emitted = self._emit(event)
        while self._queued and (self._open is None or self._open.is_complete):
            emitted += self._emit_next()
        return emitted

    def end(self, finished: Finished) -> tuple[Sequence[OutputEvent], Finished]:
        """The remaining events, and `finished` with the reason and the stop sequence for the client."""
        emitted: list[OutputEvent] = []
        while self._queued:
            emitted += self._emit_next()
        emitted += self._end_call()
        emitted += self._end_text()
        if (logprobs := self._logprobs.take()) and not (self._stops is not None and self._stops.found):
            emitted.append(TextDelta("", logprobs))
        reason, stop = finished.reason, finished.stop if finished.stop in self._stop_texts else ""
        if self._stops is not None and self._stops.found:
            reason, stop = "stop", self._stops.found
        return emitted, msgspec.structs.replace(finished, reason=_reason(reason, calls=bool(self._emitted)), stop=stop)

    def _queue_key(self, event: OutputEvent) -> int:
        if isinstance(event, ToolCallDelta):
            return event.index
        if next(reversed(self._queued), 0) >= 0:
            self._runs += 1
        return -self._runs

    def _emit_next(self) -> list[OutputEvent]:
        queue = self._queued.pop(next(iter(self._queued)))
        return [emitted for event in queue.events() for emitted in self._emit(event)]

    def _emit(self, event: OutputEvent) -> list[OutputEvent]:
        if self._stops is not None and self._stops.found:
            return []
        if isinstance(event, TextDelta):
            self._logprobs.add(event.logprobs)
            ended = self._end_call()
            return ended + self._emit_text(event.text if self._stops is None else self._stops.add(event.text))
        if isinstance(event, ToolCallDelta):
            return self._emit_call(event)
        return [] if self._drops_reasoning else [*self._end_call(), *self._end_text(), event]

    def _emit_text(self, text: str) -> list[OutputEvent]:
        text = self._leading_space + text
        if not self._in_text and not text.strip():
            self._leading_space = text
            return []
        self._leading_space = ""
        self._in_text = True
        return [TextDelta(text, self._logprobs.take())] if text else []

    def _end_text(self) -> list[OutputEvent]:
        """Flush the held text at the end of its block; white space alone is dropped."""
        held = "" if self._stops is None else self._stops.end()
        emitted = self._emit_text(held) if held else []
        self._leading_space = ""
        self._in_text = False
        return emitted

    def _emit_call(self, part: ToolCallDelta) -> list[OutputEvent]:
        call = self._open
        if call is not None and call.index == part.index:
            if call.head is not None:
                call.head = replace(call.head, name=call.head.name + part.name)
            return self._emit_arguments(call, part.arguments)
        if part.index in self._emitted:
            return []  # a delta after the end of the call's arguments
        emitted = self._end_call() + self._end_text()
        self._open = call = _OpenCall(part)
        self._emitted.add(part.index)
        return emitted + self._emit_arguments(call, part.arguments)

    def _emit_arguments(self, call: _OpenCall, arguments: str) -> list[OutputEvent]:
        arguments = call.add(arguments)
        if not arguments:
            return []
        head = self._head(call)
        return [ToolCallDelta(call.index, "", "", arguments) if head is None else replace(head, arguments=arguments)]

    def _end_call(self) -> list[OutputEvent]:
        """Close the open call; emit it if it has no arguments, or only held ones."""
        call, self._open = self._open, None
        head = None if call is None else self._head(call)
        return [] if call is None or head is None else [replace(head, arguments=call.held())]

    def _head(self, call: _OpenCall) -> ToolCallDelta | None:
        """Id and name of a call, once."""
        head, call.head = call.head, None
        if head is None:
            return None
        return ToolCallDelta(head.index, self._new_id(head), self._names.get(head.name, head.name), "")

    def _new_id(self, call: ToolCallDelta) -> str:
        """The call's id if it is valid and unique in the conversation, else a generated id."""
        found = client_id(call.id, call.extra)
        if not call.id or found in self._ids:
            found = client_id(f"call_{self._number}_{len(self._emitted)}", call.extra)
        self._ids.add(found)
        return found


def _index(event: OutputEvent) -> int:
    return event.index if isinstance(event, ToolCallDelta) else -1


def _reason(reason: FinishReason, *, calls: bool) -> FinishReason:
    """`tool_calls` if and only if the response has calls and was not truncated or filtered."""
    if calls:
        return "tool_calls" if reason == "stop" else reason
    return "stop" if reason == "tool_calls" else reason
