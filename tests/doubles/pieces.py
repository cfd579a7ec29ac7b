"""Functions that split bytes into reads."""

from collections.abc import Callable, Iterable
from itertools import pairwise

Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    """Return all data as one read."""
    return [data]


def one_by_one(data: bytes) -> list[bytes]:
    """Return one read per byte."""
    return [data[at : at + 1] for at in range(len(data))]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return reads that end at `places`, taken modulo the length plus one."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
