import json
from pathlib import Path
from typing import Any

import pytest

from tokenfall.api.control import ControlRoutes
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.request_log import ENTRY_BYTES, MAX_BODY_BYTES, MAX_REQUESTS, MAX_TOTAL_BYTES, RequestLog
from tokenfall.api.simulator import Shared
from tokenfall.errors import InvalidRequest, NotFound, RateLimited
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.simulator.gates import MAX_GATES
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.library import Library
from tokenfall.simulator.state import SimulatorState

from tests.doubles.callers import callers
from tests.doubles.clocks import FakeClock
from tests.doubles.memory import ample_memory
from tests.doubles.requests import lines_of, request
from tests.doubles.sent import RecordingSend


class Harness:
    def __init__(self, sim: str = "", *, folder: str = ".", keys: tuple[str, ...] = ()) -> None:
        self.state = SimulatorState(parse(sim))
        self.injected_errors = InjectedErrors(FakeClock())
        self.journal = RequestLog()
        shared = Shared(self.state, self.injected_errors, callers=callers(*keys), library=Library(folder))
        self.control = ControlRoutes(shared, request_log=self.journal, memory=ample_memory())

    def gate(self, name: str, body: object = None) -> dict[str, Any]:
        if body is None:
            return decoded(self.control.gate(gate_request(name)))
        return decoded(self.control.change_gate(gate_request(name, json.dumps(body).encode())))


def decoded(response: object) -> dict[str, Any]:
    assert isinstance(response, Response)
    document: dict[str, Any] = json.loads(response.body)
    assert {"content-type: application/json", "cache-control: no-store"} <= {*lines_of(response.head)}
    return document


def control_request(body: bytes = b"") -> Request:
    return request("/sim", method="PATCH", body=body)


def gate_request(name: str, body: bytes = b"") -> Request:
    incoming = request(f"/sim/gates/{name}", method="PATCH", body=body)
    incoming.route = "/sim/gates/{gate}"
    return incoming


INVALID = {
    "change": [b'{"simm":"gap=1s"}', b'{"sim":1}', b'{"journal":"on"}', b'{"sim":"\xff"}'],
    "replace": [b"{}", b'{"sim":null}', b'{"sim":1}', b'{"sim":"gap=1s","journal":true}', b'{"sim":"\xff"}'],
    "change_gate": [b'{"open":1}', b'{"tokens":0}', b'{"tokens":1000001}', b'{"tokens":1.5}', b'{"token":1}'],
}
"""Invalid bodies by the name of the handler."""


@pytest.mark.parametrize(
    ("name", "body"),
    [(name, body) for name, bodies in INVALID.items() for body in (b"", b"x", b"[]", b"[" * 9_999, *bodies)],
)
def test_invalid_body_is_refused_with_the_accepted_values(name: str, body: bytes) -> None:
    harness = Harness("seed=1")
    with pytest.raises(InvalidRequest, match=r'the body takes \{"(sim|open)": .*\}: '):
        getattr(harness.control, name)(gate_request("a", body))

    assert harness.state.configured == parse("seed=1")


# Default settings


def test_settings_and_open_streams_are_shown() -> None:
    harness = Harness("ttft=1s")
    harness.state.limiter.acquire()

    assert decoded(harness.control.show(control_request())) == {
        "sim": "gap=0.1s,ttft=1s",
        "journal": False,
        "streams": 1,
    }


def test_change_is_merged_into_the_current_settings() -> None:
    harness = Harness("ttft=1s,seed=1")
    assert decoded(harness.control.change(control_request(b'{"sim":"ttft=2s,tokens=3","journal":true}'))) == {
        "sim": "gap=0.1s,ttft=2s,tokens=3..3,seed=1",
        "journal": True,
        "streams": 0,
    }
    assert decoded(harness.control.change(control_request(b'{"sim":"gap=1s"}')))["journal"]
    assert not decoded(harness.control.change(control_request(b'{"journal":false}')))["journal"]

    assert harness.state.configured == parse("gap=1s,ttft=2s,tokens=3,seed=1")
    harness.control.change(control_request(b"{}"))
    assert harness.state.configured == parse("gap=1s,ttft=2s,tokens=3,seed=1")


@pytest.mark.parametrize(
    ("sim", "why"),
    [
        ("profile=nope", "profile"),
        ("profile=nope.json", "nope.json"),
        ("script=nope.yml", "nope.yml"),
        ("script=nope.jsonl", "nope.jsonl"),
        ("script=bad.yml", "bad.yml"),
        ("script=../bad.yml", "outside of SIM_FILES"),
    ],
)
def test_default_that_no_request_could_use_is_refused(tmp_path: Path, sim: str, why: str) -> None:
    (tmp_path / "bad.yml").write_text("say: [", encoding="utf-8")
    harness = Harness("seed=1", folder=str(tmp_path))
    body = json.dumps({"sim": sim}).encode()
    for change in (harness.control.change, harness.control.replace):
        with pytest.raises(InvalidRequest, match=why):
            change(control_request(body))

    assert harness.state.configured == parse("seed=1")


def test_default_may_name_an_existing_script_or_profile(tmp_path: Path) -> None:
    (tmp_path / "turns.yml").write_text("- say: Hello", encoding="utf-8")
    harness = Harness(folder=str(tmp_path))
    for sim in ("script=turns.yml", "profile=groq-70b"):
        harness.control.replace(control_request(json.dumps({"sim": sim}).encode()))

        assert harness.state.configured == parse(sim)


@pytest.mark.parametrize(
    ("name", "body"),
    [("change", b'{"sim":"gap=fast","journal":true}'), ("replace", b'{"sim":"ttft=1s,gap=fast"}')],
)
def test_invalid_grammar_changes_nothing(name: str, body: bytes) -> None:
    harness = Harness("seed=1")
    with pytest.raises(InvalidRequest, match="gap got 'fast'"):
        getattr(harness.control, name)(control_request(body))

    assert harness.state.configured == parse("seed=1")
    assert not harness.journal.is_on


def test_replacement_removes_all_default_settings() -> None:
    harness = Harness("ttft=1s,seed=1")
    harness.control.change(control_request(b'{"sim":"tokens=3","journal":true}'))
    assert decoded(harness.control.replace(control_request(b'{"sim":"gap=1s"}'))) == {
        "sim": "gap=1s",
        "journal": True,
        "streams": 0,
    }
    assert harness.state.configured == parse("gap=1s")
    assert decoded(harness.control.replace(control_request(b'{"sim":""}')))["sim"] == "gap=0.1s"
    assert harness.state.configured == parse("")
    harness.control.reset(control_request())

    assert harness.state.configured == parse("ttft=1s,seed=1")


def test_shown_settings_can_be_restored_unchanged() -> None:
    harness = Harness("ttft=1s,seed=1,tokens=3")
    shown = decoded(harness.control.show(control_request()))
    replaced = harness.control.replace(control_request(json.dumps({"sim": shown["sim"]}).encode()))

    assert decoded(replaced) == shown


def test_replacement_keeps_counts_gates_and_request_log() -> None:
    harness = Harness("status=429x1")
    harness.control.change(control_request(b'{"journal":true}'))
    harness.journal.add(request("/a"))
    harness.state.gates.pinned("a")
    with pytest.raises(RateLimited):
        harness.injected_errors.check(harness.state.configured, "")
    harness.control.replace(control_request(b'{"sim":"status=429x1"}'))

    assert [*harness.state.gates.all()] == ["a"]
    assert [each["path"] for each in harness.journal.entries()] == ["/a"]
    harness.injected_errors.check(harness.state.configured, "")


def test_reset_restores_the_initial_state() -> None:
    harness = Harness("ttft=1s")
    harness.control.change(control_request(b'{"sim":"status=429x1","journal":true}'))
    harness.journal.add(request("/"))
    harness.state.gates.pinned("a")
    with pytest.raises(RateLimited):
        harness.injected_errors.check(harness.state.configured, "")
    assert harness.control.reset(control_request()).status == 204

    assert harness.state.configured == parse("ttft=1s")
    assert harness.state.gates.all() == {}
    assert (harness.journal.is_on, harness.journal.entries()) == (False, [])
    with pytest.raises(RateLimited):
        harness.injected_errors.check(parse("status=429x1"), "")


# Request log


async def test_request_log_is_shown_until_cleared() -> None:
    harness = Harness()
    harness.control.change(control_request(b'{"journal":true}'))
    harness.journal.add(request("/a"))
    shown = decoded(await harness.control.requests(control_request()))
    assert (shown["journal"], [each["path"] for each in shown["requests"]]) == (True, ["/a"])
    assert harness.control.clear_requests(control_request()).status == 204

    assert decoded(await harness.control.requests(control_request())) == {"journal": True, "requests": []}


@pytest.mark.slow
async def test_full_request_log_is_sent_in_slices() -> None:
    harness = Harness()
    harness.control.change(control_request(b'{"journal":true}'))
    for _ in range(MAX_REQUESTS):
        harness.journal.add(request("/a", method="POST", body=b"\x01" * MAX_BODY_BYTES))
    shown = await harness.control.requests(control_request())
    assert isinstance(shown, LiveStream)
    sent = RecordingSend()
    sent.append(await shown.run(sent))

    assert len(json.loads(b"".join(sent))["requests"]) == MAX_TOTAL_BYTES // (ENTRY_BYTES + MAX_BODY_BYTES + 2)


# Gates


def test_gate_can_be_opened_closed_and_limited() -> None:
    harness = Harness()
    state = {"name": "a", "open": False, "tokens": 0, "passed": 0, "waiting": 0}
    assert harness.gate("a", {}) == state
    assert harness.gate("a", {"tokens": 3}) == state | {"tokens": 3}
    assert harness.gate("a", {"open": True}) == state | {"tokens": 3, "open": True}
    assert harness.gate("a", {"open": False}) == state
    assert harness.gate("a", {"open": False, "tokens": 2}) == state | {"tokens": 2}
    assert harness.gate("a") == state | {"tokens": 2}
    assert decoded(harness.control.gates(control_request())) == {"gates": [state | {"tokens": 2}]}


def test_gate_shows_waiting_and_passed_tokens() -> None:
    harness = Harness()
    gate = harness.state.gates.pinned("a")
    gate.passes(lambda: None)
    assert harness.gate("a")["waiting"] == 1
    gate.open()
    gate.passes(lambda: None)

    assert (harness.gate("a")["waiting"], harness.gate("a")["passed"]) == (0, 1)


def test_dropped_gate_is_not_found() -> None:
    harness = Harness()
    harness.gate("a", {})
    assert harness.control.drop_gate(gate_request("a")).status == 204
    for call in (harness.control.drop_gate, harness.control.gate):
        with pytest.raises(NotFound, match="no such gate"):
            call(gate_request("a"))


@pytest.mark.parametrize("name", ["%20", "a%2Fb", "%C3%A4", "x" * 65])
def test_invalid_gate_name_is_refused(name: str) -> None:
    harness = Harness()
    for call in (harness.control.gate, harness.control.drop_gate, harness.control.change_gate):
        with pytest.raises(InvalidRequest, match="a gate's name takes"):
            call(gate_request(name, b"{}"))


def test_too_many_gates_are_refused() -> None:
    harness = Harness()
    for number in range(MAX_GATES):
        harness.state.gates.pinned(str(number))
    with pytest.raises(InvalidRequest, match="DELETE /sim/gates"):
        harness.gate("a", {})


def test_only_the_settings_are_shown_with_several_workers() -> None:
    control = Harness().control
    handlers = control.handlers(alone=False)
    assert handlers.keys() == control.handlers(alone=True).keys()
    show = handlers.pop("show")
    for handler in handlers.values():
        with pytest.raises(InvalidRequest, match="WORKERS=1"):
            handler(gate_request("a", b"{}"))

    assert decoded(show(control_request()))["streams"] == 0


def test_gates_of_different_keys_are_separate() -> None:
    harness = Harness(keys=("one", "two"))

    def request_of(key: str, method: str = "PATCH", body: bytes = b"") -> Request:
        incoming = request("/sim/gates/a", method=method, headers={"x-api-key": key}, body=body)
        incoming.route = "/sim/gates/{gate}"
        return incoming

    harness.control.change_gate(request_of("one", body=b'{"open":true}'))
    harness.control.change_gate(request_of("two", body=b'{"tokens":2}'))
    assert decoded(harness.control.gate(request_of("one", "GET")))["open"]
    assert not decoded(harness.control.gate(request_of("two", "GET")))["open"]
    assert len(decoded(harness.control.gates(request_of("one", "GET")))["gates"]) == 1
    harness.control.drop_gate(request_of("one", "DELETE"))
    with pytest.raises(NotFound):
        harness.control.gate(request_of("one", "GET"))

    assert decoded(harness.control.gate(request_of("two", "GET")))["tokens"] == 2
