import pytest

from tokenfall.http.body_memory import ALWAYS_ALLOWED_BYTES, BodyMemory
from tokenfall.http.request import Refusal, Request
from tokenfall.memory.shares import MemoryShares

MAX = 100_000


def test_large_body_beyond_the_limit_is_refused_and_smaller_ones_are_not() -> None:
    bodies = BodyMemory(MemoryShares(MAX))
    for name in ("a", "b", "c", "d"):
        bodies.resize(name, MAX // 5, caller=lambda name=name: name)  # type: ignore[misc]
    with pytest.raises(Refusal) as caught:
        bodies.resize("e", MAX // 5 + 1, caller=lambda: "e")
    bodies.resize("e", ALWAYS_ALLOWED_BYTES, caller=lambda: "e")
    bodies.resize("f", ALWAYS_ALLOWED_BYTES, caller=lambda: "f")

    assert caught.value.status == 503
    assert bodies.held_bytes == MAX // 5 * 4 + 2 * ALWAYS_ALLOWED_BYTES


def test_bodies_of_one_sender_leave_room_for_others() -> None:
    bodies = BodyMemory(MemoryShares(MAX))
    for connection in (1, 2):
        bodies.resize(connection, MAX // 4, caller=lambda: "a")
    with pytest.raises(Refusal) as caught:
        bodies.resize(3, ALWAYS_ALLOWED_BYTES + 1, caller=lambda: "a")
    bodies.resize(4, MAX // 4, caller=lambda: "b")

    assert caught.value.detail == "the server's memory for requests is in use by this caller, up to its share"


def test_sender_is_identified_once_for_each_body() -> None:
    lookups: list[str] = []
    bodies = BodyMemory(MemoryShares(MAX))

    def caller() -> str:
        lookups.append("a")
        return "a"

    for size_bytes in (1, 20_000, 30_000):
        bodies.resize("connection", size_bytes, caller=caller)

    assert lookups == ["a"]


def test_released_memory_is_available_again() -> None:
    bodies = BodyMemory(MemoryShares(MAX))
    bodies.resize("a", MAX // 2, caller=lambda: "a")
    bodies.release("a")
    bodies.release("a")
    bodies.resize("b", MAX // 2, caller=lambda: "a")

    assert bodies.held_bytes == MAX // 2


def test_complete_body_counts_twice_until_its_request_drops_it() -> None:
    bodies = BodyMemory(MemoryShares(MAX))
    request = Request("POST", b"/", headers={}, http_minor=1)
    request.body = b"x" * (ALWAYS_ALLOWED_BYTES + 1)
    bodies.keep("a", request)
    assert bodies.held_bytes == 2 * len(request.body)

    request.drop_content()
    assert bodies.held_bytes == 0


def test_small_complete_body_is_not_counted() -> None:
    bodies = BodyMemory(MemoryShares(MAX))
    request = Request("POST", b"/", headers={}, http_minor=1)
    request.body = b"x" * ALWAYS_ALLOWED_BYTES
    bodies.resize("a", 5, caller=lambda: "a")
    bodies.keep("a", request)

    assert bodies.held_bytes == 0
