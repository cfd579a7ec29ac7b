"""Encodes server-sent events. Pure.

Source: WHATWG HTML, section 9.2. A frame has one `data:` line and LF line ends only, as strict clients require.
"""

CONTENT_TYPE = "text/event-stream"
PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"


def frame(data: bytes, event: str = "") -> bytes:
    """One event. Raises ValueError if `data` or `event` contains a line break."""
    if b"\n" in data or b"\r" in data:
        raise ValueError("an event's data must be one line")
    if event:
        if "\n" in event or "\r" in event:
            raise ValueError("an event's name must be one line")
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    return b"data: %b\n\n" % data
