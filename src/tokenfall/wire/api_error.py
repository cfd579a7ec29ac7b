"""What every dialect says of a request that gets no answer, and of what a rate limit leaves. Pure."""

from __future__ import annotations

from tokenfall.records import Record

Headers = tuple[tuple[str, str], ...]


class ApiError(Record):
    """Why there is no answer. `code` is one of `tokenfall.errors`, `status` HTTP's, `param` the field at fault."""

    __slots__ = ("code", "message", "param", "request_id", "retry_after_s", "status")

    def __init__(
        self,
        *,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class TokenLimitState(Record):
    """The same as `LimitState` for tokens."""

    __slots__ = ("limit", "remaining", "reset_s")

    def __init__(self, limit: int, remaining: int, *, reset_s: float) -> None:
        self.limit = limit
        self.remaining = remaining
        self.reset_s = reset_s


class LimitState(Record):
    """What a rate limit leaves a caller: of `limit` requests at once `remaining`, all of them again in `reset_s`.

    `now_s` is Unix time.
    """

    __slots__ = ("limit", "now_s", "remaining", "reset_s", "tokens")

    def __init__(
        self, limit: int, remaining: int, *, reset_s: float, now_s: float, tokens: TokenLimitState | None = None
    ) -> None:
        self.limit = limit
        self.remaining = remaining
        self.reset_s = reset_s
        self.now_s = now_s
        self.tokens = tokens


def no_headers(_: LimitState) -> Headers:
    """Of a dialect that says nothing of its limits."""
    return ()
