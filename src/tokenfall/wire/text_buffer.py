"""A text that arrives in many small pieces, in one buffer: a list of the pieces takes fifty times its memory. Pure."""

_SURROGATES = "surrogatepass"
"""Half of a surrogate pair is stored unchanged: the other half may be in the next piece."""


class TextBuffer:
    """An append-only text."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, text: str) -> None:
        self._data += text.encode(errors=_SURROGATES)

    def text(self) -> str:
        return self._data.decode(errors=_SURROGATES)
