"""Server-sent events in: bytes as they come -> the data of events. Pure.

Source: WHATWG HTML, section 9.2.
"""

import re

from tokenfall.errors import UpstreamMalformed

MAX_EVENT_BYTES = 1_048_576

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class SSEDecoder:
    """Cuts a byte stream into events and yields their data, however the reads cut it.

    Event names, ids and comments are dropped: no provider says anything in them that its data does not say. A line, or
    an event's lines together, of more than `max_bytes` raises `UpstreamMalformed`; an unfinished event at the end is
    dropped, as the standard says.
    """

    __slots__ = ("_begun", "_data", "_data_bytes", "_held", "_held_bytes", "_max_bytes")

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._begun = False
        self._held: list[bytes] = []  # pieces of a line that has not ended
        self._held_bytes = 0
        self._data: list[bytes] = []  # data of an event that has not ended
        self._data_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that `data` ends, in order."""
        if self._is_one_event(data):
            return [data[6:-2]]
        if not (b"\n" in data or b"\r" in data):
            self._hold(data)
            return []
        text = b"".join((*self._held, data)) if self._held else data
        self._held.clear()
        self._held_bytes = 0
        lines = _split(text)
        rest = lines.pop()
        if rest:
            self._hold(rest)
        if lines and not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        return self._events(lines)

    def _is_one_event(self, data: bytes) -> bool:
        """Whether `data` is one whole event of one line, as providers send them: most are, and need no cutting."""
        return (
            data.endswith(b"\n\n")
            and data.startswith(b"data: ")
            and data.count(b"\n") == 2
            and b"\r" not in data
            and not self._held
            and not self._data
            and len(data) <= self._max_bytes
        )

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self._max_bytes:
            raise self._too_long()

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            if line.startswith(b"data:") or line == b"data":
                self._data_bytes += len(line)
                if self._data_bytes > self._max_bytes:
                    raise self._too_long()
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data.clear()
                self._data_bytes = 0
        return events

    def _too_long(self) -> UpstreamMalformed:
        return UpstreamMalformed(f"an event of the upstream has more than {self._max_bytes} bytes")


def _split(text: bytes) -> list[bytes]:
    """Lines, the last one unfinished. A CR at the very end may be half of a CRLF and stays in it."""
    if b"\r" not in text:
        return text.split(b"\n")
    if not text.endswith(b"\r"):
        return _LINE_END.split(text)
    lines = _LINE_END.split(text[:-1])
    lines[-1] += b"\r"
    return lines
