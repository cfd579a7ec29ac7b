"""API errors and the state of rate limits, before a dialect encodes them. Pure."""

from __future__ import annotations

from tokenfall.records import Record

Headers = tuple[tuple[str, str], ...]


class ApiError(Record):
    """An error response. `code` is one of `tokenfall.errors`, `status` the HTTP status, `param` the invalid field."""

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
    """As `LimitState`, for tokens."""

    __slots__ = ("limit", "remaining", "reset_s")

    def __init__(self, limit: int, remaining: int, *, reset_s: float) -> None:
        self.limit = limit
        self.remaining = remaining
        self.reset_s = reset_s


class LimitState(Record):
    """A caller's rate limit: `remaining` of a burst of `limit` requests, full again in `reset_s`.

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
    """For a dialect without rate limit headers."""
    return ()
