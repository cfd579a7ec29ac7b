from collections.abc import Mapping

from tokenfall.api.ondemand import OnDemand, Worded
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
