"""A `Send` that records the frames of a live stream."""

from collections.abc import Awaitable


class RecordingSend(list[bytes]):
    """A `Send` without backpressure; `tokens` has the frames that count as tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[bytes] = []

    def __call__(self, frame: bytes, /, *, is_token: bool = True) -> Awaitable[None] | None:
        self.append(frame)
        if is_token:
            self.tokens.append(frame)
        return None
