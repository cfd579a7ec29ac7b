"""Escapes Unicode line separators in JSON, for clients that split text there. Pure."""


def one_line(document: bytes) -> bytes:
    """Escape U+0085, U+2028 and U+2029: clients that split text instead of bytes treat them as line ends (httpx's
    `iter_lines`, and therefore Ollama's own client for Python).
    """
    if document.isascii():
        return document
    document = document.replace(b"\xc2\x85", b"\\u0085")
    return document.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
