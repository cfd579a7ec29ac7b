"""Errors as RFC 9457 problem documents. The only place that maps an error code to a status."""

from math import ceil

from tokenfall import logs
from tokenfall.errors import SimulatedFailure, TokenfallError
from tokenfall.http.encoding import phrase
from tokenfall.http.request import Request
from tokenfall.http.response import Response
from tokenfall.json_text import flat_object
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.plain import stream as plain_stream

_log = logs.get(__name__)

CONTENT_TYPE = "application/problem+json"

STATUS_OF_CODE = {
    "invalid_request": 400,
    "unauthorized": 401,
    "unsupported_content_coding": 415,
    "origin_not_allowed": 403,
    "not_found": 404,
    "conversation_changed": 409,
    "conversation_too_long": 413,
    "resume_expired": 410,
    "stopped": 409,
    "detached_limit": 409,
    "interrupted": 409,
    "idempotency_mismatch": 422,
    "idempotency_unavailable": 400,
    "rate_limited": 429,
    "request_memory_full": 503,
    "response_memory_full": 503,
    "shutting_down": 503,
    "store_unavailable": 503,
    "turn_lost": 503,
    "internal_error": 500,
    "simulated_failure": 500,
    "upstream_error": 502,
    "upstream_unreachable": 502,
    "upstream_failed": 502,
    "upstream_timeout": 504,
    "upstream_connect_timeout": 504,
    "upstream_first_token_timeout": 504,
    "upstream_next_token_timeout": 504,
    "upstream_total_timeout": 504,
    "upstream_key_refused": 502,
    "upstream_untrusted": 502,
    "upstream_rate_limited": 503,
    "upstream_refused": 400,
    "upstream_broken": 502,
    "upstream_reset": 502,
    "upstream_truncated": 502,
    "upstream_malformed": 502,
    "upstream_stream_error": 502,
}

CODE_OF_STATUS = {
    400: "malformed_request",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    414: "target_too_long",
    417: "expectation_failed",
    431: "head_too_large",
    501: "not_implemented",
    503: "overloaded",
    505: "version_not_supported",
}
"""Codes of errors that are sent before a handler runs, by status."""

INTERNAL = "internal error; the server's log has the details under the request id"
"""The message for every unknown error; only the log has the details."""


def problem(request: Request, api_error: ApiError, *, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A problem document. Its `type` is `about:blank`; programs should read its `code`."""
    document: dict[str, str | int] = {
        "type": "about:blank",
        "title": phrase(api_error.status),
        "status": api_error.status,
        "detail": api_error.message,
        "code": api_error.code,
    }
    if api_error.param is not None:
        document["param"] = api_error.param
    if request.id:
        document["request_id"] = request.id
    return Response(
        api_error.status,
        flat_object(document),
        content_type=CONTENT_TYPE,
        headers=(("cache-control", "no-store"), *headers_of(api_error), *headers),
    )


def headers_of(api_error: ApiError) -> tuple[tuple[str, str], ...]:
    """The response headers of an error, the same in all dialects."""
    headers: tuple[tuple[str, str], ...] = ()
    if api_error.retry_after_s is not None:
        headers = (("retry-after", str(_retry_after(api_error.retry_after_s))),)
    if api_error.code == "upstream_key_refused":
        headers = (*headers, ("x-should-retry", "false"))  # read by the SDKs of OpenAI and Anthropic
    return (*headers, ("www-authenticate", "Bearer")) if api_error.code == "unauthorized" else headers


def of_status(request: Request, status: int, *, detail: str) -> ApiError:
    """An error that is defined by its status: one of the HTTP server's own."""
    retry_after_s = 1.0 if status == 503 else None
    return ApiError(
        status=status, code=CODE_OF_STATUS[status], message=detail, request_id=request.id, retry_after_s=retry_after_s
    )


def of_error(request: Request, error: Exception, *, as_provider: bool = False) -> ApiError:
    """The error in the form that clients may see. Nothing of an unknown error is included.

    `as_provider`: use the provider's status, if the provider caused the error.
    """
    if not isinstance(error, TokenfallError):
        return ApiError(status=500, code="internal_error", message=INTERNAL, request_id=request.id)
    return ApiError(
        status=((as_provider or isinstance(error, SimulatedFailure)) and error.status) or STATUS_OF_CODE[error.code],
        code=error.code,
        message=error.message,
        param=error.param,
        request_id=request.id,
        retry_after_s=error.retry_after_s,
    )


def _retry_after(seconds: float) -> int:
    """Whole seconds for Retry-After, at least 1."""
    return max(1, ceil(seconds))


def error_event(error: Exception) -> bytes:
    """The last frame of a failed stream. Unknown errors are logged, never sent."""
    if isinstance(error, TokenfallError):
        fields: dict[str, int] = {}
        if error.retry_after_s is not None:
            fields = {"retry_after": _retry_after(error.retry_after_s)}
        return plain_stream.error_frame(error.code, error.message, **fields)
    _log.error("a stream failed", exc_info=error)
    return plain_stream.error_frame("internal_error", INTERNAL)
