import json

import pytest

from tokenfall.wire.api_error import ApiError
from tokenfall.wire.openai import errors as openai_errors


@pytest.mark.parametrize(
    ("status", "code", "param", "type_", "expected"),
    [
        (400, "invalid_request", "messages[0].role", "invalid_request_error", "invalid_request"),
        (401, "unauthorized", None, "invalid_request_error", "invalid_api_key"),
        (403, "origin_not_allowed", None, "permission_error", "origin_not_allowed"),
        (404, "not_found", None, "invalid_request_error", "not_found"),
        (404, "not_found", "model", "invalid_request_error", "model_not_found"),
        (418, "teapot", None, "invalid_request_error", "teapot"),
        (429, "rate_limited", None, "rate_limit_error", "rate_limit_exceeded"),
        (500, "internal_error", None, "server_error", "internal_error"),
        (502, "upstream_reset", None, "server_error", "upstream_reset"),
    ],
)
def test_error_has_the_type_of_its_status_and_the_openai_code(
    status: int, code: str, param: str | None, type_: str, expected: str
) -> None:
    body = openai_errors.error(ApiError(status=status, code=code, message="m", param=param, request_id="r"))

    shown = json.dumps(param).encode()
    assert body == b'{"error":{"message":"m","type":"%b","param":%b,"code":"%b"}}' % (
        type_.encode(),
        shown,
        expected.encode(),
    )
