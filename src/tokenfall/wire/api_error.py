"""API errors and the state of rate limits, before a dialect encodes them. Pure."""

from __future__ import annotations

from tokenfall.records import Record

Headers = tuple[tuple[str, str], ...]


class ApiError(Record):
    """An error response. `code` is one of `tokenfall.errors`, `status` the HTTP status, `param` the invalid field."""

    status: int
    code: str
    message: str
    param: str | None = None
    request_id: str = ""
    retry_after_s: float | None = None


class TokenLimitState(Record):
    """A caller's rate limit: `remaining` of a burst of `limit` tokens, full again in `reset_s`."""

    limit: int
    remaining: int
    reset_s: float


class LimitState(TokenLimitState):
    """As `TokenLimitState`, for requests; `tokens` is the limit of tokens. `now_s` is Unix time."""

    now_s: float
    tokens: TokenLimitState | None = None


def no_headers(_: LimitState) -> Headers:
    """For a dialect without rate limit headers."""
    return ()
