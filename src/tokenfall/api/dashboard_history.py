"""The handler of `/board/history`: the rows of the metrics' history as columns. Imported at the first request."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from math import isnan
from time import time
from typing import Any

import msgspec
from msgspec import Struct

from tokenfall.api.documents import held, joined
from tokenfall.errors import InvalidRequest
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.memory.leases import ResponseMemory
from tokenfall.metrics.history import CODES, FIELDS, LATENCIES, MINUTES, MODELS, SECONDS, MetricsHistory, Ring
from tokenfall.metrics.registry import OTHER
from tokenfall.metrics.sampler import FAILED
from tokenfall.slicing.computation import Sliced
from tokenfall.slicing.scheduler import start_sliced

RANGES: dict[str, tuple[Ring, int]] = {
    "2m": (SECONDS, 120),
    "15m": (SECONDS, SECONDS.rows),
    "1h": (MINUTES, 60),
    "24h": (MINUTES, MINUTES.rows),
}
"""Step and number of rows by the name of a range."""

DEFAULT_RANGE = "15m"

Column = list[float | None]


class Trend(Struct, kw_only=True):
    """The history of the metrics. Each value of a column covers `step_s` seconds; the time of the last one ends at
    `at` (Unix time).

    `streams`, `connections` and the memories in bytes are the maxima of that time. `errors`, by status or `failed`, and
    `upstream_errors`, by code, are rates per second, as are the columns named `_per_s`. None: not measured.
    """

    range: str
    at: float
    step_s: int
    streams: Column
    connections: Column
    resident_bytes: Column
    request_memory_bytes: Column
    response_memory_bytes: Column
    tokens_per_s: Column
    requests_per_s: Column
    ttft_count: Column
    ttft_p50_s: Column
    ttft_p90_s: Column
    ttft_p99_s: Column
    inter_token_count: Column
    inter_token_p50_s: Column
    inter_token_p90_s: Column
    inter_token_p99_s: Column
    ticker_late_count: Column
    ticker_late_p50_s: Column
    ticker_late_p90_s: Column
    ticker_late_p99_s: Column
    errors: dict[str, Column]
    upstream_errors: dict[str, Column]
    upstream_ttft_p90_s: dict[str, Column]


def dashboard_history(
    request: Request, history: MetricsHistory, *, now_s: float, memory: ResponseMemory, caller: str
) -> Response | LiveStream | Coroutine[Any, Any, Response | LiveStream]:
    """`GET /board/history`. `now_s` is a time of the history's clock. Raises `InvalidRequest`."""
    trend = trend_of(history, range_of(request), now_s=now_s, at=time())
    return start_sliced(_document(trend, memory=memory, caller=caller))


def _document(trend: Sliced[bytes], *, memory: ResponseMemory, caller: str) -> Sliced[Response | LiveStream]:
    body = yield from trend
    with memory.lease(caller) as lease:
        return held(body, lease)


def range_of(request: Request) -> str:
    """The requested range. Raises `InvalidRequest`."""
    requested = dict(request.query()).get("range", DEFAULT_RANGE)
    if requested not in RANGES:
        raise InvalidRequest(f"range takes {', '.join(RANGES)}, not {requested[:20]!r}")
    return requested


def trend_of(history: MetricsHistory, name: str, *, now_s: float, at: float) -> Sliced[bytes]:
    """The `Trend` of a range as JSON. `now_s` is the time of the history's clock, `at` the Unix time then."""
    ring, count = RANGES[name]
    ended_s = int(now_s) // ring.step_s * ring.step_s
    newest = ended_s // ring.step_s - (0 if ring is SECONDS else 1)
    rows = yield from history.read(ring, newest=newest, count=count)
    yield
    head = {"range": name, "at": round(at - (now_s - ended_s), 3), "step_s": ring.step_s}
    columns, groups = _columns(rows, step_s=ring.step_s), _groups(history, rows, step_s=ring.step_s)
    return (yield from joined(_pieces(head, columns, groups=groups)))


Named = Iterator[tuple[str, Column]]
Rows = list[tuple[Any, ...] | None]


def _pieces(head: dict[str, Any], columns: Named, *, groups: Iterator[tuple[str, Named]]) -> Iterator[bytes]:
    """The document, in pieces of one column: encoding all of them takes some milliseconds."""
    yield _encode(head)[:-1]
    for name, column in columns:
        yield b",%b:%b" % (_encode(name), _encode(column))
    for name, group in groups:
        yield b",%b:{" % _encode(name)
        separator = b""
        for code, column in group:
            yield b"%b%b:%b" % (separator, _encode(code), _encode(column))
            separator = b","
        yield b"}"
    yield b"}"


def _columns(rows: Rows, *, step_s: int) -> Named:
    place = dict(zip(FIELDS, range(len(FIELDS)), strict=True))
    yield "streams", _numbers(rows, place["streams"])
    yield "connections", _numbers(rows, place["connections"])
    for memory in ("resident", "request_memory", "response_memory"):
        at = place[f"{memory}_kib"]
        yield f"{memory}_bytes", [None if row is None else row[at] * 1024 for row in rows]
    yield "tokens_per_s", _rates(rows, place["tokens"], step_s=step_s)
    yield "requests_per_s", _rates(rows, place["requests"], step_s=step_s)
    for latency in LATENCIES:
        yield f"{latency}_count", _numbers(rows, place[f"{latency}_count"])
        for part in ("p50_s", "p90_s", "p99_s"):
            yield f"{latency}_{part}", _seconds(rows, place[f"{latency}_{part}"])


def _groups(history: MetricsHistory, rows: Rows, *, step_s: int) -> Iterator[tuple[str, Named]]:
    """The columns whose names are known only at run time; columns without values in this range are omitted."""
    codes = [(code, len(FIELDS) + place) for place, code in enumerate(history.names(CODES)) if code]
    responses = [(code, place) for code, place in codes if code.isdigit() or code in {FAILED, OTHER}]
    upstream = [entry for entry in codes if entry not in responses]
    start = len(FIELDS) + CODES.places
    models = [(model, start + place) for place, model in enumerate(history.names(MODELS)) if model]
    yield "errors", _used((code, _rates(rows, place, step_s=step_s)) for code, place in responses)
    yield "upstream_errors", _used((code, _rates(rows, place, step_s=step_s)) for code, place in upstream)
    yield "upstream_ttft_p90_s", _used((model, _seconds(rows, place)) for model, place in models)


def _used(columns: Named) -> Named:
    return ((name, column) for name, column in columns if any(column))


def _numbers(rows: Rows, place: int) -> Column:
    return [None if row is None else row[place] for row in rows]


def _rates(rows: Rows, place: int, *, step_s: int) -> Column:
    return [None if row is None else round(row[place] / step_s, 3) for row in rows]


def _seconds(rows: Rows, place: int) -> Column:
    return [None if row is None or isnan(row[place]) else round(row[place], 6) for row in rows]


_encode = msgspec.json.encode
