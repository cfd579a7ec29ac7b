"""Error responses of the Anthropic dialect. Pure.

Source: the Claude API reference, "Errors"; the messages for invalid fields are those of the API (pydantic's wording).
"""

import re

import msgspec

from tokenfall.errors import InvalidRequest, NotFound
from tokenfall.wire import sse
from tokenfall.wire.api_error import ApiError

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TYPE_NAMES = {
    "int": "integer",
    "float": "number",
    "str": "string",
    "bool": "boolean",
    "array": "list",
    "object": "dictionary",
}
_MISSING = re.compile(r"Object missing required field `(.+)`")
_BOUND = re.compile(r"Expected `\w+(?: \| null)?` ([<>]=) (\S+)")
_LENGTH = re.compile(r"Expected `str(?: \| null)?` of length ([<>]=) (\d+)")
_KIND = re.compile(r"Expected `([^`]+)`, got")
_PATTERN = re.compile(r"Expected `str(?: \| null)?` matching regex (.+)")
_PLACE = re.compile(r"\[(\d+)\]")
_encode = msgspec.json.encode


def error(api_error: ApiError) -> bytes:
    """An error response body."""
    kind = _TYPES.get(api_error.status, "api_error" if api_error.status >= 500 else "invalid_request_error")
    document: dict[str, object] = {"type": kind, "message": api_error.message}
    if api_error.code == NotFound.code and api_error.param == "thread":
        document["details"] = {"error_code": "thread_not_found"}
    return _encode({"type": "error", "error": document, "request_id": api_error.request_id or None})


def error_frame(api_error: ApiError, _frames: int) -> bytes:
    """The last frame of a stream that fails: no `message_stop` follows."""
    return sse.frame(error(api_error), "error")


def invalid(field: str, text: str) -> InvalidRequest:
    """The error for one field, with its path in the API's form: `messages.0.content`."""
    return InvalidRequest(f"{field}: {text}", param=field)


def rephrased(text: str, field: str) -> InvalidRequest:
    """Translate a msgspec error message for `field` to the API's wording."""
    field = _PLACE.sub(r".\1", field)
    if missing := _MISSING.fullmatch(text):
        name = missing[1]
        return invalid(name if field in {"", name} else f"{field}.{name}", "Field required")
    if bound := _BOUND.match(text):
        side = "greater" if bound[1] == ">=" else "less"
        return invalid(field, f"Input should be {side} than or equal to {bound[2].removesuffix('.0')}")
    if length := _LENGTH.match(text):
        side = "least" if length[1] == ">=" else "most"
        return invalid(field, f"String should have at {side} {length[2]} characters")
    if pattern := _PATTERN.match(text):
        before = pattern[1].removesuffix("Z'")
        regex = before.rstrip("\\") + "$'" if before.endswith("\\") else pattern[1]  # the API writes $ for \Z
        return invalid(field, f"String should match pattern {regex}")
    if kind := _KIND.match(text):
        types = [_TYPE_NAMES.get(name, name) for name in kind[1].split(" | ") if name != "null"]
        return invalid(field, f"Input should be a valid {' or '.join(types)}")
    return invalid(field, text)
