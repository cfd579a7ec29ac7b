"""What an upstream says, put into the order and the form that every dialect can tell. Pure.

One place for all dialects:

- Sections never interleave. While the arguments of a call are incomplete, what belongs to anything else waits.
- A call has an id that is unique in its conversation and that every dialect allows, and the name that the caller gave.
- A text begins with something other than white space: a section of white space alone is not told.
- Thoughts are not told to a caller that switched them off.
- Where more stop texts were given than an upstream takes, the text ends here before the first of them.
- A response with a call ends with `tool_calls`, whatever the upstream says, unless it was cut off.
"""

from collections.abc import Sequence

import msgspec

from tokenfall.events import Finished, FinishReason, OutputEvent, TextDelta, ToolCallDelta
from tokenfall.messages import ChatRequest
from tokenfall.wire.json_document import JSONDocument
from tokenfall.wire.stop_texts import StopTexts
from tokenfall.wire.tool_names import client_id, names_of
from tokenfall.wire.upstream.request import MAX_STOPS


class _OpenCall:
    """The call that is being told."""

    __slots__ = ("_scanner", "index", "is_whole")

    def __init__(self, index: int) -> None:
        self.index = index
        self.is_whole = False
        self._scanner = JSONDocument()

    def add(self, arguments: str) -> None:
        if self._scanner.feed(arguments.encode(errors="replace")) is not None:
            self.is_whole = True


class Composer:
    """Reorders the events of one response. `number` names the response: ids made here contain it."""

    def __init__(self, request: ChatRequest, number: str) -> None:
        self._number = number
        self._names = names_of(request.tools)
        self._ids = {call.id for message in request.messages for call in message.tool_calls}
        self._hides_thoughts = request.hides_thoughts
        self._stops = StopTexts(request.stop) if len(request.stop) > MAX_STOPS else None
        self._told: set[int] = set()
        """Indices of the calls that were told."""
        self._open: _OpenCall | None = None
        self._waiting: dict[int, list[OutputEvent]] = {}
        """What waits for the open call to be complete: calls by their index, runs of all else by negative numbers."""
        self._runs = 0
        self._blank = ""
        """White space at the beginning of a text."""
        self._in_text = False
        """Whether the next piece of text continues one that is told."""

    def add(self, event: OutputEvent) -> Sequence[OutputEvent]:
        """What can be told now."""
        if self._in_text and self._stops is None and type(event) is TextDelta:
            return (event,)
        if self._open is not None and not self._open.is_whole and _index(event) != self._open.index:
            self._waiting.setdefault(self._lane(event), []).append(event)
            return ()
        told = self._tell(event)
        while self._waiting and (self._open is None or self._open.is_whole):
            told += self._tell_next()
        return told

    def end(self, finished: Finished) -> tuple[Sequence[OutputEvent], Finished]:
        """What is still to be told, and the end as the caller is told it."""
        told: list[OutputEvent] = []
        while self._waiting:
            told += self._tell_next()
        told += self._end_text()
        reason, stop = finished.reason, finished.stop
        if self._stops is not None and self._stops.found:
            reason, stop = "stop", self._stops.found
        return told, msgspec.structs.replace(finished, reason=_reason(reason, calls=bool(self._told)), stop=stop)

    def _lane(self, event: OutputEvent) -> int:
        if isinstance(event, ToolCallDelta):
            return event.index
        if next(reversed(self._waiting), 0) >= 0:
            self._runs += 1
        return -self._runs

    def _tell_next(self) -> list[OutputEvent]:
        lane = self._waiting.pop(next(iter(self._waiting)))
        return [told for event in lane for told in self._tell(event)]

    def _tell(self, event: OutputEvent) -> list[OutputEvent]:
        if self._stops is not None and self._stops.found:
            return []
        if isinstance(event, TextDelta):
            return self._tell_text(event.text if self._stops is None else self._stops.add(event.text))
        if isinstance(event, ToolCallDelta):
            return self._tell_call(event)
        return [] if self._hides_thoughts else [*self._end_text(), event]

    def _tell_text(self, text: str) -> list[OutputEvent]:
        self._open = None
        text = self._blank + text
        if not self._in_text and not text.strip():
            self._blank = text
            return []
        self._blank = ""
        self._in_text = True
        return [TextDelta(text)] if text else []

    def _end_text(self) -> list[OutputEvent]:
        """What is held of a text that ends here; white space alone is dropped."""
        rest = "" if self._stops is None else self._stops.end()
        told = self._tell_text(rest) if rest else []
        self._blank = ""
        self._in_text = False
        return told

    def _tell_call(self, part: ToolCallDelta) -> list[OutputEvent]:
        if self._open is not None and self._open.index == part.index:
            self._open.add(part.arguments)
            return [part]
        if part.index in self._told:
            return []  # after its arguments were complete
        told = self._end_text()
        self._open = _OpenCall(part.index)
        self._open.add(part.arguments)
        self._told.add(part.index)
        name = self._names.get(part.name, part.name)
        return [*told, ToolCallDelta(part.index, self._new_id(part.id), name, part.arguments)]

    def _new_id(self, given: str) -> str:
        """An id that no other call of the conversation has."""
        found = client_id(given)
        if not found or found in self._ids:
            found = f"call_{self._number}_{len(self._told)}"
        self._ids.add(found)
        return found


def _index(event: OutputEvent) -> int:
    return event.index if isinstance(event, ToolCallDelta) else -1


def _reason(reason: FinishReason, *, calls: bool) -> FinishReason:
    """A call is to be run unless the response was cut off; without one there is nothing to run."""
    if calls:
        return "tool_calls" if reason == "stop" else reason
    return "stop" if reason == "tool_calls" else reason
