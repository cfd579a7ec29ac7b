"""Error responses of the OpenAI dialects. Pure.

Source: the OpenAI API reference, "Errors", and the bodies that api.openai.com sends; Groq uses the same format.
"""

import msgspec

from tokenfall.errors import InvalidRequest
from tokenfall.wire import sse
from tokenfall.wire.api_error import ApiError

_TYPES = {403: "permission_error", 429: "rate_limit_error"}
"""Of other statuses: `invalid_request_error` below 500, else `server_error`."""
_CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}
_encode = msgspec.json.encode


def error(api_error: ApiError) -> bytes:
    """An error response body."""
    kind = _TYPES.get(api_error.status, "server_error" if api_error.status >= 500 else "invalid_request_error")
    code = _CODES.get(api_error.code, api_error.code)
    if api_error.code == "not_found" and api_error.param == "model":
        code = "model_not_found"
    members = {"message": api_error.message, "type": kind, "param": api_error.param, "code": code}
    return _encode({"error": members})


def missing_parameter(param: str) -> InvalidRequest:
    """The error for a missing field, in the API's wording."""
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param)


def error_frame(api_error: ApiError, _frames: int) -> bytes:
    """The last frame of a stream that fails: no `[DONE]` follows."""
    return sse.frame(error(api_error))
