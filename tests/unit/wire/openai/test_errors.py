import pytest

from tokenfall.wire.api_error import ApiError
from tokenfall.wire.openai import errors as openai_errors


def test_error_has_message_type_param_and_code() -> None:
    api_error = ApiError(status=400, code="invalid_request", message="no", param="messages[0].role", request_id="r")

    assert openai_errors.error(api_error) == (
        b'{"error":{"message":"no","type":"invalid_request_error","param":"messages[0].role","code":"invalid_request"}}'
    )


@pytest.mark.parametrize(
    ("status", "code", "type_", "expected"),
    [
        (401, "unauthorized", b"invalid_request_error", b"invalid_api_key"),
        (403, "origin_not_allowed", b"permission_error", b"origin_not_allowed"),
        (404, "not_found", b"invalid_request_error", b"not_found"),
        (418, "teapot", b"invalid_request_error", b"teapot"),
        (429, "rate_limited", b"rate_limit_error", b"rate_limit_exceeded"),
        (500, "internal_error", b"server_error", b"internal_error"),
        (502, "upstream_reset", b"server_error", b"upstream_reset"),
    ],
)
def test_error_has_the_type_of_its_status_and_the_openai_code(
    status: int, code: str, type_: bytes, expected: bytes
) -> None:
    body = openai_errors.error(ApiError(status=status, code=code, message="m"))

    assert body == b'{"error":{"message":"m","type":"%b","param":null,"code":"%b"}}' % (type_, expected)


def test_unknown_model_has_its_own_code() -> None:
    api_error = ApiError(status=404, code="not_found", message="m", param="model")

    assert b'"code":"model_not_found"' in openai_errors.error(api_error)
