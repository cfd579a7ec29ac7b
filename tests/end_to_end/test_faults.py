"""Simulated faults as seen by a raw client; gates, load limits and control requests while streams run."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any

import pytest

from tokenfall.simulator.paragraph import WORDS

from tests.end_to_end.client import Client, ClientResponse, fetch, request
from tests.end_to_end.in_process import Running, eventually, running

MESSAGES = [{"role": "user", "content": "Hi"}]
BEFORE, AFTER = WORDS[1].encode(), WORDS[2].encode()
LAST = WORDS[5].encode()
BASE = "gap=5ms,tokens=6,seed=1"
LAST_CHUNK = b"0\r\n\r\n"
CONFIGURED_ERROR = b"as configured"


@dataclass(frozen=True)
class Stream:
    """A streaming route: `end` marks a complete response, `error` begins an error event."""

    path: str
    end: bytes
    error: bytes
    body: dict[str, Any] | None = None

    def request(self, sim: str = "", *, base: str = BASE, whole: bool = False) -> bytes:
        sim = ",".join(filter(None, (base, sim)))
        if self.body is None:
            return request(self.path, X_Sim=sim)
        body = self.body | ({"stream": False} if whole else {})
        return request(self.path, method="POST", body=json.dumps(body), X_Sim=sim)


PLAIN = [
    Stream("/stream-sse", b'"finish":true', b"event: error\ndata: {"),
    Stream("/stream-ndjson", b'"finish":true', b'{"error":'),
    Stream("/stream-loop", b"", b"event: error\ndata: {"),
]
STREAMED = {"model": "sim", "stream": True}
PROVIDERS = [
    Stream(
        "/v1/chat/completions", b"[DONE]", b'data: {"error":', {"model": "sim", "stream": True, "messages": MESSAGES}
    ),
    Stream("/openai/v1/chat/completions", b"[DONE]", b'data: {"error":', STREAMED | {"messages": MESSAGES}),
    Stream("/v1/completions", b"[DONE]", b'data: {"error":', {"model": "sim", "stream": True, "prompt": "Hi"}),
    Stream(
        "/v1/responses",
        b"response.completed",
        b"event: error\ndata: {",
        {"model": "sim", "stream": True, "input": "Hi"},
    ),
    Stream(
        "/v1/messages",
        b"message_stop",
        b"event: error\ndata: {",
        {"model": "sim", "max_tokens": 50, "stream": True, "messages": MESSAGES},
    ),
    Stream("/api/chat", b'"done":true', b'{"error":', {"model": "sim", "messages": MESSAGES}),
    Stream("/api/generate", b'"done":true', b'{"error":', {"model": "sim", "prompt": "Hi"}),
]
CHAT = Stream("/chat", b"[DONE]", b"event: error\ndata: {", {"messages": MESSAGES})

plain_and_providers = pytest.mark.parametrize("stream", [*PLAIN, *PROVIDERS], ids=lambda stream: stream.path)
all_streams = pytest.mark.parametrize("stream", [*PLAIN, *PROVIDERS, CHAT], ids=lambda stream: stream.path)
provider_streams = pytest.mark.parametrize("stream", PROVIDERS, ids=lambda stream: stream.path)


def served(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Pass the test a server as `here` and check afterwards that it released everything.

    A fixture would be torn down in another task.
    """

    @wraps(test)
    async def run(**given: object) -> None:
        async with running() as here:
            await test(here=here, **given)
            await wait_released(here)

    requested = signature(test)
    kept = [each for name, each in requested.parameters.items() if name != "here"]
    run.__signature__ = requested.replace(parameters=kept)  # type: ignore[attr-defined]
    return run


async def wait_released(server: Running) -> None:
    """Return once streams, timers and slots of the concurrency limiter are released; `running` checks tasks."""
    limiter = server.server.parts.state.limiter
    kinds = ("connections", "streams", "on the wheel")

    def used() -> list[int]:
        return [*map(server.resources().__getitem__, kinds), limiter.active, limiter.waiting]

    await eventually(lambda: not any(used()), used)


async def read_all(client: Client) -> tuple[list[bytes], str]:
    """Return all reads until the peer closes, and `closed` or `reset`."""
    got: list[bytes] = []
    try:
        while data := await client.receive():
            got.append(data)
    except ConnectionResetError:
        return got, "reset"
    return got, "closed"


async def read_to_break(here: Running, data: bytes) -> tuple[bytes, str]:
    async with await Client.connect(here.port) as client:
        await client.send(data)
        got, ending = await read_all(client)
        return b"".join(got), ending


async def control(here: Running, path: str, body: object = None, *, method: str = "PATCH") -> dict[str, Any]:
    data = request(path) if body is None and method == "PATCH" else request(path, method=method, body=json.dumps(body))
    response = await fetch(here.port, data)
    assert response.status in (200, 204), response.body
    document: dict[str, Any] = json.loads(response.body) if response.body else {}
    return document


async def wait_for_gate(here: Running, name: str, **state: int) -> None:
    """Request `/sim/gates` until a gate has this state."""
    async with asyncio.timeout(10):
        while True:
            gates = {gate["name"]: gate for gate in (await control(here, "/sim/gates"))["gates"]}
            if name in gates and state.items() <= gates[name].items():
                return


async def wait_gate_removed(here: Running, name: str) -> None:
    """Request `/sim/gates` until an unused gate is removed."""
    async with asyncio.timeout(10):
        while name in {gate["name"] for gate in (await control(here, "/sim/gates"))["gates"]}:
            pass


# Faults on the wire


@plain_and_providers
@served
async def test_reset_fault_resets_after_the_earlier_tokens(here: Running, stream: Stream) -> None:
    data, ending = await read_to_break(here, stream.request("fault=reset@2"))

    assert ending == "reset"
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert BEFORE in data
    assert AFTER not in data
    assert not data.endswith(LAST_CHUNK)


@plain_and_providers
@served
async def test_close_fault_is_a_fin_without_the_end_of_the_body(here: Running, stream: Stream) -> None:
    data, ending = await read_to_break(here, stream.request("fault=close@2"))

    assert ending == "closed"
    assert BEFORE in data
    assert AFTER not in data
    assert not data.endswith(LAST_CHUNK)
    assert not stream.end or stream.end not in data


@plain_and_providers
@pytest.mark.parametrize("kind", ["reset", "close"])
@served
async def test_fault_after_the_last_token_applies_at_the_end(here: Running, stream: Stream, kind: str) -> None:
    data, ending = await read_to_break(here, stream.request(f"fault={kind}@99"))

    assert ending == {"reset": "reset", "close": "closed"}[kind]
    assert LAST in data
    assert not data.endswith(LAST_CHUNK)
    assert not stream.end or stream.end not in data


@plain_and_providers
@served
async def test_nodone_fault_omits_the_end_marker_and_completes_the_body(here: Running, stream: Stream) -> None:
    async with await Client.connect(here.port) as client:
        response = await client.fetch(stream.request("fault=nodone@0"))
        assert LAST in response.body
        assert not stream.end or stream.end not in response.body
        assert (await client.fetch(request("/livez"))).status == 200  # the connection stays usable


@plain_and_providers
@served
async def test_error_fault_is_a_dialect_error_and_the_last_frame(here: Running, stream: Stream) -> None:
    response = await fetch(here.port, stream.request("fault=error@2"))
    *_, last = re.split(rb"\n(?=data: |event: |\{)", response.body.rstrip(b"\n")) if stream.error else [b""]

    assert response.status == 200
    assert BEFORE in response.body
    assert AFTER not in response.body
    assert CONFIGURED_ERROR in last
    assert stream.error.rpartition(b"\n")[2].removeprefix(b"data: ").rstrip(b"{") in last
    assert stream.error in response.body
    assert not stream.end or stream.end not in response.body


@plain_and_providers
@served
async def test_garbage_fault_is_unparsable_and_the_stream_continues(here: Running, stream: Stream) -> None:
    response = await fetch(here.port, stream.request("fault=garbage@2"))
    lines = response.body.split(b"\n")
    (garbage,) = [line for line in lines if b"\xff" in line]

    with pytest.raises(UnicodeDecodeError):
        garbage.decode()
    assert garbage.startswith((b"data: ", b"{"))
    with pytest.raises(ValueError, match=r".*"):
        json.loads(garbage.removeprefix(b"data: ").decode("utf-8", "replace"))
    assert stream.end in response.body
    assert LAST in response.body


def without_timestamps(body: bytes) -> bytes:
    return re.sub(rb'_(duration|time)":[\d.]+', b"", body)


@plain_and_providers
@served
async def test_split_token_arrives_in_two_reads_split_inside_a_character(here: Running, stream: Stream) -> None:
    whole = await fetch(here.port, stream.request())
    async with await Client.connect(here.port) as client:
        await client.send(stream.request("fault=split@2"))
        head = await client.head()
        assert head.status == 200
        got: list[bytes] = []
        while not b"".join(got).endswith(LAST_CHUNK):
            got.append(await client.receive())
    (at,) = [number for number, data in enumerate(got) if data.endswith("é".encode()[:1])]
    assert got[at + 1].startswith("é".encode()[1:])
    async with await Client.connect(here.port) as client:
        client.buffered = head.raw + b"".join(got)
        split = await client.read_response()

    assert b"\xc3" not in whole.body
    assert without_timestamps(split.body.replace("é".encode(), b"")) == without_timestamps(whole.body)


@all_streams
@served
async def test_stall_and_drip_faults_delay_the_response(here: Running, stream: Stream) -> None:
    for fault, least_s in (("stall@2:300ms", 0.3), ("drip@2:80ms", 0.3)):
        begun = time.monotonic()
        response = await fetch(here.port, stream.request(f"fault={fault}"))
        assert time.monotonic() - begun >= least_s
        assert response.status == 200
        assert stream.end in response.body


@all_streams
@served
async def test_fault_with_probability_zero_never_happens(here: Running, stream: Stream) -> None:
    response = await fetch(here.port, stream.request("fault=reset@2%0+close@1%0+error@0%0"))

    assert stream.end in response.body
    assert LAST in response.body


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("reset", b"upstream_reset"),
        ("close", b"upstream_truncated"),
        ("nodone", b"upstream_truncated"),
        ("garbage", b"upstream_malformed"),
        ("error", b"upstream_stream_error"),
    ],
)
@served
async def test_chat_reports_a_fault_as_an_upstream_error(here: Running, fault: str, code: bytes) -> None:
    response = await fetch(here.port, CHAT.request(f"fault={fault}@2"))

    assert response.status == 200
    assert BEFORE in response.body
    assert b'event: error\ndata: {"error":{"code":"%b"' % code in response.body
    assert CONFIGURED_ERROR in response.body
    assert CHAT.end not in response.body
    assert (AFTER in response.body) is (fault == "nodone")


@served
async def test_chat_joins_a_split_character(here: Running) -> None:
    response = await fetch(here.port, CHAT.request("fault=split@2"))

    assert "é".encode() in response.body
    assert CHAT.end in response.body


# Complete responses


@provider_streams
@pytest.mark.parametrize(("fault", "ending"), [("reset@2", "reset"), ("close@99", "closed"), ("nodone@0", "closed")])
@served
async def test_fault_in_a_non_streaming_response_precedes_its_first_byte(
    here: Running, stream: Stream, fault: str, ending: str
) -> None:
    assert await read_to_break(here, stream.request(f"fault={fault}", whole=True)) == (b"", ending)


@provider_streams
@served
async def test_non_streaming_response_may_be_an_error_or_garbage(here: Running, stream: Stream) -> None:
    error = await fetch(here.port, stream.request("fault=error@2", whole=True))
    assert error.status == 500
    assert CONFIGURED_ERROR in error.body
    garbage = await fetch(here.port, stream.request("fault=garbage@2", whole=True))
    assert garbage.status == 200
    with pytest.raises(ValueError, match=r".*"):
        json.loads(garbage.body)


@provider_streams
@pytest.mark.parametrize("whole", [True, False])
@served
async def test_the_same_seed_and_request_give_the_same_bytes(here: Running, stream: Stream, whole: bool) -> None:
    base = "gap=2ms~0.5,tokens=5..30,text=words,seed=7"
    one, two = [(await fetch(here.port, stream.request(base=base, whole=whole))).body for _ in range(2)]
    other = (await fetch(here.port, stream.request(base=base.replace("7", "8"), whole=whole))).body

    assert one == two != other


# Errors instead of responses


@all_streams
@served
async def test_status_rule_is_applied_the_given_number_of_times_with_retry_after(here: Running, stream: Stream) -> None:
    async with await Client.connect(here.port) as client:
        responses = [await client.fetch(stream.request("status=503x2:retry=3")) for _ in range(3)]

    assert [response.status for response in responses] == [503, 503, 200]
    assert responses[0].headers["retry-after"] == "3"
    assert CONFIGURED_ERROR in responses[0].body
    assert isinstance(json.loads(responses[0].body), dict)
    assert stream.end in responses[2].body


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
@served
async def test_every_status_can_be_configured(here: Running, status: int) -> None:
    for stream in (PLAIN[0], PROVIDERS[0], CHAT):
        assert (await fetch(here.port, stream.request(f"status={status}"))).status == status
    assert (await fetch(here.port, request("/api/data", X_Sim=f"status={status}"))).status == status


@all_streams
@served
async def test_limit_refuses_with_retry_after(here: Running, stream: Stream) -> None:
    async with await Client.connect(here.port) as client:
        responses: list[ClientResponse] = [await client.fetch(stream.request("limit=rpm=2")) for _ in range(3)]

    assert [response.status for response in responses] == [200, 200, 429]
    assert 28 <= int(responses[2].headers["retry-after"]) <= 30
    if stream.path == "/v1/messages":
        remaining = [response.headers["anthropic-ratelimit-requests-remaining"] for response in responses]
        assert remaining == ["1", "0", "0"]
    if stream.path.endswith("/v1/chat/completions"):
        assert [response.headers["x-ratelimit-remaining-requests"] for response in responses] == ["1", "0", "0"]


# Gates


@all_streams
@served
async def test_stream_waits_at_its_gate_until_it_opens(here: Running, stream: Stream) -> None:
    async with await Client.connect(here.port) as client:
        await client.send(stream.request("gate=g@2"))
        await wait_for_gate(here, "g", waiting=1, passed=0)
        before = await client.until(BEFORE)
        assert AFTER not in before + client.buffered
        await control(here, "/sim/gates/g", {"tokens": 1})
        await wait_for_gate(here, "g", waiting=1, passed=1, tokens=0)
        await client.until(AFTER)
        assert LAST not in client.buffered
        await control(here, "/sim/gates/g", {"open": True})
        await client.until(LAST_CHUNK)
        assert (await control(here, "/sim/gates/g"))["passed"] == 4


@served
async def test_allowed_tokens_pass_in_fifo_order(here: Running) -> None:
    stream = PLAIN[0]
    clients = [await Client.connect(here.port) for _ in range(3)]
    try:
        for number, client in enumerate(clients):
            await client.send(stream.request("gate=g"))
            await wait_for_gate(here, "g", waiting=number + 1)
        await control(here, "/sim/gates/g", {"tokens": 2})
        await wait_for_gate(here, "g", passed=2, waiting=3)
        for client in clients[:2]:
            await client.until(WORDS[0].encode())
        assert b"data:" not in await clients[2].until(b"\r\n\r\n") + clients[2].buffered
        await control(here, "/sim/gates/g", None, method="DELETE")
        for client in clients:
            await client.until(LAST_CHUNK)
    finally:
        for client in clients:
            client.close()


@all_streams
@served
async def test_disconnect_at_a_gate_releases_everything(here: Running, stream: Stream) -> None:
    async with await Client.connect(here.port) as client:
        await client.send(stream.request("gate=g@1,load=2@8"))
        await wait_for_gate(here, "g", waiting=1)
    await wait_gate_removed(here, "g")
    await wait_released(here)


# Load


@all_streams
@served
async def test_stream_over_the_load_limit_begins_when_another_ends(here: Running, stream: Stream) -> None:
    limiter = here.server.parts.state.limiter
    first, second, third = [await Client.connect(here.port) for _ in range(3)]
    try:
        await first.send(stream.request("load=1@2,gate=a@1"))
        await wait_for_gate(here, "a", waiting=1)
        await second.send(stream.request("load=1@2,gate=b@1"))
        await wait_for_gate(here, "b", waiting=1)
        await third.send(stream.request("load=1@2"))
        await eventually(lambda: limiter.waiting == 1, lambda: limiter.waiting)
        assert (await control(here, "/sim"))["streams"] == 2
        await control(here, "/sim/gates/a", {"open": True})
        await first.until(LAST_CHUNK)
        await third.until(LAST_CHUNK)
        assert (await control(here, "/sim/gates/b"))["waiting"] == 1
        await control(here, "/sim/gates/b", {"open": True})
        await second.until(LAST_CHUNK)
    finally:
        for client in (first, second, third):
            client.close()


@served
async def test_disconnect_in_the_queue_does_not_delay_the_next_stream(here: Running) -> None:
    limiter, stream = here.server.parts.state.limiter, PLAIN[0]
    first, second, third = [await Client.connect(here.port) for _ in range(3)]
    await first.send(stream.request("load=1@1,gate=a"))
    await wait_for_gate(here, "a", waiting=1)
    for number, client in enumerate((second, third)):
        await client.send(stream.request("load=1@1"))
        await eventually(lambda number=number: limiter.waiting == number + 1, lambda: limiter.waiting)  # type: ignore[misc]
    second.close()
    await eventually(lambda: limiter.waiting == 1, lambda: limiter.waiting)
    first.close()
    await third.until(LAST_CHUNK)
    third.close()


@served
async def test_head_request_does_not_count_into_the_load_limit(here: Running) -> None:
    for _ in range(3):
        assert (await fetch(here.port, request("/stream-sse", method="HEAD"))).status == 200
        assert (await fetch(here.port, request("/stream-sse", method="HEAD", X_Sim="load=1@1"))).status == 200

    assert (await control(here, "/sim"))["streams"] == 0


# Control while streams run


@served
async def test_changed_settings_apply_to_later_requests(here: Running) -> None:
    async with await Client.connect(here.port) as client:
        await client.send(request("/stream-sse?gate=g"))
        await wait_for_gate(here, "g", waiting=1)
        document = await control(here, "/sim", {"sim": "tokens=2,gap=1ms", "journal": True})
        assert document == {"sim": "gap=0.001s,tokens=2..2", "journal": True, "streams": 1}
        for data in (request("/stream-ndjson"), PROVIDERS[0].request(base=""), CHAT.request(base="")):
            body = (await fetch(here.port, data)).body
            assert BEFORE in body
            assert AFTER not in body
        noted = (await control(here, "/sim/requests"))["requests"]
        assert [each["path"] for each in noted] == ["/stream-ndjson", "/v1/chat/completions", "/chat"]
        await control(here, "/sim", None, method="DELETE")  # removes the gate and releases the requests that wait at it
        assert (await control(here, "/sim")) == {"sim": "gap=0.1s", "journal": False, "streams": 1}
        assert AFTER in await client.until(AFTER)


async def test_drain_ends_a_stream_at_a_gate_with_a_shutdown_frame() -> None:
    async with running() as server:
        client = await Client.connect(server.port)
        await client.send(PLAIN[0].request("gate=g@1,load=1@1"))
        await wait_for_gate(server, "g", waiting=1)
        await server.server.stop()
        rest = await client.read_to_end()
        client.close()
        assert b"shutting_down" in rest
        assert rest.endswith(LAST_CHUNK)
        assert server.server.parts.state.limiter.active == 0
