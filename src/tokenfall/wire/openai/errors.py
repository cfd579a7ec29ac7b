"""How the OpenAI dialects say what went wrong. Pure.

Source: the OpenAI API reference, "Errors", and the bodies that api.openai.com sends; Groq's are the same.
"""

import msgspec

from tokenfall.wire import sse
from tokenfall.wire.api_error import Fault

_TYPES = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
_CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}
_encode = msgspec.json.encode


def error(fault: Fault) -> bytes:
    """The body of an answer that is none."""
    return _encode(
        {
            "error": {
                "message": fault.message,
                "type": _TYPES.get(fault.status, "server_error" if fault.status >= 500 else "invalid_request_error"),
                "param": fault.param,
                "code": _code(fault),
            }
        }
    )


def _code(fault: Fault) -> str:
    if fault.code == "not_found" and fault.param == "model":
        return "model_not_found"
    return _CODES.get(fault.code, fault.code)


def broken(fault: Fault, _frames: int = 0) -> bytes:
    """The last frame of a stream that breaks: no `[DONE]` follows."""
    return sse.frame(error(fault))
