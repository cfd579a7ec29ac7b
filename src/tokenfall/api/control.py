"""The handlers of `/sim`, which show and change the simulator's defaults, request log and gates at run time."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from tokenfall.api.documents import document, sliced
from tokenfall.api.request_log import RequestLog
from tokenfall.api.routing import parameter
from tokenfall.api.simulator import Shared
from tokenfall.errors import InvalidRequest, NotFound
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.memory.leases import ResponseMemory
from tokenfall.simulator.gates import TestGate
from tokenfall.simulator.grammar import Simulation, parse
from tokenfall.simulator.values import name_of
from tokenfall.wire.dialect import Count
from tokenfall.wire.json_pieces import json_pieces

if TYPE_CHECKING:
    from tokenfall.api.routing import Handler


class SimBody(Struct, forbid_unknown_fields=True):
    """The body of `PATCH /sim`. `sim`: settings to change, in the simulator's grammar; `journal`: log requests."""

    sim: str | None = None
    journal: bool | None = None


class NewSimBody(Struct, forbid_unknown_fields=True):
    """The body of `PUT /sim`: all default settings, in the simulator's grammar."""

    sim: str


class GateBody(Struct, forbid_unknown_fields=True):
    """The body of `PATCH /sim/gates/{gate}`: open or close the gate, or let a number of further tokens pass."""

    open: bool | None = None
    tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class SimSettings(Struct, frozen=True):
    """The response of `/sim`. `streams` is the number of simulated responses at present."""

    sim: str
    journal: bool
    streams: Count


class LoggedRequest(Struct, frozen=True):
    """A request in the log, whose secrets are removed. `truncated`: `body` is only the beginning."""

    time: float
    id: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    truncated: bool


class LoggedRequests(Struct, frozen=True):
    journal: bool
    requests: list[LoggedRequest]


class GateState(Struct, frozen=True, kw_only=True):
    """A gate. `tokens` may still pass if it is closed; `waiting` is the number of streams at it."""

    name: str
    open: bool
    tokens: Count
    passed: Count
    waiting: Count


class GateList(Struct, frozen=True):
    gates: list[GateState]


_sim = msgspec.json.Decoder(SimBody)
_new = msgspec.json.Decoder(NewSimBody)
_gate = msgspec.json.Decoder(GateBody)


class ControlRoutes:
    """The handlers."""

    def __init__(self, shared: Shared, *, request_log: RequestLog, memory: ResponseMemory) -> None:
        self._state = shared.state
        self._library = shared.library
        self._callers = shared.callers
        self._initial = shared.state.configured
        self._injected_errors = shared.injected_errors
        self._request_log = request_log
        self._memory = memory

    def handlers(self, *, alone: bool) -> "dict[str, Handler]":
        """All handlers by name. With several workers, all but `show` refuse: the others would not change."""
        handlers: dict[str, Handler] = {name: getattr(self, name) for name in _HANDLERS}
        return handlers if alone else dict.fromkeys(handlers, _refuse_with_workers) | {"show": self.show}

    def show(self, request: Request) -> Response:
        """`GET /sim`."""
        from tokenfall.simulator.format_grammar import format_grammar  # noqa: PLC0415 - needed only by /sim

        state = self._state
        return _document(SimSettings(format_grammar(state.defaults), self._request_log.is_on, state.limiter.active))

    def change(self, request: Request) -> Response:
        """`PATCH /sim`. Raises `InvalidRequest`."""
        body = _decoded(_sim, request.body, takes='{"sim": "ttft=1s"} or {"journal": true}')
        if body.sim is not None:
            self._state.configured = self._state.configured.overlay(self._parsed(body.sim))
        if body.journal is not None:
            self._request_log.is_on = body.journal
        return self.show(request)

    def replace(self, request: Request) -> Response:
        """`PUT /sim`. Raises `InvalidRequest`."""
        self._state.configured = self._parsed(_decoded(_new, request.body, takes='{"sim": "ttft=1s"}').sim)
        return self.show(request)

    def reset(self, request: Request) -> Response:
        """`DELETE /sim`: restore the initial settings; reset counts and limits, delete gates and the request log."""
        self._state.configured = self._initial
        self._state.gates.clear()
        self._injected_errors.reset()
        self._request_log.is_on = False
        self._request_log.clear()
        return Response(204)

    def requests(self, request: Request) -> Coroutine[Any, Any, Response | LiveStream]:
        """`GET /sim/requests`. The response may have some megabytes."""
        return self._requests(self._callers.of(request).name)

    async def _requests(self, caller: str) -> Response | LiveStream:
        requests = (LoggedRequest(**each) for each in self._request_log.entries())
        content = LoggedRequests(self._request_log.is_on, cast("list[LoggedRequest]", requests))  # one at a time
        with self._memory.lease(caller) as lease:
            lease.resize(self._request_log.size_bytes)
            return await sliced(json_pieces(content), lease=lease)

    def clear_requests(self, request: Request) -> Response:
        """`DELETE /sim/requests`."""
        self._request_log.clear()
        return Response(204)

    def gates(self, request: Request) -> Response:
        """`GET /sim/gates`."""
        gates = self._state.gates.all(owner=self._callers.of(request).owner)
        return _document(GateList([_gate_state(name, gate) for name, gate in gates.items()]))

    def gate(self, request: Request) -> Response:
        """`GET /sim/gates/{gate}`. Raises `NotFound`."""
        name = _gate_name(request)
        found = self._state.gates.all(owner=self._callers.of(request).owner).get(name)
        if found is None:
            raise NotFound("there is no such gate: a stream with gate=NAME or a PATCH creates it")
        return _document(_gate_state(name, found))

    def change_gate(self, request: Request) -> Response:
        """`PATCH /sim/gates/{gate}`: create the gate if it does not exist. Raises `InvalidRequest`."""
        name = _gate_name(request)
        body = _decoded(_gate, request.body, takes='{"open": true}, {"open": false} or {"tokens": 3}')
        try:
            found = self._state.gates.pinned(name, owner=self._callers.of(request).owner)
        except ValueError as error:
            raise InvalidRequest(f"{error}; DELETE /sim/gates/NAME removes one") from None
        if body.open is not None:
            (found.open if body.open else found.close)()
        if body.tokens is not None:
            found.allow(body.tokens)
        return _document(_gate_state(name, found))

    def drop_gate(self, request: Request) -> Response:
        """`DELETE /sim/gates/{gate}`: streams that wait at it continue. Raises `NotFound`."""
        if not self._state.gates.drop(_gate_name(request), owner=self._callers.of(request).owner):
            raise NotFound("there is no such gate")
        return Response(204)

    def _parsed(self, text: str) -> Simulation:
        """Parse settings, and check that the files and profiles they name exist; otherwise every request would fail.

        Raises `InvalidRequest`.
        """
        simulation = parse(text)
        self._library.check(simulation)
        return simulation


_HANDLERS = (
    "show", "change", "replace", "reset", "requests", "clear_requests", "gates", "gate", "change_gate", "drop_gate",
)  # fmt: skip


def _refuse_with_workers(_request: Request) -> Response:
    raise InvalidRequest("/sim needs WORKERS=1: each worker has its own simulator settings")


def _gate_name(request: Request) -> str:
    try:
        return name_of(parameter(request))
    except ValueError:
        raise InvalidRequest("a gate's name takes 1 to 64 letters, digits or any of . _ -") from None


def _gate_state(name: str, gate: TestGate) -> GateState:
    return GateState(name=name, open=gate.is_open, tokens=gate.allowed, passed=gate.passed, waiting=gate.waiting)


def _document(content: Struct) -> Response:
    return document(msgspec.json.encode(content))


T = TypeVar("T")


def _decoded(decoder: "msgspec.json.Decoder[T]", body: bytes, *, takes: str) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body takes {takes}: {error}") from None
