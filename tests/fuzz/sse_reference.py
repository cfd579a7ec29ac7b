"""The simplest reader of server-sent events: WHATWG HTML, 9.2.6, written down line by line, on a whole stream.

It knows three additions, as `SSEDecoder` does: a line that begins a JSON document ends the events, since some providers
report an error in this way (what is read of the document is not compared); a field `error` with a JSON object is data
of an event of this name; the line `data: [DONE]` alone is an event.
"""

import re
from dataclasses import dataclass, field

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DOCUMENT = re.compile(rb"\{|\[[ \t]*(?:\{|\Z)")
UNFINISHED_DOCUMENT = re.compile(rb"\{|\[[ \t]*\{")


@dataclass
class Reading:
    """What a stream holds."""

    events: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Name and data."""
    has_document: bool = False
    longest_bytes: int = 0
    """Of a line, or of the fields of one event together: what a reader may refuse."""
    largest_event_bytes: int = 0
    """Of the fields of one event together: what a reader must refuse."""


def read(stream: bytes) -> Reading:
    reading = Reading()
    data: list[bytes] = []
    name = b""
    event_bytes = 0
    *lines, unfinished = re.split(rb"\r\n|\n|\r", stream.removeprefix(BYTE_ORDER_MARK))
    for line in lines:
        reading.longest_bytes = max(reading.longest_bytes, len(line))
        if DOCUMENT.match(line):
            reading.has_document = True
            return reading
        if not line:
            if data:
                reading.events.append((name, b"\n".join(data)))
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
        reading.largest_event_bytes = max(reading.largest_event_bytes, event_bytes)
        reading.longest_bytes = max(reading.longest_bytes, event_bytes)
        if key == b"data" and data == [b"[DONE]"]:
            reading.events.append((name, b"[DONE]"))
            data, name, event_bytes = [], b"", 0
    reading.longest_bytes = max(reading.longest_bytes, len(unfinished))
    reading.has_document = UNFINISHED_DOCUMENT.match(unfinished) is not None
    return reading
