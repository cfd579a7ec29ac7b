"""A turn is followed, stopped and requested again in a process that does not run it, which may be killed."""

import asyncio
import time
from random import Random

import pytest

from tests.end_to_end.chatting import DONE, chat, error_of
from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.reliability.rows import Tally
from tests.reliability.talks import PARTING, kept, kill, moment
from tests.stores.redis_server import RedisServer

LOST_WITHIN_S = 5.0
GAP_S = 0.01
UNWRITTEN_S = 0.04
"""How often a turn is copied; a kill may lose what was sent since."""

SLACK = 30
"""Tokens more than that, for a machine that is busy with other things."""

AT_ONCE = 5


class Heard:
    """A stream that is read in the background."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.turn = ""
        self.status = 0
        self.frames = b""

    @classmethod
    async def begun(cls, port: int, data: bytes) -> "Heard":
        received = cls(await Client.connect(port))
        await received.client.send(data)
        head = await received.client.head()
        received.status, received.turn = head.status, head.headers.get("x-turn-id", "")
        assert received.status == 200
        return received

    async def until(self, count: int) -> None:
        """So many frames more at least."""
        target = self.frames.count(b"\n\n") + count
        while self.frames.count(b"\n\n") < target:
            self.frames += await self.client.chunk()

    async def rest(self) -> bytes:
        """All frames, to the end or to where the connection is lost."""
        try:
            while data := await self.client.chunk():
                self.frames += data
        except PARTING:
            pass
        self.client.close()
        return self.frames


def pieces(frames: bytes) -> list[bytes]:
    """Whole frames that have a number."""
    return [frame for frame in frames.split(b"\n\n")[:-1] if frame.startswith(b"id: ")]


def question(name: str, *, tokens: int, **headers: str) -> bytes:
    model = f"sim:tokens={tokens},gap={round(GAP_S * 1000)}ms"
    return chat(name, model=model, conversation=name, on_disconnect="finish", headers=headers)


def follow(turn: str, after: int) -> bytes:
    return request(f"/chat/turns/{turn}", Last_Event_ID=str(after))


@pytest.fixture
def a(serve: Serve, redis: RedisServer) -> ServerProcess:
    return serve(REDIS_URL=redis.url)


@pytest.fixture
def b(serve: Serve, a: ServerProcess, redis: RedisServer) -> ServerProcess:
    return serve(REDIS_URL=redis.url)


async def killed_while_followed(server: ServerProcess, port: int, *, name: str, random: Random) -> tuple[float, int]:
    """How long the follower waited for the word that all is lost, and how many tokens were."""
    requested = await Heard.begun(server.port, question(name, tokens=2000))
    await requested.until(random.randrange(1, 20))
    after = random.randrange(0, requested.frames.count(b"\n\n") + 1)
    await asyncio.sleep(2 * UNWRITTEN_S)  # so far it is surely written
    following = await Heard.begun(port, follow(requested.turn, after))
    both = asyncio.gather(requested.rest(), following.rest())
    await moment(random, 0.0, 0.5)
    await asyncio.to_thread(kill, server)
    killed_s = time.monotonic()
    sent, exchange = await both
    waited_s = time.monotonic() - killed_s
    assert error_of(exchange)["code"] == "turn_lost"
    assert waited_s < LOST_WITHIN_S
    frames, all_sent = pieces(exchange), pieces(sent)
    assert frames == all_sent[after : after + len(frames)], "each once, in order, byte for byte"
    lost = len(all_sent) - after - len(frames)
    assert 0 <= lost <= UNWRITTEN_S / GAP_S + SLACK, "all but the last batch"
    return waited_s, lost


@pytest.mark.row("lost")
async def test_follower_of_a_killed_process_gets_turn_lost(
    serve: Serve, b: ServerProcess, tally: Tally, random: Random, redis: RedisServer
) -> None:
    results: list[tuple[float, int]] = []
    rounds = list(tally.rounds())
    for some in (rounds[at : at + AT_ONCE] for at in range(0, len(rounds), AT_ONCE)):
        doomed = [serve(REDIS_URL=redis.url) for _ in some]
        results += await asyncio.gather(
            *(
                killed_while_followed(server, b.port, name=f"lost-{number}", random=Random(f"{random.random()}"))
                for number, server in zip(some, doomed, strict=True)
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
        requested = await Heard.begun(a.port, question(f"whole-{number}", tokens=random.randrange(20, 80)))
        await requested.until(random.randrange(1, 10))
        after = random.randrange(0, requested.frames.count(b"\n\n") + 1)
        await asyncio.sleep(2 * UNWRITTEN_S)
        following = await Heard.begun(b.port, follow(requested.turn, after))
        sent, exchange = await asyncio.gather(requested.rest(), following.rest())
        assert exchange.endswith(DONE)
        assert exchange == b"".join(frame + b"\n\n" for frame in pieces(sent)[after:]) + DONE
        frames += len(pieces(exchange))
    tally.passed(f"{frames} events, byte for byte those of the first client")


@pytest.mark.row("stopped")
async def test_a_turn_is_stopped_from_another_process(
    a: ServerProcess, b: ServerProcess, tally: Tally, random: Random
) -> None:
    longest = 0.0
    for number in tally.rounds():
        name = f"stopped-{number}"
        requested = await Heard.begun(a.port, question(name, tokens=2000))
        await requested.until(random.randrange(1, 10))
        await asyncio.sleep(2 * UNWRITTEN_S)
        begun_s = time.monotonic()
        stop = fetch(b.port, request(f"/chat/turns/{requested.turn}/stop", method="POST"))
        answer, sent = await asyncio.gather(stop, requested.rest())
        longest = max(longest, time.monotonic() - begun_s)
        assert answer.status == 204
        assert error_of(sent)["code"] == "stopped"
        _, kept_answer = await kept(b.port, name)
        assert kept_answer["status"] == "interrupted"
    assert longest < LOST_WITHIN_S
    tally.passed(f"ended after at most {longest:.1f} s, and stored as interrupted")


@pytest.mark.row("repeated")
async def test_request_repeated_in_another_process_is_run_once(
    a: ServerProcess, b: ServerProcess, tally: Tally, random: Random
) -> None:
    for number in tally.rounds():
        name = f"repeated-{number}"
        data = question(name, tokens=30, Idempotency_Key=f"key {number}")
        requested = await Heard.begun(a.port, data)
        await moment(random, 0.0, 0.2)
        again = await Heard.begun(b.port, data)
        assert again.turn == requested.turn
        sent, exchange = await asyncio.gather(requested.rest(), again.rest())
        assert exchange == sent
        assert exchange.endswith(DONE)
        assert len(await kept(b.port, name)) == 2, "one question and one answer"
    tally.passed("the same turn, byte for byte, and stored once")
