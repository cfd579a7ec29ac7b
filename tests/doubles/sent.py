"""What a live stream sends, where no edge plays it."""

from collections.abc import Awaitable


class RecordingSend(list[bytes]):
    """A `Send` to a client that takes all at once; `tokens` are the frames that are counted as such."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[bytes] = []

    def __call__(self, frame: bytes, /, *, is_token: bool = True) -> Awaitable[None] | None:
        self.append(frame)
        if is_token:
            self.tokens.append(frame)
        return None
