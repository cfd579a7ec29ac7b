from collections.abc import Mapping

import pytest

from tokenfall.api.lazy_handlers import LazyHandlers
from tokenfall.api.providers import FunctionHandler
from tokenfall.errors import InvalidRequest
from tokenfall.http.request import Request
from tokenfall.http.response import Response
from tokenfall.wire.api_error import ApiError

from tests.doubles.requests import request

FAULT = ApiError(status=418, code="teapot", message="short and stout")


def encode_error(name: str) -> FunctionHandler:
    def handle(request: Request) -> Response:
        return Response(200, f"{name} {request.path}".encode())

    def refuse(request: Request, api_error: ApiError) -> Response:
        return Response(404, f"{name} {api_error.code}".encode())

    return FunctionHandler(handle, refuse)


class HandlerFactory:
    def __init__(self, *, fails: int = 0) -> None:
        self.created = 0
        self._fails = fails

    def __call__(self) -> Mapping[str, FunctionHandler]:
        self.created += 1
        if self.created <= self._fails:
            raise OSError("no room")
        return {"a": encode_error("a"), "b": encode_error("b")}


def test_handlers_are_created_at_the_first_request() -> None:
    factory = HandlerFactory()
    lazy = LazyHandlers(factory)
    lazy.handler("a"), lazy.refuse("a")

    assert factory.created == 0


def test_all_handlers_are_created_once() -> None:
    factory = HandlerFactory()
    lazy = LazyHandlers(factory)
    a, b = lazy.handler("a"), lazy.handler("b")
    responses = [a(request("/1")), b(request("/2")), a(request("/3")), lazy.refuse("b")(request("/"), FAULT)]

    assert [response.body for response in responses if isinstance(response, Response)] == [
        b"a /1",
        b"b /2",
        b"a /3",
        b"b teapot",
    ]
    assert factory.created == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_handlers_get_no_body_that_names_a_member_twice(method: str) -> None:
    handler = LazyHandlers(HandlerFactory()).handler("a")
    twice = b'{"a":1,"a":1}'

    with pytest.raises(InvalidRequest, match="a: an object has this member twice"):
        handler(request("/1", method=method, body=twice))
    assert isinstance(handler(request("/1", method=method, body=twice.replace(b'"a":1,', b""))), Response)
    assert isinstance(handler(request("/1", method="GET", body=twice)), Response)


def test_handlers_created_in_a_thread_are_created_once() -> None:
    factory = HandlerFactory()
    lazy = LazyHandlers(factory)
    a = lazy.handler("a")
    lazy.load()
    response = a(request("/1"))

    assert isinstance(response, Response)
    assert (response.body, factory.created) == (b"a /1", 1)


def test_failed_creation_is_retried() -> None:
    lazy = LazyHandlers(HandlerFactory(fails=1))
    with pytest.raises(OSError, match="no room"):
        lazy.load()

    assert isinstance(lazy.handler("a")(request("/1")), Response)
