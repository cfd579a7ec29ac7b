"""Texts in UTF-8, in which half of a surrogate pair is valid: the other half may be in the next piece. Pure."""

SURROGATES = "surrogatepass"
"""How they are encoded and decoded, for the parameter `errors`."""


def utf8_size(text: str) -> int:
    """Size of `text` in bytes."""
    return len(text) if text.isascii() else len(text.encode(errors=SURROGATES))


class TextBuffer:
    """An append-only text that arrives in many small pieces: a list of them would take fifty times the memory."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, text: str) -> None:
        self._data += text.encode(errors=SURROGATES)

    def text(self) -> str:
        return self._data.decode(errors=SURROGATES)
