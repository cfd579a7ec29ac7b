"""Several processes for the same callers: servers that share a Redis, workers that share a SQLite file."""

import asyncio
import json
import signal
import time
from collections.abc import Callable

import pytest

from tests.end_to_end.chatting import DONE, chat, error_of, history, response_text, start_stream
from tests.end_to_end.client import PATIENCE_S, Client, ClientResponse, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import eventually
from tests.end_to_end.process import ServerProcess
from tests.stores.fixtures import redis, redis_server
from tests.stores.redis_server import RedisServer

__all__ = ["redis", "redis_server"]

LONG = "sim:gap=20ms,tokens=400"
"""Runs for 8 s."""

SHORT = "sim:gap=20ms,tokens=40"

RATE, BURST = 20, 10

Pair = tuple[ServerProcess, ServerProcess]


@pytest.fixture
def pair(serve: Serve, redis: RedisServer) -> Callable[..., Pair]:
    """Starts two servers that share only Redis."""

    def start(**environment: str) -> Pair:
        first, second = (serve(REDIS_URL=redis.url, **environment) for _ in range(2))
        return first, second

    return start


async def start_turn(server: ServerProcess, model: str, **headers: str) -> tuple[Client, str]:
    """Start a chat stream; return its client after the head, and the turn id."""
    client = await start_stream(server.port, chat("Hi", model=model, headers=headers))
    head = await client.head()
    assert head.status == 200
    return client, head.headers["x-turn-id"]


async def rest_of_stream(client: Client) -> bytes:
    """Return the rest of a stream whose head was read."""
    return b"".join(await client.chunks())


async def read_frames(client: Client, count: int) -> bytes:
    return b"".join([await client.chunk() for _ in range(count)])


def resume(turn: str, *, after: int = 0) -> bytes:
    return request(f"/chat/turns/{turn}", Last_Event_ID=str(after))


async def resumed(server: ServerProcess, turn: str, *, after: int = 0) -> bytes:
    response = await fetch(server.port, resume(turn, after=after))
    assert response.status == 200, response.body
    return response.body


def after_event(stream: bytes, number: int) -> bytes:
    """Return the frames after event `number`."""
    frames = stream.split(b"\n\n")
    (at,) = [at for at, frame in enumerate(frames) if b"id: %d\n" % number in frame + b"\n"]
    return b"\n\n".join(frames[at + 1 :])


def problem(response: ClientResponse) -> dict[str, str]:
    document: dict[str, str] = json.loads(response.body)
    return document


# Servers with one Redis


async def test_turn_is_resumed_from_another_process_during_and_after_it(pair: Callable[..., Pair]) -> None:
    here, there = pair()
    client, turn = await start_turn(here, SHORT)
    first = await read_frames(client, 10)
    from_the_beginning, from_the_middle = (asyncio.ensure_future(resumed(there, turn, after=after)) for after in (0, 7))
    whole = first + await rest_of_stream(client)
    client.close()

    assert whole.endswith(DONE)
    assert await from_the_beginning == whole
    assert await from_the_middle == after_event(whole, 7)
    for server in (here, there):
        assert await resumed(server, turn) == whole
        assert await resumed(server, turn, after=39) == after_event(whole, 39)
    response = await fetch(there.port, resume(turn, after=1000))
    assert (response.status, problem(response)["code"]) == (410, "resume_expired")


async def test_turn_is_stopped_through_another_process(pair: Callable[..., Pair]) -> None:
    here, there = pair()
    client, turn = await start_turn(here, LONG)
    await read_frames(client, 3)
    response = await fetch(there.port, request(f"/chat/turns/{turn}/stop", method="POST"))
    kept = await history(there.port)

    assert response.status == 204
    rest = await rest_of_stream(client)
    client.close()
    assert error_of(rest)["code"] == "stopped"
    assert (kept[-1]["role"], kept[-1]["status"]) == ("assistant", "interrupted")
    assert error_of(await resumed(there, turn))["code"] == "stopped"
    assert response_text(await resumed(there, turn)) == kept[-1]["content"]
    assert (await fetch(there.port, request(f"/chat/turns/{turn}/stop", method="POST"))).status == 204


async def test_requests_with_one_key_at_two_servers_are_one_turn(pair: Callable[..., Pair]) -> None:
    here, there = pair()
    key = {"Idempotency-Key": "key 1"}
    client, turn = await start_turn(here, SHORT, **key)
    again = asyncio.ensure_future(fetch(there.port, chat("Hi", model=SHORT, headers=key)))
    whole = await rest_of_stream(client)
    client.close()

    assert whole.endswith(DONE)
    for response in (await again, *[await fetch(s.port, chat("Hi", model=SHORT, headers=key)) for s in (there, here)]):
        assert (response.status, response.headers["x-turn-id"], response.body) == (200, turn, whole)
    other = await fetch(there.port, chat("Another", model=SHORT, headers=key))
    assert (other.status, problem(other)["code"]) == (422, "idempotency_mismatch")
    assert len(await history(there.port)) == 2


async def test_one_of_many_concurrent_requests_with_one_key_runs(pair: Callable[..., Pair]) -> None:
    both = pair()
    question = chat("Hi", model=SHORT, headers={"Idempotency-Key": "key 2"})
    responses = await asyncio.gather(*(fetch(both[number % 2].port, question) for number in range(30)))

    assert {response.status for response in responses} == {200}
    assert len({(response.headers["x-turn-id"], response.body) for response in responses}) == 1
    assert len(await history(both[0].port)) == 2


async def test_conversations_of_a_key_are_the_same_in_all_processes(pair: Callable[..., Pair]) -> None:
    here, there = pair(API_KEY="alice,bob")
    alice, bob = ({"Authorization": f"Bearer {key}"} for key in ("alice", "bob"))
    response = await fetch(here.port, chat("Hi", conversation="c1", headers=alice))
    turn = response.headers["x-turn-id"]

    assert response_text(response.body)
    (one,) = json.loads((await fetch(there.port, request("/conversations", **alice))).body)
    assert one["id"] == "c1"
    assert json.loads((await fetch(there.port, request("/conversations", **bob))).body) == []
    assert (await history(there.port, "?conversation=c1", **alice))[-1]["content"] == response_text(response.body)
    for owner, status in ((alice, 200), (bob, 404)):
        assert (await fetch(there.port, request(f"/chat/turns/{turn}", **owner))).status == status


async def test_turn_of_a_terminated_process_is_interrupted_for_followers_elsewhere(pair: Callable[..., Pair]) -> None:
    here, there = pair(DRAIN_TIMEOUT="500ms")
    client, turn = await start_turn(here, LONG)
    first = await read_frames(client, 3)
    following = asyncio.ensure_future(resumed(there, turn))
    here.signal(signal.SIGTERM)
    stream = first + await rest_of_stream(client)
    client.close()

    shutdown_frame = error_of(stream)
    assert (shutdown_frame["code"], shutdown_frame["turn"], shutdown_frame["resumable"]) == (
        "shutting_down",
        turn,
        True,
    )
    assert here.wait() == 0
    for body in (await following, await resumed(there, turn)):
        assert error_of(body)["code"] == "shutting_down"
        assert response_text(body) == response_text(stream)
    assert (await history(there.port))[-1]["content"] == response_text(stream)


async def test_turn_of_a_killed_process_is_lost_for_followers_elsewhere(pair: Callable[..., Pair]) -> None:
    here, there = pair()
    client, turn = await start_turn(here, LONG)
    stream = await read_frames(client, 20)
    async with await Client.connect(there.port) as follower:
        await follower.send(resume(turn))
        await follower.head()
        body = await read_frames(follower, 10)
        here.signal(signal.SIGKILL)
        here.expected_status = -signal.SIGKILL
        here.wait()
        killed_s = time.monotonic()
        body += await rest_of_stream(follower)
        assert time.monotonic() - killed_s < 4.0
    client.close()

    assert error_of(body)["code"] == "turn_lost"
    assert stream.startswith(b"id: 1\n") == body.startswith(b"id: 1\n")
    assert (await fetch(there.port, request(f"/chat/turns/{turn}/stop", method="POST"))).status == 503


async def test_processes_without_redis_report_degraded_features(pair: Callable[..., Pair], redis: RedisServer) -> None:
    here, there = pair(HISTORY_URL="memory://")
    alone, _ = pair()
    for server in (here, there, alone):
        assert await readiness(server) == (200, {"status": "ready"})
    redis.stop()

    for server in (here, there):
        assert await readiness(server) == (200, {"status": "degraded", "failing": ["turns"]})
        assert (await fetch(server.port, chat("Hi"))).body.endswith(DONE)
        keyed = await fetch(server.port, chat("Hi", headers={"Idempotency-Key": "k"}))
        assert (keyed.status, problem(keyed)["code"]) == (503, "store_unavailable")
    assert await readiness(alone) == (503, {"status": "unavailable", "failing": ["history", "turns"]})
    redis.restart()
    for server in (here, there, alone):
        async with asyncio.timeout(PATIENCE_S):
            while await readiness(server) != (200, {"status": "ready"}):
                pass
    client, turn = await start_turn(here, SHORT)
    async with asyncio.timeout(PATIENCE_S):  # the copying of turns retries Redis every 0.5 s
        while (await fetch(there.port, resume(turn))).status == 404:
            pass
    assert await resumed(there, turn) == await rest_of_stream(client)
    client.close()


async def test_server_starts_without_its_redis_and_logs_the_setting(serve: Serve) -> None:
    server = serve(REDIS_URL="redis://127.0.0.1:1")
    warning = "REDIS_URL: this Redis does not respond; /readyz lists the failing stores"
    await eventually(lambda: warning in server.log(), server.log)

    assert await readiness(server) == (503, {"status": "unavailable", "failing": ["history", "turns"]})


async def readiness(server: ServerProcess) -> tuple[int, dict[str, object]]:
    response = await fetch(server.port, request("/readyz"))
    return response.status, json.loads(response.body)


async def test_two_servers_share_a_limit(pair: Callable[..., Pair]) -> None:
    here, there = pair(RATE_LIMIT_RPS=str(RATE), RATE_LIMIT_BURST=str(BURST))
    await check_rate([here.port, there.port])


# Workers with one file


@pytest.fixture
def workers(serve: Serve) -> Callable[..., ServerProcess]:
    def start(**environment: str) -> ServerProcess:
        return serve(WORKERS="2", HISTORY_URL="sqlite:///chat.db", **environment)

    return start


async def test_workers_without_redis_refuse_idempotency_keys(workers: Callable[..., ServerProcess]) -> None:
    server = workers()
    response = await fetch(server.port, chat("Hi", headers={"Idempotency-Key": "key"}))

    assert (response.status, problem(response)["code"]) == (400, "idempotency_unavailable")
    assert "TURNS_URL=redis://" in problem(response)["detail"]


async def test_turn_of_one_worker_is_in_the_history_of_all(workers: Callable[..., ServerProcess]) -> None:
    server = workers()
    responses = await asyncio.gather(*(fetch(server.port, chat(f"Hi {n}", conversation=f"c{n}")) for n in range(40)))
    kept = await asyncio.gather(*(history(server.port, f"?conversation=c{n}") for n in range(40)))

    assert all(response.body.endswith(DONE) for response in responses)
    for number, messages in enumerate(kept):
        assert [message["content"] for message in messages] == [f"Hi {number}", response_text(responses[number].body)]
    for _ in range(10):  # one conversation, served by any worker
        assert (await fetch(server.port, chat("More", conversation="c0"))).body.endswith(DONE)
    assert len(await history(server.port, "?conversation=c0")) == 22


async def test_workers_share_a_limit(workers: Callable[..., ServerProcess]) -> None:
    server = workers(RATE_LIMIT_RPS=str(RATE), RATE_LIMIT_BURST=str(BURST))
    await check_rate([server.port])


async def check_rate(ports: list[int]) -> None:
    """Send requests on old and new connections as fast as possible; check for burst + rate x t, not much less."""
    statuses: list[int] = []
    begun_s = time.monotonic()
    until_s = begun_s + 2.0

    async def hammer(port: int) -> None:
        while time.monotonic() < until_s:
            responses: list[ClientResponse] = []
            async with await Client.connect(port) as client:
                responses += [await client.fetch(request("/conversations")) for _ in range(5)]
            statuses.extend(response.status for response in responses)

    await asyncio.gather(*(hammer(port) for port in ports for _ in range(16 // len(ports))))
    took_s = time.monotonic() - begun_s

    assert set(statuses) == {200, 429}
    allowed = statuses.count(200)
    assert allowed <= BURST + RATE * took_s
    assert allowed >= BURST + RATE * 2.0 * 0.8
