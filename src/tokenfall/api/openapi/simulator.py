"""The operations of the simulator's plain routes, and of `/sim`, which controls it.

The Structs are only descriptions: the plain routes encode their documents without msgspec.
"""

from functools import partial
from typing import Literal

from msgspec import Struct

from tokenfall.api import control
from tokenfall.api.openapi.operation import Operation
from tokenfall.simulator.grammar import KEYS
from tokenfall.wire import ndjson, sse


class Word(Struct):
    content: str
    finish: bool


class StaticDocument(Struct):
    id: str
    type: Literal["static_response"]
    message: str
    payload: list[Word]


_plain = partial(Operation, tag="simulator", parameters=(*KEYS, "X-Sim"), failures=(400,))
_control = partial(Operation, tag="simulator", failures=(400,))
_gate = partial(Operation, tag="simulator", failures=(400, 404), parameters=("{gate}",))

SIMULATOR = {
    "simulator.sse": _plain(summary="Stream a paragraph as server-sent events", media=(sse.CONTENT_TYPE,)),
    "simulator.ndjson": _plain(summary="Stream a paragraph as NDJSON", media=(ndjson.CONTENT_TYPE,)),
    "simulator.loop": _plain(summary="Stream words without end as server-sent events", media=(sse.CONTENT_TYPE,)),
    "simulator.data": _plain(summary="Get a JSON document", responses=(StaticDocument,)),
    "control.show": _control(summary="Get the simulator's defaults", responses=(control.SimSettings,)),
    "control.change": _control(
        summary="Change the simulator's defaults, or switch the request log",
        body=control.SimBody,
        responses=(control.SimSettings,),
    ),
    "control.replace": _control(
        summary="Replace the simulator's defaults", body=control.NewSimBody, responses=(control.SimSettings,)
    ),
    "control.reset": _control(summary="Reset the simulator to its state at server start", status=204),
    "control.requests": _control(summary="List the logged requests", responses=(control.LoggedRequests,)),
    "control.clear_requests": _control(summary="Clear the request log", status=204),
    "control.gates": _control(summary="List the gates", responses=(control.GateList,)),
    "control.gate": _gate(summary="Get a gate", responses=(control.GateState,)),
    "control.change_gate": _gate(
        summary="Open, close or create a gate", body=control.GateBody, responses=(control.GateState,)
    ),
    "control.drop_gate": _gate(summary="Delete a gate", status=204),
}
