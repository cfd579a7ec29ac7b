"""A simulated response before its first token: the parsed request, and the simulator's plan."""

from collections.abc import Iterator
from hashlib import sha256
from os import urandom
from time import time

from msgspec import Struct
from msgspec.structs import replace

from tokenfall.api.documents import PART_BYTES
from tokenfall.events import Finished
from tokenfall.http.request import Request
from tokenfall.simulator.fault_plan import FaultPlan
from tokenfall.simulator.grammar import Simulation
from tokenfall.simulator.planning import Plan
from tokenfall.wire.dialect import ParsedRequest, ResponseMeta

COPIES = 5
"""Copies of the request members that a response repeats: decoded, in the first frames, and in unsent data."""

SEEDED_S = 1_700_000_000.0
"""Creation time of every seeded response: the same seed and request give the same bytes."""


class PreparedResponse(Struct, frozen=True):
    """Everything about a response that is resolved before its first token."""

    parsed: ParsedRequest
    simulation: Simulation
    meta: ResponseMeta
    planned: Plan
    finished: Finished
    fault_plan: FaultPlan | None
    gaps: Iterator[float]

    def repeated_bytes(self) -> int:
        """Memory of all copies of the request members that the response repeats; 0 up to `PART_BYTES`."""
        size_bytes = COPIES * self.parsed.repeated_bytes
        return size_bytes if size_bytes > PART_BYTES else 0


class SummedGaps:
    """Gaps and their sum so far: the durations in a seeded response must not depend on the clock."""

    def __init__(self, gaps: Iterator[float]) -> None:
        self._gaps = gaps
        self.total_s = 0.0

    def __iter__(self) -> Iterator[float]:
        return self

    def __next__(self) -> float:
        gap_s = next(self._gaps)
        self.total_s += gap_s
        return gap_s


def without_question(parsed: ParsedRequest) -> ParsedRequest:
    """`parsed` without messages, tools, schema and stop sequences: they may be large, and planning has used them."""
    return replace(parsed, request=replace(parsed.request, messages=(), tools=(), schema=None, stop=()))


def response_meta(request: Request, parsed: ParsedRequest, *, seed: int | None) -> ResponseMeta:
    """A new id for each response; with a seed, the same id and creation time for the same request."""
    if seed is None:
        return ResponseMeta(urandom(12).hex(), time(), parsed.request.model)
    digest = sha256(b"%d %b" % (seed, request.body)).hexdigest()
    return ResponseMeta(digest[:24], SEEDED_S, parsed.request.model)
