import json

import pytest

from tokenfall.wire.anthropic.errors import error, rephrased
from tokenfall.wire.api_error import ApiError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, b"invalid_request_error"),
        (401, b"authentication_error"),
        (402, b"billing_error"),
        (403, b"permission_error"),
        (404, b"not_found_error"),
        (405, b"invalid_request_error"),
        (409, b"conflict_error"),
        (413, b"request_too_large"),
        (422, b"invalid_request_error"),
        (429, b"rate_limit_error"),
        (500, b"api_error"),
        (502, b"api_error"),
        (503, b"overloaded_error"),
        (504, b"timeout_error"),
        (529, b"overloaded_error"),
    ],
)
def test_status_is_mapped_to_the_error_type(status: int, kind: bytes) -> None:
    encoded = error(ApiError(status=status, code="x", message="m", request_id=""))

    assert encoded == b'{"type":"error","error":{"type":"%b","message":"m"},"request_id":null}' % kind


@pytest.mark.parametrize(
    ("text", "field", "param", "message"),
    [
        ("Object missing required field `a`", "", "a", "Field required"),
        ("Object missing required field `a`", "a", "a", "Field required"),
        ("Object missing required field `a`", "b[0].c[12]", "b.0.c.12.a", "Field required"),
        ("Expected `int` >= 1", "a", "a", "Input should be greater than or equal to 1"),
        ("Expected `float | null` <= 1.0", "a", "a", "Input should be less than or equal to 1"),
        ("Expected `str` of length >= 1", "a", "a", "String should have at least 1 characters"),
        ("Expected `str | null` of length <= 9", "a", "a", "String should have at most 9 characters"),
        ("Expected `str` matching regex '^a$'", "a", "a", "String should match pattern '^a$'"),
        ("Expected `str | array | null`, got `int`", "a", "a", "Input should be a valid string or list"),
        ("Expected `bytes`, got `int`", "a", "a", "Input should be a valid bytes"),
        ("Invalid enum value 'x'", "a", "a", "Invalid enum value 'x'"),
    ],
)
def test_error_has_the_wording_of_the_api(text: str, field: str, param: str, message: str) -> None:
    refused = rephrased(text, field)

    assert (refused.param, refused.message) == (param, f"{param}: {message}")


def test_unknown_thread_has_the_error_code_of_the_sdk() -> None:
    document = json.loads(error(ApiError(status=404, code="not_found", message="x", param="thread")))

    assert document["error"]["details"] == {"error_code": "thread_not_found"}
    assert "details" not in json.loads(error(ApiError(status=404, code="not_found", message="x")))["error"]
