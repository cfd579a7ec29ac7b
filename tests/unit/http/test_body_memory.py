import pytest

from tokenfall.http.body_memory import ALWAYS_ALLOWED_BYTES, BodyMemory
from tokenfall.http.request import Refusal

MAX = 100_000


def test_large_body_beyond_the_limit_is_refused_and_smaller_ones_are_not() -> None:
    bodies = BodyMemory(MAX)
    bodies.resize("a", MAX)
    with pytest.raises(Refusal) as caught:
        bodies.resize("b", ALWAYS_ALLOWED_BYTES + 1)
    bodies.resize("c", ALWAYS_ALLOWED_BYTES)

    assert caught.value.status == 503
    assert bodies.held_bytes == MAX + ALWAYS_ALLOWED_BYTES


def test_body_may_grow_up_to_the_limit_and_not_beyond() -> None:
    bodies = BodyMemory(MAX)
    for size_bytes in (MAX // 2, MAX, MAX):
        bodies.resize("a", size_bytes)
    with pytest.raises(Refusal):
        bodies.resize("a", MAX + 1)

    assert bodies.held_bytes == MAX


def test_released_memory_is_available_again() -> None:
    bodies = BodyMemory(MAX)
    bodies.resize("a", MAX)
    bodies.release("a")
    bodies.release("a")
    bodies.resize("b", MAX)

    assert bodies.held_bytes == MAX
