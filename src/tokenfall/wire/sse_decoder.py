"""Decodes a byte stream of server-sent events. Pure.

Source: WHATWG HTML, section 9.2, with three additions:

- Some providers report an error as a JSON document without `data:`, instead of the stream or in the middle of it. It
  becomes the last event, with `framed` False.
- llama.cpp reports an error in a field `error`, a JSON object, which is read as data of an event of this name.
- Some end the stream with the line `data: [DONE]`, without a blank line: this line alone is an event.
"""

import re

from msgspec import Struct

from tokenfall.errors import UpstreamMalformed
from tokenfall.wire.json_document import JSONDocument

MAX_EVENT_BYTES = 1_048_576

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_DOCUMENT = re.compile(rb"\{|\[[ \t]{0,62}+\{")
_DOCUMENT_LINE = re.compile(rb"\{|\[[ \t]*+(?:\{|\Z)")
_LF = 0x0A
_DONE = b"[DONE]"
_START_BYTES = 64
"""A partial line begins a JSON document if `_DOCUMENT` matches in its first bytes, so many at most."""


class ServerSentEvent(Struct, frozen=True, gc=False):
    """`name` is the `event:` field, b"" if there is none."""

    data: bytes
    name: bytes = b""
    framed: bool = True
    """False for a JSON document without `data:`."""


class SSEDecoder:
    """Splits a byte stream into events, independently of how it is split into reads.

    Ids and comments are dropped. A line, the lines of one event together, or a document of more than `max_bytes` raises
    `UpstreamMalformed`; an incomplete event at the end is dropped, as the standard requires.
    """

    __slots__ = (
        "_after_cr",
        "_between",
        "_buffered",
        "_data",
        "_document",
        "_event_bytes",
        "_max_bytes",
        "_name",
        "_started",
    )

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._between = False
        """Whether the next byte starts an event, and not the first one: nothing is buffered."""
        self._started = False
        self._after_cr = False
        """Whether the last byte was a CR: a following LF belongs to the same line end."""
        self._buffered = bytearray()  # an incomplete line
        self._data: list[bytes] = []  # data lines of an incomplete event
        self._event_bytes = 0
        self._name = b""
        self._document: JSONDocument | None = None

    def sole_event(self, data: bytes) -> bytes | None:
        """Fast path: the event's data if `data` is exactly one complete event of one line, else None (call `feed`).

        Most reads are exactly one event; they need no splitting and no buffering.
        """
        size = len(data)
        if (
            self._between
            and data.find(b"\n") == size - 2
            and data[-1] == _LF
            and data.startswith(b"data: ")
            and b"\r" not in data
            and size <= self._max_bytes
        ):
            return data[6:-2]
        return None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that `data` completes, in order."""
        sole = self.sole_event(data)
        if sole is not None:
            return [ServerSentEvent(sole)]
        if self._document is not None:
            return self._read_document(self._document, data)
        events = self._read_lines(data)
        self._between = self._started and not (
            self._buffered or self._data or self._name or self._after_cr or self._document
        )
        return events

    def _read_lines(self, data: bytes) -> list[ServerSentEvent]:
        if self._after_cr:
            self._after_cr = not data  # an empty read does not change the state
            data = data.removeprefix(b"\n")
        if not (b"\n" in data or b"\r" in data):
            return self._hold(data) if data else []
        self._after_cr = data.endswith(b"\r")
        if self._buffered:
            data = bytes(self._buffered + data)
            self._buffered.clear()
        lines = _LINE_END.split(data) if b"\r" in data else data.split(b"\n")
        if not self._started:
            self._started = True
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[ServerSentEvent]:
        """The events of complete lines; the last item of `lines` is an incomplete line."""
        events: list[ServerSentEvent] = []
        for number, line in enumerate(lines[:-1]):
            if _DOCUMENT_LINE.match(line):
                return events + self._begin_document(b"\n".join(lines[number:]))
            if line:
                self._read_field(line)
                if line[-6:] != _DONE or self._data != [_DONE]:
                    continue
            if self._data:
                events.append(ServerSentEvent(b"\n".join(self._data), self._name))
                self._data.clear()
            self._name = b""
            self._event_bytes = 0
        return events + self._hold(lines[-1]) if lines[-1] else events

    def _read_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name not in (b"data", b"event", b"error"):
            return
        self._event_bytes += len(line)
        if self._event_bytes > self._max_bytes:
            raise self._too_long()
        value = value.removeprefix(b" ")
        if name == b"event":
            self._name = value
        elif name == b"data":
            self._data.append(value)
        elif value.startswith(b"{"):
            self._data.append(value)
            self._name = name

    def _hold(self, data: bytes) -> list[ServerSentEvent]:
        """Buffer an incomplete line; returns the document that it starts, if it is complete."""
        decided_bytes = len(self._buffered)
        self._buffered += data
        if len(self._buffered) > self._max_bytes:
            raise self._too_long()
        if self._buffered[0] in b"{[" and decided_bytes < _START_BYTES:
            text = bytes(self._buffered)
            if _DOCUMENT.match(text):
                return self._begin_document(text)
        return []

    def _begin_document(self, text: bytes) -> list[ServerSentEvent]:
        self._buffered.clear()
        self._document = JSONDocument()
        return self._read_document(self._document, text)

    def _read_document(self, document: JSONDocument, data: bytes) -> list[ServerSentEvent]:
        found = document.feed(data)
        if document.size_bytes > self._max_bytes:
            raise self._too_long()
        return [] if found is None else [ServerSentEvent(found, framed=False)]

    def _too_long(self) -> UpstreamMalformed:
        return UpstreamMalformed(f"an event of the upstream has more than {self._max_bytes} bytes")
