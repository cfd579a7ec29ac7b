"""Newline-delimited JSON (NDJSON), Ollama's streaming format. Pure."""

CONTENT_TYPE = "application/x-ndjson"


def frame(document: bytes) -> bytes:
    """One line. Raises ValueError if `document` contains a line break outside its strings."""
    if b"\n" in document:
        raise ValueError("an NDJSON document must be one line")
    return document + b"\n"
