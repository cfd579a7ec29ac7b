"""All errors of Tokenfall that a caller may see.

Each error has a stable `code`, which clients may rely on, and a message that is safe to show to the caller.
This module must not depend on HTTP: `tokenfall.api.problems` maps codes to statuses.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class TokenfallError(Exception):
    """Base class of all errors that a caller may see.

    `message` must contain no secret: no key, no address of an upstream, no text of an unknown exception.
    `retry_after_s` is the time after which a retry makes sense, None if unknown. `param` is the invalid field, named as
    in the request. `status` is the provider's status, if the provider caused the error.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        param: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.param = param
        self.status = status


class InvalidRequest(TokenfallError):
    """The request is invalid; the message has the accepted values."""

    code = "invalid_request"


class UnsupportedCoding(TokenfallError):
    """The request body has a content coding; only bodies without one are accepted."""

    code = "unsupported_content_coding"


class Unauthorized(TokenfallError):
    """The API key is missing or unknown."""

    code = "unauthorized"


class OriginNotAllowed(TokenfallError):
    """A request from a web page of another origin, or with another host name, to a server without API keys."""

    code = "origin_not_allowed"


class NotFound(TokenfallError):
    """The resource does not exist, or belongs to another key."""

    code = "not_found"


class ConversationChanged(TokenfallError):
    """The conversation does not contain the turn to be replaced, or its newest turn is not the expected one."""

    code = "conversation_changed"


class ConversationTooLong(TokenfallError):
    """An imported conversation has more messages than the server stores of one."""

    code = "conversation_too_long"


class StoreUnavailable(TokenfallError):
    """A store of the server (conversations, running turns) cannot be read or written now."""

    code = "store_unavailable"


class TurnStopped(TokenfallError):
    """The turn was stopped by a request of its owner; its text is stored as interrupted."""

    code = "stopped"


class TurnInterrupted(TokenfallError):
    """The turn was cancelled because its client disconnected; its text is stored as interrupted."""

    code = "interrupted"


class DetachedLimit(TokenfallError):
    """The turn continued without its client until a limit for such turns ended it; its text is stored."""

    code = "detached_limit"


class TurnLost(TokenfallError):
    """The process that ran the turn has ended, so the rest of the response is lost."""

    code = "turn_lost"


class ResumeExpired(TokenfallError):
    """The requested position of a turn is no longer, or not yet, available."""

    code = "resume_expired"


class IdempotencyMismatch(TokenfallError):
    """An Idempotency-Key was used again with a different request."""

    code = "idempotency_mismatch"


class IdempotencyUnavailable(TokenfallError):
    """An Idempotency-Key was sent to one of several processes that do not share keys; the request was not run."""

    code = "idempotency_unavailable"


class ResponseMemoryFull(TokenfallError):
    """The responses that the server holds complete use all of `RESPONSE_MEMORY`, or those of this caller its share; the
    request may be sent again.
    """

    code = "response_memory_full"


class RequestMemoryFull(TokenfallError):
    """The requests that are being served use all of `REQUEST_MEMORY`, or those of this caller its share; the request
    may be sent again.
    """

    code = "request_memory_full"


class RateLimited(TokenfallError):
    """The caller exceeded its rate limit; `retry_after_s` is always set."""

    code = "rate_limited"


class ShuttingDown(TokenfallError):
    """The server is draining: it accepts no new requests, or has ended this stream after the drain time."""

    code = "shutting_down"


def page_start_not_found() -> NotFound:
    """The error for a page of conversations after one that does not exist."""
    return NotFound("the conversation in after does not exist, or no longer exists; start at the first page")


def shutting_down() -> ShuttingDown:
    """The error for all requests while the server drains."""
    return ShuttingDown("the server is shutting down", retry_after_s=5.0)


class SimulatedFailure(TokenfallError):
    """An error injected by the simulator, with the configured `status`."""

    code = "simulated_failure"


class UpstreamError(TokenfallError):
    """Base class of all failures of the model's provider."""

    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider could be opened, or it broke before a response."""

    code = "upstream_unreachable"


class UpstreamUntrusted(UpstreamError):
    """The provider's TLS certificate was refused; nothing was sent, in particular not the key."""

    code = "upstream_untrusted"


class UpstreamFailed(UpstreamError):
    """The provider responded with a 5xx status."""

    code = "upstream_failed"


class UpstreamTimeout(UpstreamError):
    """Base class of timeouts of the provider."""

    code = "upstream_timeout"


class UpstreamConnectTimeout(UpstreamTimeout):
    """No connection was established in time."""

    code = "upstream_connect_timeout"


class UpstreamFirstTokenTimeout(UpstreamTimeout):
    """The first token did not arrive in time."""

    code = "upstream_first_token_timeout"


class UpstreamNextTokenTimeout(UpstreamTimeout):
    """A token after the first did not arrive in time."""

    code = "upstream_next_token_timeout"


class UpstreamTotalTimeout(UpstreamTimeout):
    """The response did not end in time."""

    code = "upstream_total_timeout"


class UpstreamKeyRefused(UpstreamError):
    """The provider refused the server's own key; not an error of the caller."""

    code = "upstream_key_refused"


class UpstreamRateLimited(UpstreamError):
    """The provider rate-limited the server's account."""

    code = "upstream_rate_limited"


class UpstreamRefused(UpstreamError):
    """The provider refused the request (unknown model, context too long): an error of the caller."""

    code = "upstream_refused"


class UpstreamBroken(UpstreamError):
    """Base class of failures of the provider's stream after its head."""

    code = "upstream_broken"


class UpstreamReset(UpstreamBroken):
    """The connection broke inside the response."""

    code = "upstream_reset"


class UpstreamTruncated(UpstreamBroken):
    """The connection was closed properly, but the stream has no final event."""

    code = "upstream_truncated"


class UpstreamMalformed(UpstreamBroken):
    """The stream violates its format, or exceeds a size limit."""

    code = "upstream_malformed"


class UpstreamStreamError(UpstreamBroken):
    """The provider sent an error inside the stream."""

    code = "upstream_stream_error"


def error_of_code(code: str, message: str) -> TokenfallError:
    """The error with this code; an internal error if the code is unknown."""
    kinds = [TokenfallError]
    while kinds:
        kind = kinds.pop()
        if kind.code == code:
            return kind(message)
        kinds += kind.__subclasses__()
    return TokenfallError(message)


def copy_error(error: TokenfallError, message: str | None = None) -> TokenfallError:
    """A copy of `error`, optionally with another `message`, without the traceback, which would keep frames alive."""
    message = error.message if message is None else message
    return type(error)(message, retry_after_s=error.retry_after_s, param=error.param, status=error.status)
