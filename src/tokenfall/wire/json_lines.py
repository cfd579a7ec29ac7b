"""What keeps a JSON document in one line, whoever cuts the lines. Pure."""


def one_line(document: bytes) -> bytes:
    """A JSON document with U+0085, U+2028 and U+2029 escaped: clients that cut text, not bytes, take them for ends of
    lines (httpx's `iter_lines`, and with it Ollama's own client for Python).
    """
    if document.isascii():
        return document
    document = document.replace(b"\xc2\x85", b"\\u0085")
    return document.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
