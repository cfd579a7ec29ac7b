"""The ways in which reads may split a stream of bytes."""

from collections.abc import Callable, Iterable
from itertools import pairwise

Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    """One read."""
    return [data]


def one_by_one(data: bytes) -> list[bytes]:
    """A read for each byte."""
    return [data[at : at + 1] for at in range(len(data))]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Reads that end at `places`, whatever the numbers."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
