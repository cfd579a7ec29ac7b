"""What a provider's refusal means: whose fault it is and when to come back. Pure."""

from email.utils import parsedate_to_datetime
from time import time

from tokenfall.errors import (
    UpstreamError,
    UpstreamKeyRefused,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamUnreachable,
)
from tokenfall.wire import openai

MAX_RETRY_AFTER_S = 86_400.0
_CALLERS_MISTAKES = (400, 404, 413, 422)


def refusal(status: int, body: bytes, *, retry_after: str | None) -> UpstreamError:
    """The error for an answer other than 200. The provider's words reach the caller only where the caller erred."""
    if status in (401, 403):
        return UpstreamKeyRefused("the upstream refused the server's key")
    if status == 429:
        return UpstreamRateLimited("the upstream limits this server", retry_after_s=retry_after_s(retry_after))
    if status in _CALLERS_MISTAKES:
        return UpstreamRefused(f"the upstream refused the request: {openai.error_body_message(body) or status}")
    if status >= 500:
        message = f"the upstream failed with status {status}"
        return UpstreamUnreachable(message, retry_after_s=retry_after_s(retry_after))
    return UpstreamError(f"the upstream answered with status {status}")


def retry_after_s(text: str | None) -> float | None:
    """A Retry-After header in seconds, None when there is none or it is junk; RFC 9110, section 10.2.3."""
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
