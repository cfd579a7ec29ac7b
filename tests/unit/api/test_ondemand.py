import asyncio
import threading
from collections.abc import Coroutine, Mapping

import pytest

from tokenfall.api.ondemand import Once, OnDemand, Speaking, Worded
from tokenfall.api.routing import Handler
from tokenfall.edge.request import Request
from tokenfall.edge.response import Answer, Response
from tokenfall.wire.dialect import Fault

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

    def __call__(self) -> Mapping[str, Speaking]:
        self.made += 1
        return {"a": worded("a"), "b": worded("b")}


def test_nothing_is_made_before_it_is_asked_for() -> None:
    workshop = Workshop()
    ondemand = OnDemand(workshop)
    ondemand.handler("a"), ondemand.refuse("a")

    assert workshop.made == 0


async def test_all_are_made_once_by_requests_at_the_same_time() -> None:
    workshop = Workshop()
    ondemand = OnDemand(workshop)
    a, b = ondemand.handler("a"), ondemand.handler("b")
    first = await asyncio.gather(*(answered(handler, path) for handler, path in ((a, "/1"), (b, "/2"))))
    later = [a(request("/3")), ondemand.refuse("b")(request("/"), FAULT)]

    assert [answer.body for answer in (*first, *later) if isinstance(answer, Response)] == [
        b"a /1",
        b"b /2",
        b"a /3",
        b"b teapot",
    ]
    assert workshop.made == 1


async def answered(handler: Handler, path: str) -> Answer:
    answer = handler(request(path))
    return await answer if isinstance(answer, Coroutine) else answer


async def test_a_failure_is_told_and_making_is_tried_again() -> None:
    made = []

    def make() -> str:
        made.append(1)
        if len(made) == 1:
            raise OSError("no room")
        return "made"

    once = Once(make)
    with pytest.raises(OSError, match="no room"):
        await once.get()

    assert (await once.get(), once.known(), once.now(), await once.get()) == ("made",) * 4


async def test_who_leaves_does_not_end_the_making_for_the_others() -> None:
    allowed = threading.Event()
    once = Once(allowed.wait)
    leaving, staying = (asyncio.create_task(once.get()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    allowed.set()

    assert leaving.cancelled()
    assert await staying is True
    assert once.now() is True


def test_who_cannot_wait_makes_it_at_once() -> None:
    workshop = Workshop()

    assert Once(workshop).now()
    assert workshop.made == 1
