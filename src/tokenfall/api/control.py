"""`/sim`: the simulator's default, its journal and its gates, while it runs."""

from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from tokenfall.api.documents import document, documented
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.request_log import RequestLog
from tokenfall.api.routing import parameter
from tokenfall.errors import InvalidRequest, NotFound
from tokenfall.http.request import Request
from tokenfall.http.response import Response
from tokenfall.simulator.gates import TestGate
from tokenfall.simulator.grammar import Simulation, parse
from tokenfall.simulator.library import Library
from tokenfall.simulator.state import SimulatorState
from tokenfall.simulator.values import name_of
from tokenfall.slicing import start_sliced
from tokenfall.wire.json_pieces import json_pieces


class SimBody(Struct, forbid_unknown_fields=True):
    """The body of `PATCH /sim`: grammar to put over the default, and whether to keep a journal."""

    sim: str | None = None
    journal: bool | None = None


class NewSim(Struct, forbid_unknown_fields=True):
    """The body of `PUT /sim`: the whole default, in the simulator's grammar."""

    sim: str


class GateBody(Struct, forbid_unknown_fields=True):
    """The body of `PATCH /sim/gates/{gate}`: open or close it, or let so many more tokens through."""

    open: bool | None = None
    tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


_sim = msgspec.json.Decoder(SimBody)
_new = msgspec.json.Decoder(NewSim)
_gate = msgspec.json.Decoder(GateBody)


class ControlRoutes:
    """The handlers. `alone`: no other worker answers, so that what is changed here is changed for all."""

    def __init__(
        self,
        state: SimulatorState,
        injected_errors: InjectedErrors,
        *,
        library: Library,
        journal: RequestLog,
        alone: bool,
    ) -> None:
        self._stage = state
        self._library = library
        self._first = state.configured
        self._injected_errors = injected_errors
        self._journal = journal
        self._alone = alone

    def show(self, request: Request) -> Response:
        """`GET /sim`."""
        from tokenfall.simulator.format_grammar import written  # noqa: PLC0415 - only tests ask

        state = self._stage
        return _document(
            {"sim": written(state.defaults), "journal": self._journal.is_on, "streams": state.limiter.inside}
        )

    def change(self, request: Request) -> Response:
        """`PATCH /sim`. Raises `InvalidRequest`."""
        self._check_alone()
        body = _decoded(_sim, request.body, takes='{"sim": "ttft=1s"} or {"journal": true}')
        if body.sim is not None:
            self._stage.configured = self._stage.configured.overlay(self._read(body.sim))
        if body.journal is not None:
            self._journal.is_on = body.journal
        return self.show(request)

    def replace(self, request: Request) -> Response:
        """`PUT /sim`. Raises `InvalidRequest`."""
        self._check_alone()
        self._stage.configured = self._read(_decoded(_new, request.body, takes='{"sim": "ttft=1s"}').sim)
        return self.show(request)

    def reset(self, request: Request) -> Response:
        """`DELETE /sim`: as it was at the start; counts and limits begin anew, gates and the journal are gone."""
        self._check_alone()
        self._stage.configured = self._first
        self._stage.gates.clear()
        self._injected_errors.reset()
        self._journal.is_on = False
        self._journal.clear()
        return Response(204)

    def requests(self, request: Request) -> Response | Coroutine[Any, Any, Response]:
        """`GET /sim/requests`: up to some megabytes."""
        self._check_alone()
        told = {"journal": self._journal.is_on, "requests": iter(self._journal.kept())}
        return start_sliced(documented(json_pieces(told)))

    def forget_requests(self, request: Request) -> Response:
        """`DELETE /sim/requests`."""
        self._check_alone()
        self._journal.clear()
        return Response(204)

    def gates(self, request: Request) -> Response:
        """`GET /sim/gates`."""
        self._check_alone()
        return _document({"gates": [_told(name, gate) for name, gate in self._stage.gates.known().items()]})

    def gate(self, request: Request) -> Response:
        """`GET /sim/gates/{gate}`. Raises `NotFound`."""
        self._check_alone()
        name = _gate_name(request)
        found = self._stage.gates.known().get(name)
        if found is None:
            raise NotFound("there is no such gate: a stream with gate=NAME makes it, or PATCH")
        return _document(_told(name, found))

    def move_gate(self, request: Request) -> Response:
        """`PATCH /sim/gates/{gate}`, which makes the gate where there is none. Raises `InvalidRequest`."""
        self._check_alone()
        name = _gate_name(request)
        body = _decoded(_gate, request.body, takes='{"open": true}, {"open": false} or {"tokens": 3}')
        try:
            found = self._stage.gates.kept(name)
        except ValueError as error:
            raise InvalidRequest(f"{error}; DELETE /sim/gates/NAME forgets one") from None
        if body.open is not None:
            (found.open if body.open else found.close)()
        if body.tokens is not None:
            found.allow(body.tokens)
        return _document(_told(name, found))

    def drop_gate(self, request: Request) -> Response:
        """`DELETE /sim/gates/{gate}`: who waits there goes on. Raises `NotFound`."""
        self._check_alone()
        if not self._stage.gates.drop(_gate_name(request)):
            raise NotFound("there is no such gate")
        return Response(204)

    def _read(self, text: str) -> Simulation:
        """What a text says, if all that it names is there: else each request from then on would be refused."""
        simulation = parse(text)
        self._library.check(simulation)
        return simulation

    def _check_alone(self) -> None:
        if not self._alone:
            raise InvalidRequest("/sim needs WORKERS=1: each worker would know only what it was told itself")


def _gate_name(request: Request) -> str:
    try:
        return name_of(parameter(request))
    except ValueError:
        raise InvalidRequest("a gate's name takes 1 to 64 letters, digits or any of . _ -") from None


def _told(name: str, gate: TestGate) -> dict[str, str | bool | int]:
    return {"name": name, "open": gate.is_open, "tokens": gate.allowed, "passed": gate.passed, "waiting": gate.waiting}


def _document(told: object) -> Response:
    return document(msgspec.json.encode(told))


T = TypeVar("T")


def _decoded(decoder: "msgspec.json.Decoder[T]", body: bytes, *, takes: str) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body takes {takes}: {error}") from None
