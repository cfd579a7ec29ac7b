"""A turn is followed, stopped and repeated through another process; the process that runs it may be killed. (D3)"""

import asyncio
import time
from random import Random

import pytest

from tests.end_to_end.chatting import DONE, chat, error_of
from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.reliability.rows import Tally
from tests.reliability.virtual_users import DISCONNECT_ERRORS, kill, random_delay, stored_messages
from tests.stores.redis_server import RedisServer

LOST_WITHIN_S = 5.0
GAP_S = 0.01
COPY_INTERVAL_S = 0.04
"""The interval at which a turn is copied to Redis. Tokens sent after the last copy may be lost by a kill."""

EXTRA_TOKENS = 30
"""Further tokens that may be lost on a loaded machine."""

CONCURRENCY = 5


class TurnReader:
    """A client that reads the stream of one turn."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.turn_id = ""
        self.status = 0
        self.frames = b""

    @classmethod
    async def start(cls, port: int, data: bytes) -> "TurnReader":
        """Send a request; return when the head of the response has been received."""
        reader = cls(await Client.connect(port))
        await reader.client.send(data)
        head = await reader.client.head()
        reader.status, reader.turn_id = head.status, head.headers.get("x-turn-id", "")
        assert reader.status == 200
        return reader

    async def read_frames(self, count: int) -> None:
        """Read at least `count` more frames."""
        target = self.frames.count(b"\n\n") + count
        while self.frames.count(b"\n\n") < target:
            self.frames += await self.client.chunk()

    async def rest(self) -> bytes:
        """Read to the end of the stream or the loss of the connection. Returns all frames, from the first."""
        try:
            while data := await self.client.chunk():
                self.frames += data
        except DISCONNECT_ERRORS:
            pass
        self.client.close()
        return self.frames


def numbered_frames(frames: bytes) -> list[bytes]:
    """The complete frames with an event id."""
    return [frame for frame in frames.split(b"\n\n")[:-1] if frame.startswith(b"id: ")]


def question(name: str, *, tokens: int, **headers: str) -> bytes:
    model = f"sim:tokens={tokens},gap={round(GAP_S * 1000)}ms"
    return chat(name, model=model, conversation=name, on_disconnect="finish", headers=headers)


def follow(turn_id: str, after: int) -> bytes:
    return request(f"/chat/turns/{turn_id}", Last_Event_ID=str(after))


@pytest.fixture
def a(serve: Serve, redis: RedisServer) -> ServerProcess:
    return serve(REDIS_URL=redis.url)


@pytest.fixture
def b(serve: Serve, a: ServerProcess, redis: RedisServer) -> ServerProcess:
    return serve(REDIS_URL=redis.url)


async def kill_followed_server(server: ServerProcess, port: int, *, name: str, random: Random) -> tuple[float, int]:
    """Kill a server whose turn is followed through another process.

    Returns the seconds until the follower received `turn_lost`, and the number of lost tokens.
    """
    requester = await TurnReader.start(server.port, question(name, tokens=2000))
    await requester.read_frames(random.randrange(1, 20))
    after = random.randrange(0, requester.frames.count(b"\n\n") + 1)
    await asyncio.sleep(2 * COPY_INTERVAL_S)  # until these frames have been copied
    follower = await TurnReader.start(port, follow(requester.turn_id, after))
    reading = asyncio.gather(requester.rest(), follower.rest())
    await random_delay(random, 0.0, 0.5)
    await asyncio.to_thread(kill, server)
    killed_s = time.monotonic()
    sent, followed = await reading
    waited_s = time.monotonic() - killed_s
    assert error_of(followed)["code"] == "turn_lost"
    assert waited_s < LOST_WITHIN_S
    frames, all_sent = numbered_frames(followed), numbered_frames(sent)
    assert frames == all_sent[after : after + len(frames)], "the follower receives the same frames, each once"
    lost = len(all_sent) - after - len(frames)
    assert 0 <= lost <= COPY_INTERVAL_S / GAP_S + EXTRA_TOKENS, "at most the tokens since the last copy are lost"
    return waited_s, lost


@pytest.mark.row("lost")
async def test_follower_of_a_killed_process_gets_turn_lost(
    serve: Serve, b: ServerProcess, tally: Tally, random: Random, redis: RedisServer
) -> None:
    results: list[tuple[float, int]] = []
    rounds = list(tally.rounds())
    for some in (rounds[at : at + CONCURRENCY] for at in range(0, len(rounds), CONCURRENCY)):
        servers = [serve(REDIS_URL=redis.url) for _ in some]
        results += await asyncio.gather(
            *(
                kill_followed_server(server, b.port, name=f"lost-{number}", random=Random(f"{random.random()}"))
                for number, server in zip(some, servers, strict=True)
            )
        )
    longest, most = max(waited for waited, _ in results), max(lost for _, lost in results)
    tally.passed(f"`turn_lost` after at most {longest:.1f} s; at most the last {most} tokens of a turn were lost")


@pytest.mark.row("followed")
async def test_follower_in_another_process_receives_all_events(
    a: ServerProcess, b: ServerProcess, tally: Tally, random: Random
) -> None:
    frames = 0
    for number in tally.rounds():
        requester = await TurnReader.start(a.port, question(f"whole-{number}", tokens=random.randrange(20, 80)))
        await requester.read_frames(random.randrange(1, 10))
        after = random.randrange(0, requester.frames.count(b"\n\n") + 1)
        await asyncio.sleep(2 * COPY_INTERVAL_S)
        follower = await TurnReader.start(b.port, follow(requester.turn_id, after))
        sent, followed = await asyncio.gather(requester.rest(), follower.rest())
        assert followed.endswith(DONE)
        assert followed == b"".join(frame + b"\n\n" for frame in numbered_frames(sent)[after:]) + DONE
        frames += len(numbered_frames(followed))
    tally.passed(f"{frames} events, byte for byte those of the first client")


@pytest.mark.row("stopped")
async def test_turn_is_stopped_from_another_process(
    a: ServerProcess, b: ServerProcess, tally: Tally, random: Random
) -> None:
    longest = 0.0
    for number in tally.rounds():
        name = f"stopped-{number}"
        requester = await TurnReader.start(a.port, question(name, tokens=2000))
        await requester.read_frames(random.randrange(1, 10))
        await asyncio.sleep(2 * COPY_INTERVAL_S)
        start_s = time.monotonic()
        stop = fetch(b.port, request(f"/chat/turns/{requester.turn_id}/stop", method="POST"))
        answer, sent = await asyncio.gather(stop, requester.rest())
        longest = max(longest, time.monotonic() - start_s)
        assert answer.status == 204
        assert error_of(sent)["code"] == "stopped"
        _, stored_response = await stored_messages(b.port, name)
        assert stored_response["status"] == "interrupted"
    assert longest < LOST_WITHIN_S
    tally.passed(f"ended after at most {longest:.1f} s, and stored as interrupted")


@pytest.mark.row("repeated")
async def test_request_repeated_in_another_process_is_run_once(
    a: ServerProcess, b: ServerProcess, tally: Tally, random: Random
) -> None:
    for number in tally.rounds():
        name = f"repeated-{number}"
        data = question(name, tokens=30, Idempotency_Key=f"key {number}")
        requester = await TurnReader.start(a.port, data)
        await random_delay(random, 0.0, 0.2)
        repeated = await TurnReader.start(b.port, data)
        assert repeated.turn_id == requester.turn_id
        sent, followed = await asyncio.gather(requester.rest(), repeated.rest())
        assert followed == sent
        assert followed.endswith(DONE)
        assert len(await stored_messages(b.port, name)) == 2, "one question and one response"
    tally.passed("the same turn, byte for byte, and stored once")
