from collections.abc import Mapping

import pytest

from tokenfall.api.lazy_handlers import CachedResponse, LazyHandlers
from tokenfall.api.providers import FunctionHandler
from tokenfall.errors import InvalidRequest
from tokenfall.http.request import Request
from tokenfall.http.response import Response
from tokenfall.wire.api_error import ApiError

from tests.doubles.requests import request

FAULT = ApiError(status=418, code="teapot", message="short and stout")


def worded(name: str) -> FunctionHandler:
    def handle(request: Request) -> Response:
        return Response(200, f"{name} {request.path}".encode())

    def refuse(request: Request, api_error: ApiError) -> Response:
        return Response(404, f"{name} {api_error.code}".encode())

    return FunctionHandler(handle, refuse)


class Workshop:
    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Mapping[str, FunctionHandler]:
        self.made += 1
        return {"a": worded("a"), "b": worded("b")}


def test_handlers_are_created_at_the_first_request() -> None:
    workshop = Workshop()
    ondemand = LazyHandlers(workshop)
    ondemand.handler("a"), ondemand.refuse("a")

    assert workshop.made == 0


def test_all_handlers_are_created_once() -> None:
    workshop = Workshop()
    ondemand = LazyHandlers(workshop)
    a, b = ondemand.handler("a"), ondemand.handler("b")
    answers = [a(request("/1")), b(request("/2")), a(request("/3")), ondemand.refuse("b")(request("/"), FAULT)]

    assert [answer.body for answer in answers if isinstance(answer, Response)] == [
        b"a /1",
        b"b /2",
        b"a /3",
        b"b teapot",
    ]
    assert workshop.made == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_handlers_get_no_body_that_names_a_member_twice(method: str) -> None:
    handler = LazyHandlers(Workshop()).handler("a")
    twice = b'{"a":1,"a":1}'

    with pytest.raises(InvalidRequest, match="a: an object has this member twice"):
        handler(request("/1", method=method, body=twice))
    assert isinstance(handler(request("/1", method=method, body=twice.replace(b'"a":1,', b""))), Response)
    assert isinstance(handler(request("/1", method="GET", body=twice)), Response)


def test_handlers_created_in_a_thread_are_created_once() -> None:
    workshop = Workshop()
    ondemand = LazyHandlers(workshop)
    a = ondemand.handler("a")
    ondemand.load()
    answer = a(request("/1"))

    assert isinstance(answer, Response)
    assert (answer.body, workshop.made) == (b"a /1", 1)


class Writing:
    """Makes a response, and counts how often."""

    def __init__(self, *, fails: int = 0) -> None:
        self.made = 0
        self._fails = fails

    def __call__(self) -> Response:
        self.made += 1
        if self.made <= self._fails:
            raise OSError("no room")
        return Response(200, b"written")


@pytest.mark.parametrize("loads", [0, 1])
def test_response_is_created_once(loads: int) -> None:
    writing = Writing()
    once = CachedResponse(writing)
    for _ in range(loads):
        once.load()

    assert once(request()) is once(request())
    assert writing.made == 1


def test_failed_response_creation_is_retried() -> None:
    once = CachedResponse(Writing(fails=1))
    with pytest.raises(OSError, match="no room"):
        once.load()

    assert once(request()).body == b"written"
