import asyncio
import threading
from collections.abc import Mapping

import pytest

from tokenfall.api.ondemand import Once, OnDemand, Worded
from tokenfall.edge.request import Request
from tokenfall.edge.response import Response
from tokenfall.wire.faults import Fault

from tests.doubles.requests import request

FAULT = Fault(status=418, code="teapot", message="short and stout")


def worded(name: str) -> Worded:
    def handle(request: Request) -> Response:
        return Response(200, f"{name} {request.path}".encode())

    def refuse(request: Request, fault: Fault) -> Response:
        return Response(404, f"{name} {fault.code}".encode())

    return Worded(handle, refuse)


class Workshop:
    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Mapping[str, Worded]:
        self.made += 1
        return {"a": worded("a"), "b": worded("b")}


def test_nothing_is_made_before_it_is_asked_for() -> None:
    workshop = Workshop()
    ondemand = OnDemand(workshop)
    ondemand.handler("a"), ondemand.refuse("a")

    assert workshop.made == 0


def test_all_are_made_once() -> None:
    workshop = Workshop()
    ondemand = OnDemand(workshop)
    a, b = ondemand.handler("a"), ondemand.handler("b")
    answers = [a(request("/1")), b(request("/2")), a(request("/3")), ondemand.refuse("b")(request("/"), FAULT)]

    assert [answer.body for answer in answers if isinstance(answer, Response)] == [
        b"a /1",
        b"b /2",
        b"a /3",
        b"b teapot",
    ]
    assert workshop.made == 1


class Writing:
    """Makes a response where and when it may."""

    def __init__(self, *, fails: int = 0) -> None:
        self.allowed = threading.Event()
        self.made: list[threading.Thread] = []
        self._fails = fails

    def __call__(self) -> Response:
        self.allowed.wait()
        self.made.append(threading.current_thread())
        if len(self.made) <= self._fails:
            raise OSError("no room")
        return Response(200, b"written")


async def test_a_response_is_made_once_in_a_thread_for_all_that_wait() -> None:
    writing = Writing()
    once = Once(writing)
    waiting = [asyncio.create_task(once.get()) for _ in range(2)]
    late = once.get()
    assert once.known() is None
    writing.allowed.set()
    made = await asyncio.gather(*waiting)

    assert made == [once.known(), await late]
    assert len(writing.made) == 1
    assert writing.made[0] is not threading.current_thread()


async def test_a_response_that_failed_is_made_again_at_the_next_request() -> None:
    writing = Writing(fails=1)
    writing.allowed.set()
    once = Once(writing)
    with pytest.raises(OSError, match="no room"):
        await once.get()

    assert once.known() is None
    assert (await once.get()).body == b"written"


async def test_a_cancelled_request_does_not_cancel_the_response_of_the_others() -> None:
    writing = Writing()
    once = Once(writing)
    leaving, staying = (asyncio.create_task(once.get()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    writing.allowed.set()

    assert leaving.cancelled()
    assert (await staying).body == b"written"
    assert len(writing.made) == 1
