"""Newline-delimited JSON, as Ollama streams it. Pure."""

CONTENT_TYPE = "application/x-ndjson"


def frame(document: bytes) -> bytes:
    """One line. Raises ValueError when `document` holds a line break outside its strings."""
    if b"\n" in document:
        raise ValueError("a document of NDJSON is one line")
    return document + b"\n"
