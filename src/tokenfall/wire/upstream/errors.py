"""Extracts error messages from provider responses in every known form: error bodies, and errors inside a 200. Pure.

Forms: `{"error": {"message": …}}` (OpenAI), `{"error": "…"}` (Ollama), `[{"error": …}]` (Gemini's compatible API),
`{"object": "error", "message": …}` (older vLLM), `{"detail": "…"}` and `{"detail": [{"loc": …, "msg": …}]}` (FastAPI),
`{"message": …, "code": …}` (Cohere, Mistral) with `msg`, `status` or `statusCode`, `{"error_message": …}`,
`{"error_code": …, "error_msg": …}` (Baidu), `{"error_code": …, "text": …}` (FastChat), `{"errors": [{"message": …}]}`
and `{"success": false, …}` (Cloudflare), `{"fault": {"faultstring": …}}` (Apigee), `{"Error": {"Message": …}}` (AWS),
`{"exception": …}`, `{"base_resp": {"status_code": …, "status_msg": …}}` (MiniMax), `{"status": "error", "message": …}`,
`{"x_groq": {"error": "…"}}`, `{"choices": [{"error": …}]}` (OpenRouter), a JSON string, and plain text.
"""

from typing import Any

from tokenfall.errors import UpstreamStreamError
from tokenfall.wire.upstream.lenient_json import NotJSON, decode_leniently
from tokenfall.wire.upstream.surrogates import without_surrogates
from tokenfall.wire.upstream.usage import whole_number

MAX_MESSAGE_CHARACTERS = 300
_MAX_PARAM = 100
_FIRST_ERROR_STATUS = 400
_MAX_REASONS = 8
_MAX_DEPTH = 4

_MESSAGES = (
    "message", "Message", "error_message", "error_msg", "error", "errors", "err", "detail", "details", "msg",
    "status_msg", "reason", "description", "text", "issues", "fault", "faultstring", "Error", "exception", "base_resp",
    "metadata", "raw",
)  # fmt: skip
"""Members of an error that may hold its message, most specific first."""
_ONLY_IN_ERRORS = ("errors", "detail", "fault", "Error", "exception")
"""Members of a document without choices that only an error has."""
_STATUSES = ("status", "statusCode", "status_code")
_SUCCESSES = (200, "0", "200", "ok", "success")
"""Values of `code` that are not of an error."""
_NAMES = ("code", "type", "status")
"""Members that identify an error without a message."""


def stream_error(message: str) -> UpstreamStreamError:
    """An error that a provider reported inside a 200; `message` may be empty."""
    return UpstreamStreamError(
        f"the upstream's stream failed: {message}" if message else "the upstream's stream failed"
    )


def document_error(document: object) -> str | None:
    """The message of a document that reports an error, "" if it has none; None if the document is not an error."""
    if isinstance(document, list):
        found = [message for item in document[:_MAX_REASONS] if (message := document_error(item)) is not None]
        return "; ".join(filter(None, found))[:MAX_MESSAGE_CHARACTERS] if found else None
    if not isinstance(document, dict):
        return None
    if _is_present(document.get("error")):
        return error_message(document["error"]) or error_message(document.get("message"))
    if _is_error(document):
        return error_message(document)
    choices = document.get("choices")
    for holder in (document.get("x_groq"), *(choices if isinstance(choices, list) else [choices])):
        if isinstance(holder, dict) and _is_present(holder.get("error")):
            return error_message(holder["error"])
    status = document.get("base_resp")
    return error_message(status) if isinstance(status, dict) and _is_present(status.get("status_code")) else None


def _is_error(document: dict[str, Any]) -> bool:
    """Whether a document without `error` reports one."""
    if "error" in (document.get("object"), document.get("type")) or document.get("error_message"):
        return True
    if document.get("choices") or document.get("object"):
        return False
    if document.get("success") is False or document.get("status") == "error":
        return True
    if any(document.get(name) for name in _ONLY_IN_ERRORS) or _is_error_code(document.get("error_code")):
        return True
    return bool((document.get("message") or document.get("msg")) and _has_error_number(document))


def _is_error_code(code: object) -> bool:
    return _is_present(code) and code not in _SUCCESSES


def _has_error_number(document: dict[str, Any]) -> bool:
    """Whether a document with a message has the code or the HTTP status of an error."""
    if _is_error_code(document.get("code")):
        return True
    return any((whole_number(document.get(name)) or 0) >= _FIRST_ERROR_STATUS for name in _STATUSES)


def _is_present(error: object) -> bool:
    """Whether an `error` member has a value that reports an error."""
    return error is not None and error is not False and error not in ("", 0, [])


def error_message(error: object, depth: int = 0) -> str:
    """The message of a value that is known to be an error, in any form; at most 300 characters, "" without one.

    `depth` is the number of values around it.
    """
    if isinstance(error, str):
        return without_surrogates(error.strip()[:MAX_MESSAGE_CHARACTERS])
    if isinstance(error, int | float) and not isinstance(error, bool):
        return str(error)[:MAX_MESSAGE_CHARACTERS]
    if depth == _MAX_DEPTH:
        return ""
    if isinstance(error, list):
        reasons = (error_message(item, depth + 1) for item in error[:_MAX_REASONS])
        return "; ".join(filter(None, reasons))[:MAX_MESSAGE_CHARACTERS]
    if not isinstance(error, dict):
        return ""
    for name in _MESSAGES:
        if message := error_message(error.get(name), depth + 1):
            return f"{_place(error)}{message}"[:MAX_MESSAGE_CHARACTERS]
    return next((text for name in _NAMES if (text := error_message(error.get(name), _MAX_DEPTH))), "")


def _place(error: dict[str, Any]) -> str:
    """Path of the invalid field in FastAPI's format, as a prefix of the message."""
    place = error.get("loc")
    if not isinstance(place, list) or not place:
        return ""
    return ".".join(str(step) for step in place[:_MAX_REASONS] if isinstance(step, str | int)) + ": "


def error_body_message(body: bytes) -> str:
    """The message in an error response body, "" if there is none; at most 300 characters."""
    try:
        document = decode_leniently(body)
    except NotJSON:
        return _plain_text(body[: 4 * MAX_MESSAGE_CHARACTERS].decode(errors="replace"))
    found = document_error(document)
    if found is None and isinstance(document, str):
        return _plain_text(document)
    if found is None and isinstance(document, dict) and not document.get("choices"):
        return next(filter(None, (error_message(document[name]) for name in _MESSAGES if document.get(name))), "")
    return found or ""


def _plain_text(text: str) -> str:
    """A plain text body as one line, "" if it looks like markup or binary data."""
    line = " ".join(without_surrogates(text[:MAX_MESSAGE_CHARACTERS]).split())
    return line if line[:1].isalnum() and line.isprintable() else ""


def error_body_param(body: bytes) -> str | None:
    """The invalid field (`error.param`) in an error response body, None if it has none."""
    try:
        document = decode_leniently(body)
    except NotJSON:
        return None
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return without_surrogates(param[:_MAX_PARAM]) if isinstance(param, str) else None
