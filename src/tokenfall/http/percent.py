"""Percent-encoding of request targets; RFC 3986, section 2.1. Pure.

`urllib.parse` does the same, but its first import blocks the event loop for some 10 ms.
"""

_HEX = frozenset("0123456789abcdefABCDEF")


def unquoted(text: str) -> str:
    """ASCII `text` with its escapes decoded as UTF-8. Malformed escapes are unchanged; invalid UTF-8 becomes U+FFFD."""
    first, *parts = text.split("%")
    decoded = [first.encode()]
    for part in parts:
        digits = part[:2]
        if len(digits) == 2 and _HEX.issuperset(digits):
            decoded += bytes((int(digits, 16),)), part[2:].encode()
        else:
            decoded.append(b"%" + part.encode())
    return b"".join(decoded).decode("utf-8", "replace")
