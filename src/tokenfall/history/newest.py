"""Selects the newest turns within a size. Pure."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def within_bytes(items: Iterable[T], max_bytes: int | None, *, size: Callable[[T], int]) -> Iterator[T]:
    """The items up to the first that exceeds `max_bytes`, but at least one; all of them for None."""
    if max_bytes is None:
        yield from items
        return
    total_bytes = 0
    for number, item in enumerate(items):
        total_bytes += size(item)
        if number and total_bytes > max_bytes:
            return
        yield item
