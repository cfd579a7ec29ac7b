"""What can go wrong, in Tokenfall's own words.

Each error has a stable `code` that clients may rely on and a message that is safe to show to the caller.
This module knows no HTTP: which status a code becomes is decided once, in `tokenfall.api.problems`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class TokenfallError(Exception):
    """The base of all errors that a caller may be shown.

    `message` must hold nothing secret: no key, no address of an upstream, no text of an unknown exception.
    `retry_after_s` says in how many seconds another try makes sense, None when nobody knows. `param` names the field
    at fault, in the request's own words. `status` is what the provider answered with, where it was the provider.
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


class ConversationChanged(TokenfallError):
    """The turn in whose place another was asked is not in its conversation, or not any more."""

    code = "conversation_changed"


class StoreUnavailable(TokenfallError):
    """A store of the server's own (conversations, turns under way) cannot be read or written now."""

    code = "store_unavailable"


class TurnStopped(TokenfallError):
    """Somebody who may asked for the turn to end; what was said is kept as interrupted."""

    code = "stopped"


class TurnInterrupted(TokenfallError):
    """The turn ended because the client that had asked for it left; what was said is kept as interrupted."""

    code = "interrupted"


class DetachedLimit(TokenfallError):
    """The turn went on without its client until a bound for such turns ended it; what was said is kept."""

    code = "detached_limit"


class TurnLost(TokenfallError):
    """The process that answered the turn is gone, and with it the rest of the answer."""

    code = "turn_lost"


class ResumeExpired(TokenfallError):
    """The asked place of a turn is no longer, or not yet, in what can be resumed."""

    code = "resume_expired"


class IdempotencyMismatch(TokenfallError):
    """An Idempotency-Key came again with another request."""

    code = "idempotency_mismatch"


class IdempotencyUnavailable(TokenfallError):
    """An Idempotency-Key came to one of several processes that cannot tell each other of it; nothing was asked."""

    code = "idempotency_unavailable"


class RateLimited(TokenfallError):
    """The caller spent his share; `retry_after_s` is always set."""

    code = "rate_limited"


class ShuttingDown(TokenfallError):
    """The server takes no new work, or the drain time of this stream is over."""

    code = "shutting_down"


def no_such_place() -> NotFound:
    """A page is asked for behind a conversation that is not there."""
    return NotFound("the conversation that after names is not there, or not any more; begin at the first page")


def shutting_down() -> ShuttingDown:
    """What everybody is told while the server drains."""
    return ShuttingDown("the server is shutting down", retry_after_s=5.0)


class SimulatedFailure(TokenfallError):
    """An error that the simulator was told to answer with; `status` says with which."""

    code = "simulated_failure"


class UpstreamError(TokenfallError):
    """The base of all failures of the model's provider."""

    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider could be made, or it was cut before an answer came."""

    code = "upstream_unreachable"


class UpstreamUntrusted(UpstreamError):
    """The provider's TLS certificate was refused; nothing was sent, the key least of all."""

    code = "upstream_untrusted"


class UpstreamFailed(UpstreamError):
    """The provider answered that it failed (5xx)."""

    code = "upstream_failed"


class UpstreamTimeout(UpstreamError):
    """The base of what the provider did not do in time."""

    code = "upstream_timeout"


class UpstreamConnectTimeout(UpstreamTimeout):
    """No connection was accepted in time."""

    code = "upstream_connect_timeout"


class UpstreamFirstTokenTimeout(UpstreamTimeout):
    """No token came in time."""

    code = "upstream_first_token_timeout"


class UpstreamNextTokenTimeout(UpstreamTimeout):
    """The answer began and did not go on in time."""

    code = "upstream_next_token_timeout"


class UpstreamTotalTimeout(UpstreamTimeout):
    """The answer did not end in time."""

    code = "upstream_total_timeout"


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
    """The base of all ways in which the provider's stream breaks after its head."""

    code = "upstream_broken"


class UpstreamReset(UpstreamBroken):
    """The connection broke while the answer came."""

    code = "upstream_reset"


class UpstreamTruncated(UpstreamBroken):
    """The stream ended in good order, but without its end."""

    code = "upstream_truncated"


class UpstreamMalformed(UpstreamBroken):
    """The stream is not what its format says, or larger than anything sensible."""

    code = "upstream_malformed"


class UpstreamStreamError(UpstreamBroken):
    """The provider said inside the stream that it failed."""

    code = "upstream_stream_error"


def error_of_code(code: str, message: str) -> TokenfallError:
    """An error that was told elsewhere, by its code; one of an unknown code is an internal error."""
    kinds = [TokenfallError]
    while kinds:
        kind = kinds.pop()
        if kind.code == code:
            return kind(message)
        kinds += kind.__subclasses__()
    return TokenfallError(message)


def again(error: TokenfallError, message: str | None = None) -> TokenfallError:
    """A new error that says the same, or `message`: an error that is kept must not hold the frames it was raised in."""
    message = error.message if message is None else message
    return type(error)(message, retry_after_s=error.retry_after_s, param=error.param, status=error.status)
