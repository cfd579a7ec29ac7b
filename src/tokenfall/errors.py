"""What can go wrong, in Tokenfall's own words.

Each error has a stable `code` that clients may rely on and a message that is safe to show to the caller.
This module knows no HTTP: which status a code becomes is decided once, in `tokenfall.api.problems`.
"""

from typing import ClassVar


class TokenfallError(Exception):
    """The base of all errors that a caller may be shown.

    `message` must hold nothing secret: no key, no address of an upstream, no text of an unknown exception.
    `retry_after_s` says in how many seconds another try makes sense, None when nobody knows.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class InvalidRequest(TokenfallError):
    """The caller asked for something that cannot be done as asked; the message says what is accepted."""

    code = "invalid_request"


class Unauthorized(TokenfallError):
    """No API key, or none that is known."""

    code = "unauthorized"


class OriginNotAllowed(TokenfallError):
    """A web page of another origin, or under another host's name, asks where no key protects."""

    code = "origin_not_allowed"


class NotFound(TokenfallError):
    """There is no such thing, or it belongs to another key."""

    code = "not_found"


class RateLimited(TokenfallError):
    """The caller spent his share; `retry_after_s` is always set."""

    code = "rate_limited"


class ShuttingDown(TokenfallError):
    """The server takes no new work, or the drain time of this stream is over."""

    code = "shutting_down"


def shutting_down() -> ShuttingDown:
    """What everybody is told while the server drains."""
    return ShuttingDown("the server is shutting down", retry_after_s=5.0)


class UpstreamError(TokenfallError):
    """The base of all failures of the model's provider."""

    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider could be made, or it was cut before an answer came."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """The provider did not connect, begin, go on or end in time."""

    code = "upstream_timeout"


class UpstreamKeyRefused(UpstreamError):
    """The provider refused the server's own key: nothing the caller did."""

    code = "upstream_key_refused"


class UpstreamRateLimited(UpstreamError):
    """The provider limits the server's account."""

    code = "upstream_rate_limited"


class UpstreamRefused(UpstreamError):
    """The provider refused the request itself (an unknown model, too long a context): the caller's mistake."""

    code = "upstream_refused"


class UpstreamBroken(UpstreamError):
    """The provider's stream ended without its end, or was not what its format says."""

    code = "upstream_broken"
