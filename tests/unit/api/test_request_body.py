from collections.abc import Callable, Coroutine

import pytest

from tokenfall.api.request_body import handled
from tokenfall.errors import InvalidRequest
from tokenfall.http.request import Request
from tokenfall.http.response import Response
from tokenfall.wire.request_json import SHORT_BYTES

from tests.doubles.requests import request

TWICE = b'{"a":1,"a":2'
MANY = b'{"many":[' + b",".join([b'{"a":1}'] * 32_000) + b"]"


def size(request: Request) -> Response:
    return Response(200, str(len(request.body)).encode())


async def size_later(request: Request) -> Response:
    return size(request)


def post(body: bytes) -> Request:
    return request("/", method="POST", body=body)


@pytest.mark.parametrize("padding", [0, SHORT_BYTES])
def test_small_body_is_checked_and_handled_synchronously(padding: int) -> None:
    response = handled(post(b'{"a":1}' + b" " * padding), size)

    assert isinstance(response, Response)
    assert response.body == str(7 + padding).encode()
    with pytest.raises(InvalidRequest, match="a: an object has this member twice"):
        handled(post(TWICE + b"}" + b" " * padding), size)


@pytest.mark.parametrize("handler", [size, size_later])
async def test_body_of_many_values_is_checked_in_turns_of_the_loop(
    handler: Callable[[Request], Response | Coroutine[None, None, Response]],
) -> None:
    response = handled(post(MANY + b"}"), handler)

    assert isinstance(response, Coroutine)
    complete = await response
    assert isinstance(complete, Response)
    assert complete.body == str(len(MANY) + 1).encode()
    response = handled(post(MANY + b',"many":0}'), handler)
    assert isinstance(response, Coroutine)
    with pytest.raises(InvalidRequest, match="many: an object has this member twice"):
        await response
