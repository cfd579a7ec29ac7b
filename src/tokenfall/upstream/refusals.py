"""Maps the provider's responses to errors: status, content type and encoding, Retry-After. Pure."""

from email.utils import parsedate_to_datetime
from time import time

from tokenfall.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tokenfall.wire import sse
from tokenfall.wire.upstream.errors import document_error, error_body_message, error_body_param, stream_error
from tokenfall.wire.upstream.lenient_json import NotJSON, decode_leniently

MAX_RETRY_AFTER_S = 86_400.0
MAX_ERROR_BODY_BYTES = 65_536
"""A larger body is not read as an error."""
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_CALLER_ERRORS = (400, 404, 413, 422)
_PROXY_KEY = 407


def refusal(status: int, body: bytes, *, retry_after: str | None) -> UpstreamError:
    """The error for a status other than 200.

    Its message includes the provider's for a 4xx, except 401, 403 and 429, which may name the server's account. The
    error of a 401, 403 or 407 has no status: a client would think that its own key was refused.
    """
    if status in (401, 403):
        return UpstreamKeyRefused("the upstream refused the server's key")
    if status == 429:
        wait_s = retry_after_s(retry_after)
        return UpstreamRateLimited("the upstream rate-limited this server", retry_after_s=wait_s, status=status)
    if status in _CALLER_ERRORS:
        message = error_body_message(body) or str(status)
        param = error_body_param(body)
        return UpstreamRefused(f"the upstream refused the request: {message}", status=status, param=param)
    if 500 <= status < 600:
        message = f"the upstream failed with status {status}"
        return UpstreamFailed(message, retry_after_s=retry_after_s(retry_after), status=status)
    message = f"the upstream responded with status {status}"
    if status == _PROXY_KEY or not 400 <= status < 500:  # it would be wrong for the caller
        return UpstreamError(message)
    detail = error_body_message(body)
    return UpstreamError(f"{message}: {detail}" if detail else message, status=status)


def is_event_stream(content_type: str | None) -> bool:
    """Whether a 200 is an event stream. Without a content type it is assumed to be; the reader then checks it."""
    return content_type is None or content_type.partition(";")[0].strip().lower() == sse.CONTENT_TYPE


def looks_like_events(start: bytes) -> bool:
    """Whether a body starts as an event stream does. Some proxies send one with another content type."""
    return start.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").startswith(_FIELDS)


def no_stream(body: bytes) -> UpstreamBroken:
    """The error for a 200 that is not a stream: an error document, a complete response, an HTML page of a proxy."""
    message = error_body_message(body)
    return stream_error(message) if message else UpstreamMalformed("the upstream did not respond with a stream")


def error_document(body: bytes) -> UpstreamBroken | None:
    """The error for a complete 200 response that is not JSON or is an error document; None for any other."""
    if body.lstrip()[:1] not in (b"{", b"["):
        return UpstreamMalformed("the upstream did not respond with JSON")
    if len(body) > MAX_ERROR_BODY_BYTES:
        return None
    try:
        document = decode_leniently(body)
    except NotJSON:
        return UpstreamMalformed("the upstream did not respond with JSON")
    if isinstance(document, dict) and document.get("object") == "response":
        return None  # a failed response of OpenAI's Responses API has an `error`, too
    message = document_error(document)
    return None if message is None else stream_error(message)


def encoding_error(content_encoding: str | None) -> UpstreamMalformed | None:
    """The error for a compressed body, although the request has `Accept-Encoding: identity`; None for any other."""
    if content_encoding is None or content_encoding.strip().lower() in ("", "identity"):
        return None
    return UpstreamMalformed("the upstream's response is compressed, which was not requested")


def retry_after_s(text: str | None) -> float | None:
    """A Retry-After header in seconds, None if it is absent or invalid; RFC 9110, section 10.2.3."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
