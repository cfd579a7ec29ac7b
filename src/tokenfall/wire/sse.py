"""Server-sent events: frames out, events in. Pure.

Source: WHATWG HTML, section 9.2. Frames are `data: ...` in one line, LF only, as strict clients need.
"""

import re

from tokenfall.errors import UpstreamBroken

CONTENT_TYPE = "text/event-stream"
PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
MAX_EVENT_BYTES = 1_048_576

_LINE_END = re.compile(rb"\r\n|\n|\r")


def frame(data: bytes, event: str = "") -> bytes:
    """One event. Raises ValueError when `data` or `event` would break out of its line."""
    if b"\n" in data or b"\r" in data or "\n" in event or "\r" in event:
        raise ValueError("an event's data and name are one line each")
    if event:
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    return b"data: %b\n\n" % data


class SSEDecoder:
    """Cuts a byte stream into events and yields their data, however the reads cut it.

    Event names, ids and comments are dropped: no provider says anything in them that its data does not say. An event
    of more than `max_bytes` raises `UpstreamBroken`; an unfinished event at the end is dropped, as the standard says.
    """

    __slots__ = ("_data", "_held", "_held_bytes", "_max_bytes")

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held: list[bytes] = []  # pieces of a line that has not ended
        self._held_bytes = 0
        self._data: list[bytes] = []  # data lines of an event that has not ended

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that `data` ends, in order."""
        if data.endswith(b"\n\n") and data.startswith(b"data: ") and not self._held and not self._data:
            if data.count(b"\n") == 2 and b"\r" not in data:  # one whole event, as providers send them
                return [data[6:-2]]
        elif not (b"\n" in data or b"\r" in data):
            self._hold(data)
            return []
        text = b"".join((*self._held, data)) if self._held else data
        self._held.clear()
        self._held_bytes = 0
        lines = text.split(b"\n") if b"\r" not in text else self._split(text)
        rest = lines.pop()
        if rest:
            self._hold(rest)
        return self._events(lines)

    def _split(self, text: bytes) -> list[bytes]:
        """Lines that may end with CR; a CR at the very end may be half of a CRLF and is held."""
        if text.endswith(b"\r"):
            lines = _LINE_END.split(text[:-1])
            lines[-1] += b"\r"
            return lines
        return _LINE_END.split(text)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self._max_bytes:
            raise UpstreamBroken(f"an event of the upstream has more than {self._max_bytes} bytes")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        if len(data) > 1 and sum(map(len, data)) > self._max_bytes:
            raise UpstreamBroken(f"an event of the upstream has more than {self._max_bytes} bytes")
        return events
