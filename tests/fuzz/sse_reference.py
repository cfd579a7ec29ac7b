"""A reference implementation of SSE parsing: WHATWG HTML, section 9.2.6, line by line, on a complete stream.

It has three extensions of `SSEDecoder`: a line that starts a JSON document ends the events, because some providers
report errors in this way (the content of the document is not compared); a field `error` with a JSON object is the data
of an event of this name; the line `data: [DONE]` alone is an event.
"""

import re
from dataclasses import dataclass, field

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DOCUMENT = re.compile(rb"\{|\[[ \t]*(?:\{|\Z)")
UNFINISHED_DOCUMENT = re.compile(rb"\{|\[[ \t]*\{")


@dataclass
class ParsedStream:
    """The events of a stream and its sizes."""

    events: list[tuple[bytes, bytes]] = field(default_factory=list)
    """(event name, data) of each event."""
    has_document: bool = False
    longest_bytes: int = 0
    """The longest line, or all fields of one event together; a parser may reject the stream for this size."""
    largest_event_bytes: int = 0
    """All fields of the largest event; a parser must reject the stream if this exceeds its limit."""


def parse(stream: bytes) -> ParsedStream:
    parsed = ParsedStream()
    data: list[bytes] = []
    name = b""
    event_bytes = 0
    *lines, unfinished = re.split(rb"\r\n|\n|\r", stream.removeprefix(BYTE_ORDER_MARK))
    for line in lines:
        parsed.longest_bytes = max(parsed.longest_bytes, len(line))
        if DOCUMENT.match(line):
            parsed.has_document = True
            return parsed
        if not line:
            if data:
                parsed.events.append((name, b"\n".join(data)))
            data, name, event_bytes = [], b"", 0
            continue
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value
        elif key == b"error":
            if value.startswith(b"{"):
                data.append(value)
                name = key
        else:
            continue
        event_bytes += len(line)
        parsed.largest_event_bytes = max(parsed.largest_event_bytes, event_bytes)
        parsed.longest_bytes = max(parsed.longest_bytes, event_bytes)
        if key == b"data" and data == [b"[DONE]"]:
            parsed.events.append((name, b"[DONE]"))
            data, name, event_bytes = [], b"", 0
    parsed.longest_bytes = max(parsed.longest_bytes, len(unfinished))
    parsed.has_document = UNFINISHED_DOCUMENT.match(unfinished) is not None
    return parsed
