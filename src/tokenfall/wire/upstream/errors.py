"""Errors of a provider in every form that is in use: bodies of refusals, and errors inside a 200. Pure.

Forms: `{"error": {"message": …}}` (OpenAI), `{"error": "…"}` (Ollama), `[{"error": …}]` (Gemini's compatible API),
`{"object": "error", "message": …}` (older vLLM), `{"detail": "…"}` and `{"detail": [{"loc": …, "msg": …}]}` (FastAPI),
`{"message": …, "code": …}` (Cohere, Mistral), `{"error_message": …}`, a JSON string, and plain text.
"""

from typing import Any

from tokenfall.errors import UpstreamStreamError
from tokenfall.wire.upstream.lenient_json import NotJSON, decode_leniently
from tokenfall.wire.upstream.surrogates import without_halves

MAX_WORDS = 300
_MAX_PARAM = 100
_MOST_REASONS = 8
_DEEPEST = 4

_MESSAGES = ("message", "error_message", "error", "detail", "details", "msg", "reason", "description")
"""Members of an error that hold its words, the most telling first."""
_NAMES = ("code", "type", "status")
"""Members that name the error, for one that has no words."""


def stream_error(message: str) -> UpstreamStreamError:
    """An error that a provider reported inside a 200; `message` may be empty."""
    return UpstreamStreamError(f"the upstream broke off: {message}" if message else "the upstream broke off")


def document_error(document: object) -> str | None:
    """The words of a document that reports an error, "" where it gives none; None for every other document."""
    if isinstance(document, list):
        found = [words for item in document[:_MOST_REASONS] if (words := document_error(item)) is not None]
        return "; ".join(filter(None, found))[:MAX_WORDS] if found else None
    if not isinstance(document, dict):
        return None
    if _is_present(document.get("error")):
        return _words_of(document["error"]) or _words_of(document.get("message"))
    if "error" in (document.get("object"), document.get("type")) or document.get("error_message"):
        return error_words(document)
    if document.get("choices") or document.get("object"):
        return None
    if document.get("detail") or (document.get("message") and _is_present(document.get("code"))):
        return error_words(document)
    return None


def error_words(error: object) -> str:
    """The words of what is known to be an error, whatever its form; at most 300 characters."""
    return _words_of(error)


def _is_present(error: object) -> bool:
    """Whether an `error` member reports anything."""
    return error is not None and error is not False and error not in ("", 0, [])


def _words_of(error: object, depth: int = 0) -> str:
    if isinstance(error, str):
        return without_halves(error.strip()[:MAX_WORDS])
    if isinstance(error, int | float) and not isinstance(error, bool):
        return str(error)[:MAX_WORDS]
    if depth == _DEEPEST:
        return ""
    if isinstance(error, list):
        reasons = (_words_of(item, depth + 1) for item in error[:_MOST_REASONS])
        return "; ".join(filter(None, reasons))[:MAX_WORDS]
    if not isinstance(error, dict):
        return ""
    for name in _MESSAGES:
        if words := _words_of(error.get(name), depth + 1):
            return f"{_place(error)}{words}"[:MAX_WORDS]
    return next((words for name in _NAMES if (words := _words_of(error.get(name), _DEEPEST))), "")


def _place(error: dict[str, Any]) -> str:
    """The field at fault, as FastAPI names it."""
    place = error.get("loc")
    if not isinstance(place, list) or not place:
        return ""
    return ".".join(str(step) for step in place[:_MOST_REASONS] if isinstance(step, str | int)) + ": "


def error_body_message(body: bytes) -> str:
    """The words in the body of an error response, "" where there are none; at most 300 characters."""
    try:
        document = decode_leniently(body)
    except NotJSON:
        return _plain_text(body[: 4 * MAX_WORDS].decode(errors="replace"))
    found = document_error(document)
    if found is None and isinstance(document, str):
        return _plain_text(document)
    if found is None and isinstance(document, dict) and not document.get("choices"):
        return _words_of(document.get("message"))
    return found or ""


def _plain_text(text: str) -> str:
    """A body that is neither an object nor markup, if it reads like words."""
    words = " ".join(without_halves(text[:MAX_WORDS]).split())
    return words if words[:1].isalnum() and words.isprintable() else ""


def error_body_param(body: bytes) -> str | None:
    """The field at fault that the body of an error response names, None where it names none."""
    try:
        document = decode_leniently(body)
    except NotJSON:
        return None
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return without_halves(param[:_MAX_PARAM]) if isinstance(param, str) else None
