"""Server-sent events out. Pure.

Source: WHATWG HTML, section 9.2. Frames are `data: ...` in one line, LF only, as strict clients need.
"""

CONTENT_TYPE = "text/event-stream"
PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"


def frame(data: bytes, event: str = "") -> bytes:
    """One event. Raises ValueError when `data` or `event` would break out of its line."""
    if b"\n" in data or b"\r" in data or "\n" in event or "\r" in event:
        raise ValueError("an event's data and name are one line each")
    if event:
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    return b"data: %b\n\n" % data
