"""The frames of `/stream-sse`, `/stream-ndjson` and `/stream-loop`, and the ends of streams that are not whole. Pure.

Nothing here needs a JSON library: these routes are served before one is imported.
"""

from __future__ import annotations

from tokenfall.json_text import flat_object
from tokenfall.wire import ndjson, sse


def token_document(text: str, *, finish: bool = False) -> bytes:
    """What `/stream-sse` and `/stream-ndjson` send for each word."""
    return flat_object({"content": text, "finish": finish})


def error_frame(code: str, message: str, **more: str | int | bool) -> bytes:
    """The end of an SSE stream that is not whole."""
    return sse.frame(b'{"error":%b}' % flat_object({"code": code, "message": message, **more}), "error")


def error_line(code: str, message: str) -> bytes:
    """The end of an NDJSON stream that is not whole."""
    return ndjson.frame(flat_object({"error": message, "code": code}))
