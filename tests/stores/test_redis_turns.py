import asyncio
import logging
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any, Protocol

import msgspec
import pytest
from redis.asyncio import Redis

from tokenfall.conversations import Claim, Conversation, TurnEnd
from tokenfall.errors import NotFound, ResumeExpired, StoreUnavailable, TurnLost, TurnStopped
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.ports import Followed
from tokenfall.reactor.clock import WheelClock
from tokenfall.redis.calls import COMMAND_S
from tokenfall.turns import redis as turns_redis
from tokenfall.turns.copying import Copy
from tokenfall.turns.following import FollowedInRedis
from tokenfall.turns.redis import LEASE_MS, STOP_S, RedisTurns

from tests.doubles.loops import running_reactor
from tests.doubles.turns import HERE, RecordingListener
from tests.stores.redis_server import RedisServer

KEEP_S = 100.0
KEEP_MS = 100_000
PATIENCE_S = 10.0
PIECES = ["Grüße", " ", "", "\x00\n\"'\\", "日本語", "🦊", "x" * 300_000, "end"]
COMPLETE = TurnEnd(Finished("stop", "model-1"))
STOPPED = TurnEnd(code="stopped", message="the response was stopped")

STREAM = "tokenfall:{alice}:turn:"
ALIVE = "tokenfall:{alice}:alive:"
STOP = "tokenfall:{alice}:stop:"
CLAIM = "tokenfall:{alice}:claim:" + sha256(b"key").hexdigest()


class FakeLiveTurn:
    """A `LiveTurn` whose pieces the test appends."""

    def __init__(self, number: int = 1, *, key: str = "", conversation: Conversation = HERE) -> None:
        self.id = f"turn_{number}"
        self.conversation = conversation
        self.idempotency_key = key
        self.end: TurnEnd | None = None
        self.pieces: list[str] = []
        self.stops = 0

    def since(self, position: int, *, max_bytes: int) -> list[str]:
        found: list[str] = []
        for piece in self.pieces[position:]:
            found.append(piece)
            max_bytes -= len(piece.encode(errors="surrogatepass"))
            if max_bytes <= 0:
                break
        return found

    def append(self, *pieces: str) -> None:
        self.pieces += pieces

    def stop(self) -> None:
        self.stops += 1
        self.end = self.end or STOPPED


class AwaitableListener(RecordingListener):
    """A listener with a wait for its texts."""

    def __init__(self) -> None:
        super().__init__()
        self._another = asyncio.Event()

    def on_event(self, delta: TextDelta | ReasoningDelta) -> Any:
        self._another.set()
        return super().on_event(delta)

    async def wait_for_count(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.texts) < count:
                self._another.clear()
                await self._another.wait()


@pytest.fixture
async def clock() -> WheelClock:
    return WheelClock(running_reactor().wheel)


class Instance(Protocol):
    """Creates shared turns as in a separate process: they have only Redis in common."""

    def __call__(self, clock: WheelClock = ...) -> RedisTurns: ...


@pytest.fixture
async def instance(redis: RedisServer, clock: WheelClock) -> AsyncIterator[Instance]:
    made: list[RedisTurns] = []

    def make(clock: WheelClock = clock) -> RedisTurns:
        made.append(RedisTurns(redis.url, keep_s=KEEP_S, clock=clock))
        return made[-1]

    yield make
    redis.reset()
    await asyncio.gather(*(each.close() for each in made))


@pytest.fixture
def here(instance: Instance) -> RedisTurns:
    return instance()


@pytest.fixture
def there(instance: Instance) -> RedisTurns:
    return instance()


@pytest.fixture
async def raw(redis: RedisServer) -> AsyncIterator[Any]:
    """A Redis client for direct access to the stored keys."""
    client = Redis.from_url(redis.url)
    yield client
    await client.aclose()


async def follow(turns: RedisTurns, turn: FakeLiveTurn, *, after: int = 0) -> Followed:
    return await turns.follow(turn.conversation.owner, turn.id, after=after)


async def run_ready_callbacks() -> None:
    """Run all ready callbacks, without waiting for I/O."""
    for _ in range(50):
        await asyncio.sleep(0)


async def stored(turns: RedisTurns, turn: FakeLiveTurn) -> FollowedInRedis:
    """Try to follow the turn until it is in Redis, and return it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await turns.follow(turn.conversation.owner, turn.id, after=0)
            except (NotFound, StoreUnavailable):
                pass


async def end_stored(turns: RedisTurns, turn: FakeLiveTurn) -> None:
    """Return once the turn is in Redis with its end."""
    followed = await stored(turns, turn)
    await asyncio.wait_for(followed.end(), PATIENCE_S)


async def followed_texts(turns: RedisTurns, turn: FakeLiveTurn, *, after: int = 0) -> list[str]:
    """Follow a turn to its end and return its texts."""
    listener = RecordingListener()
    followed = await follow(turns, turn, after=after)
    assert (followed.id, followed.conversation, followed.after) == (turn.id, turn.conversation, after)
    async with asyncio.timeout(PATIENCE_S):
        assert await followed.run(listener.on_event) == Finished("stop", "model-1")
    return listener.texts


class KillableClock(WheelClock):
    """A clock that can cancel its last sleeping task, to simulate a killed process that writes nothing more."""

    sleeper: "asyncio.Task[Any] | None" = None

    async def sleep_until(self, deadline_s: float) -> None:
        self.sleeper = asyncio.current_task()
        await super().sleep_until(deadline_s)

    async def kill(self) -> None:
        assert self.sleeper is not None
        self.sleeper.cancel()
        await asyncio.gather(self.sleeper, return_exceptions=True)


# Following


async def test_turn_is_the_same_from_every_position(here: RedisTurns, there: RedisTurns) -> None:
    turn = FakeLiveTurn()
    here.publish(turn)
    for piece in PIECES[:4]:  # one batch per piece
        turn.append(piece)
        listener = AwaitableListener()
        task = asyncio.ensure_future((await follow(there, turn)).run(listener.on_event))
        await listener.wait_for_count(len(turn.pieces))
        task.cancel()
    turn.append(*PIECES[4:])
    turn.end = COMPLETE
    await end_stored(there, turn)

    for after in range(len(PIECES) + 1):
        assert await followed_texts(there, turn, after=after) == PIECES[after:]


async def test_pieces_are_followed_as_they_are_written(here: RedisTurns, there: RedisTurns) -> None:
    turn, listener = FakeLiveTurn(), AwaitableListener()
    here.publish(turn)
    running = asyncio.ensure_future((await follow(there, turn)).run(listener.on_event))
    for number, piece in enumerate(PIECES, 1):
        turn.append(piece)
        await listener.wait_for_count(number)
    assert not running.done()
    turn.end = COMPLETE

    assert await asyncio.wait_for(running, PATIENCE_S) == Finished("stop", "model-1")
    assert listener.texts == PIECES


async def test_follow_waits_for_a_position_not_copied_yet(here: RedisTurns, there: RedisTurns) -> None:
    turn, listener = FakeLiveTurn(), AwaitableListener()
    here.publish(turn)
    running = asyncio.ensure_future((await follow(there, turn, after=2)).run(listener.on_event))
    turn.append("a", "b", "c")
    await listener.wait_for_count(1)
    turn.end = COMPLETE

    await asyncio.wait_for(running, PATIENCE_S)
    assert listener.texts == ["c"]


async def test_follow_waits_for_a_slow_reader(here: RedisTurns, there: RedisTurns) -> None:
    turn, listener = FakeLiveTurn(), AwaitableListener()
    listener.block()
    turn.append("a", "b")
    turn.end = COMPLETE
    here.publish(turn)
    running = asyncio.ensure_future((await follow(there, turn)).run(listener.on_event))
    await listener.wait_for_count(1)
    await end_stored(there, turn)
    assert (listener.texts, running.done()) == (["a"], False)
    listener.unblock()

    await asyncio.wait_for(running, PATIENCE_S)
    assert listener.texts == ["a", "b"]


@pytest.mark.parametrize("pieces", [[], ["a"]])
async def test_error_that_ended_the_turn_is_raised(here: RedisTurns, there: RedisTurns, pieces: list[str]) -> None:
    turn, listener = FakeLiveTurn(), RecordingListener()
    turn.append(*pieces)
    turn.end = STOPPED
    here.publish(turn)
    followed = await follow(there, turn)

    with pytest.raises(TurnStopped, match="the response was stopped"):
        await followed.run(listener.on_event)
    assert listener.texts == pieces


async def test_unknown_turn_and_turn_of_another_owner_are_not_found(here: RedisTurns, there: RedisTurns) -> None:
    turn = FakeLiveTurn()
    here.publish(turn)
    await follow(there, turn)

    for owner, name in (("alice", "turn_2"), ("bob", turn.id), ("", turn.id)):
        with pytest.raises(NotFound):
            await there.follow(owner, name, after=0)
        with pytest.raises(NotFound):
            await there.stop(owner, name)


async def test_follow_past_the_end_is_refused_before_the_first_piece(here: RedisTurns, there: RedisTurns) -> None:
    turn = FakeLiveTurn()
    turn.append("a", "b")
    turn.end = COMPLETE
    here.publish(turn)
    await end_stored(there, turn)

    with pytest.raises(ResumeExpired, match="has 2 events"):
        await there.follow("alice", turn.id, after=3)


async def test_follow_past_a_later_end_is_refused_at_the_end(here: RedisTurns, there: RedisTurns) -> None:
    turn, listener = FakeLiveTurn(), RecordingListener()
    here.publish(turn)
    followed = await follow(there, turn, after=3)
    turn.append("a", "b")
    turn.end = COMPLETE

    with pytest.raises(ResumeExpired, match="has 2 events"):
        await asyncio.wait_for(followed.run(listener.on_event), PATIENCE_S)
    assert listener.texts == []


async def test_hundred_followers_get_all_pieces(here: RedisTurns, there: RedisTurns) -> None:
    turn = FakeLiveTurn()
    here.publish(turn)
    await follow(there, turn)
    listeners = [AwaitableListener() for _ in range(100)]
    all_followed = await asyncio.gather(*(follow(there, turn) for _ in listeners))
    running = [asyncio.ensure_future(f.run(one.on_event)) for f, one in zip(all_followed, listeners, strict=True)]
    turn.append("a")
    await asyncio.gather(*(one.wait_for_count(1) for one in listeners))
    for task in running[:50]:
        task.cancel()
    turn.append("b")
    turn.end = COMPLETE
    ends = await asyncio.gather(*running, return_exceptions=True)

    assert [type(end) for end in ends] == [asyncio.CancelledError] * 50 + [Finished] * 50
    assert [one.texts for one in listeners[50:]] == [["a", "b"]] * 50


@pytest.mark.parametrize("fields", [{"at": "x", "pieces": "[]"}, {"at": "0", "pieces": "{"}, {"end": "1"}, {"x": "y"}])
async def test_invalid_entry_is_unavailable(there: RedisTurns, raw: Any, fields: dict[str, str]) -> None:
    await raw.xadd(STREAM + "turn_1", {"conversation": "default"}, id="0-1")
    await raw.xadd(STREAM + "turn_1", fields, id="1-1")
    followed = await there.follow("alice", "turn_1", after=0)

    with pytest.raises(StoreUnavailable):
        await followed.run(RecordingListener().on_event)


# Killed processes


@pytest.mark.parametrize("pieces", [[], ["a", "b"]])
async def test_turn_of_a_killed_process_is_lost_for_its_followers(
    instance: Instance, there: RedisTurns, pieces: list[str]
) -> None:
    clock = KillableClock(running_reactor().wheel)
    here, turn, listener = instance(clock), FakeLiveTurn(), AwaitableListener()
    turn.append(*pieces)
    here.publish(turn)
    running = asyncio.ensure_future((await follow(there, turn)).run(listener.on_event))
    await listener.wait_for_count(len(pieces))
    await clock.kill()
    died_s = clock.now()

    with pytest.raises(TurnLost):
        await asyncio.wait_for(running, PATIENCE_S)
    assert clock.now() - died_s < LEASE_MS / 1000 + 1.0
    assert listener.texts == pieces
    with pytest.raises(TurnLost):
        await there.stop("alice", turn.id)


async def test_process_killed_between_claim_and_first_batch_leaves_no_turn(
    here: RedisTurns, there: RedisTurns, raw: Any, clock: WheelClock
) -> None:
    mine = Claim("turn_1", "default", "digest")
    assert await here.claim("alice", "key", claim=mine) is None
    died_s = clock.now()
    followed = await there.follow("alice", "turn_1", after=0)
    assert followed.conversation == HERE

    with pytest.raises(TurnLost):
        await asyncio.wait_for(followed.run(RecordingListener().on_event), PATIENCE_S)
    assert clock.now() - died_s < LEASE_MS / 1000 + 1.0
    assert await there.claim("alice", "key", claim=Claim("turn_2", "default", "digest")) is None


# Claims


async def test_key_is_bound_once(here: RedisTurns, there: RedisTurns) -> None:
    first, second = (Claim(f"turn_{n}", "default", f"digest {n}") for n in (1, 2))

    assert await here.claim("alice", "key", claim=first) is None
    assert await here.claim("alice", "key", claim=first) is None, "binding again with the same claim must succeed"
    assert await there.claim("alice", "key", claim=second) == first
    assert await there.claim("alice", "other key", claim=second) is None
    assert await there.claim("bob", "key", claim=second) is None


async def test_one_of_fifty_claims_binds_the_key(here: RedisTurns, there: RedisTurns) -> None:
    claims = [Claim(f"turn_{number}", "default", "digest") for number in range(50)]
    results = await asyncio.gather(
        *((here, there)[n % 2].claim("alice", "key", claim=claim) for n, claim in enumerate(claims))
    )

    (winner,) = [claim for claim, held in zip(claims, results, strict=True) if held is None]
    assert [held for held in results if held is not None] == [winner] * 49


MINE, THEIRS = Claim("turn_1", "default", "digest"), Claim("turn_2", "default", "digest")


@pytest.mark.parametrize(
    ("claim", "pieces", "end", "held"),
    [
        (MINE, ["a"], STOPPED, MINE),
        (MINE, [], COMPLETE, MINE),
        (MINE, ["a"], COMPLETE, MINE),
        (MINE, [], STOPPED, None),
        (THEIRS, [], STOPPED, THEIRS),
    ],
)
async def test_only_a_failed_turn_without_text_frees_its_own_key(
    here: RedisTurns, there: RedisTurns, raw: Any, claim: Claim, pieces: list[str], end: TurnEnd, held: Claim | None
) -> None:
    await here.claim("alice", "key", claim=claim)
    turn = FakeLiveTurn(key="key")
    turn.append(*pieces)
    turn.end = end
    here.publish(turn)
    await end_stored(there, turn)

    assert await there.claim("alice", "key", claim=Claim("turn_3", "default", "digest")) == held
    assert held is not MINE or await raw.pttl(CLAIM) > LEASE_MS


async def test_invalid_claim_is_unavailable(here: RedisTurns, raw: Any) -> None:
    await raw.set(CLAIM, b"\xff")

    with pytest.raises(StoreUnavailable):
        await here.claim("alice", "key", claim=Claim("turn_1", "default", "digest"))


# Stop


@pytest.mark.parametrize("pieces", [[], ["a"]])
async def test_turn_is_stopped_from_another_process(
    here: RedisTurns, there: RedisTurns, raw: Any, pieces: list[str]
) -> None:
    turn, other = FakeLiveTurn(), FakeLiveTurn(2)
    turn.append(*pieces)
    here.publish(turn)
    here.publish(other)
    await follow(there, turn)
    await asyncio.wait_for(there.stop("alice", turn.id), PATIENCE_S)

    assert turn.stops >= 1
    assert (other.stops, other.end) == (0, None)
    assert await raw.exists(STOP + turn.id) == 0
    await there.stop("alice", turn.id)
    assert await raw.exists(STOP + turn.id) == 0


async def test_stop_of_an_unresponsive_process_fails_after_the_timeout(
    here: RedisTurns, there: RedisTurns, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns_redis, "STOP_S", 1.0)
    turn = FakeLiveTurn()
    monkeypatch.setattr(turn, "stop", lambda: None)
    here.publish(turn)
    await follow(there, turn)

    with pytest.raises(TurnLost):
        await asyncio.wait_for(there.stop("alice", turn.id), PATIENCE_S)
    assert await raw.pttl(STOP + turn.id) <= 1000


# Layout


async def test_layout_is_as_documented_and_all_keys_expire(here: RedisTurns, there: RedisTurns, raw: Any) -> None:
    await here.claim("alice", "key", claim=Claim("turn_1", "default", "digest"))
    bounds: dict[str, float] = {CLAIM: LEASE_MS, ALIVE + "turn_1": LEASE_MS}
    assert await ttls(raw) == bounds.keys()
    await expire_within(raw, bounds)

    turn, listener = FakeLiveTurn(key="key"), AwaitableListener()
    turn.append("a", "b")
    here.publish(turn)
    running = asyncio.ensure_future((await follow(there, turn)).run(listener.on_event))
    await listener.wait_for_count(2)
    stopping = asyncio.ensure_future(raw.set(STOP + "turn_1", b"", px=round(STOP_S * 1000)))
    await stopping
    bounds |= {STREAM + "turn_1": KEEP_S * 1000, CLAIM: KEEP_S * 1000, STOP + "turn_1": STOP_S * 1000}
    assert await ttls(raw) == bounds.keys()
    await expire_within(raw, bounds)
    assert await raw.get(ALIVE + "turn_1") == b"default"

    turn.append("c")
    turn.end = COMPLETE
    await asyncio.wait_for(running, PATIENCE_S)
    assert await ttls(raw) == {STREAM + "turn_1", CLAIM}
    await expire_within(raw, {STREAM + "turn_1": KEEP_S * 1000, CLAIM: KEEP_S * 1000})
    first, *pieces, end = await raw.xrange(STREAM + "turn_1")
    assert first == (b"0-1", {b"conversation": b"default"})
    assert pieces[0] == (b"2-1", {b"at": b"0", b"pieces": b'["a","b"]'})
    assert pieces[1:] == [(b"3-1", {b"at": b"2", b"pieces": b'["c"]'})]
    assert end == (b"3-2", {b"end": msgspec.json.encode(COMPLETE)})


async def ttls(raw: Any) -> set[str]:
    return {key.decode() for key in await raw.keys("*")}


async def expire_within(raw: Any, bounds: dict[str, float]) -> None:
    for key, bound_ms in bounds.items():
        assert 0 < await raw.pttl(key) <= bound_ms, key


async def test_turns_of_many_owners_are_separate(here: RedisTurns, there: RedisTurns) -> None:
    owners = ["", "anonymous", "}{", "%40anonymous", *map(str, range(150))]
    turns = [
        FakeLiveTurn(number, conversation=Conversation(owner, f"of {owner}")) for number, owner in enumerate(owners)
    ]
    turns += [FakeLiveTurn(number, conversation=Conversation("", "many")) for number in range(len(turns), 400)]
    for number, turn in enumerate(turns):
        turn.append("for ", str(number))
        turn.end = COMPLETE
        here.publish(turn)
    await end_stored(there, turns[-1])

    for number, turn in enumerate(turns):
        assert await followed_texts(there, turn) == ["for ", str(number)]


async def test_lone_surrogate_does_not_affect_other_turns(here: RedisTurns, there: RedisTurns) -> None:
    odd, even = FakeLiveTurn(1), FakeLiveTurn(2)
    for turn in (odd, even):
        turn.append("a", "\ud83d", "b")
        turn.end = COMPLETE
    even.pieces[1] = "🦊"
    here.publish(odd)
    here.publish(even)

    assert await followed_texts(there, odd) == ["a", "?", "b"]
    assert await followed_texts(there, even) == ["a", "🦊", "b"]


# Redis outages


async def test_turn_is_written_again_after_redis_lost_all_data(
    redis: RedisServer, here: RedisTurns, there: RedisTurns
) -> None:
    turn, listener = FakeLiveTurn(), AwaitableListener()
    here.publish(turn)
    running = asyncio.ensure_future((await follow(there, turn)).run(listener.on_event))
    turn.append("a", "b")
    await listener.wait_for_count(2)
    assert redis.command("FLUSHALL") == "+OK"
    await stored(there, turn)  # also without new pieces
    assert redis.command("FLUSHALL") == "+OK"
    turn.append("c")
    await listener.wait_for_count(3)
    assert redis.command("SCRIPT FLUSH") == "+OK"
    assert redis.command("FLUSHALL") == "+OK"
    turn.append("d")
    turn.end = COMPLETE

    await asyncio.wait_for(running, PATIENCE_S)
    assert listener.texts == ["a", "b", "c", "d"]
    assert await followed_texts(there, turn) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("ends_meanwhile", [False, True])
async def test_restarted_redis_has_every_piece_once(
    redis: RedisServer, here: RedisTurns, there: RedisTurns, caplog: pytest.LogCaptureFixture, ends_meanwhile: bool
) -> None:
    turn, listener = FakeLiveTurn(), AwaitableListener()
    here.publish(turn)
    turn.append("a", "b")
    running = asyncio.ensure_future((await follow(there, turn)).run(listener.on_event))
    await listener.wait_for_count(2)
    redis.kill()
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(running, PATIENCE_S)
    with pytest.raises(StoreUnavailable):
        await there.check()
    turn.append("c")
    turn.end = COMPLETE if ends_meanwhile else None
    await failed(caplog)
    redis.restart()
    turn.append(*([] if ends_meanwhile else ["d"]))
    turn.end = COMPLETE
    await stored(there, turn)

    assert await followed_texts(there, turn) == turn.pieces
    assert await followed_texts(there, turn, after=1) == turn.pieces[1:]
    await there.check()


async def failed(caplog: pytest.LogCaptureFixture) -> None:
    """Return when copying has failed."""
    async with asyncio.timeout(PATIENCE_S):
        while "cannot be copied" not in caplog.text:
            await run_ready_callbacks()


async def test_paused_redis_blocks_no_call_and_gets_all_pieces_later(
    redis: RedisServer, here: RedisTurns, there: RedisTurns, caplog: pytest.LogCaptureFixture, clock: WheelClock
) -> None:
    turn, listener = FakeLiveTurn(key="key"), AwaitableListener()
    here.publish(turn)
    running = asyncio.ensure_future((await follow(there, turn)).run(listener.on_event))
    turn.append("a")
    await listener.wait_for_count(1)
    running.cancel()
    redis.pause()
    longest_s, before_s, failures = 0.0, clock.now(), 0
    while failures < 2:  # each after 2 s or more
        await asyncio.sleep(0.001)
        now_s = clock.now()
        longest_s, before_s = max(longest_s, now_s - before_s), now_s
        turn.append("b")
        here.publish(FakeLiveTurn(len(turn.pieces) + 1))
        failures = sum("Redis failed" in each.message or "did not respond" in each.message for each in caplog.records)
    redis.resume()
    turn.end = COMPLETE

    assert longest_s < COMMAND_S / 2  # a call that blocks takes at least `COMMAND_S`
    assert await followed_texts(there, turn) == turn.pieces


async def test_batch_written_twice_and_late_changes_nothing(here: RedisTurns, there: RedisTurns, raw: Any) -> None:
    turn = FakeLiveTurn()
    turn.append("a", "b")
    here.publish(turn)
    late = Copy(turn)
    late.take(0.0)

    async def write_late() -> Any:
        arguments = (KEEP_MS, LEASE_MS, *late.script_arguments())
        return await raw.execute_command("EVAL", turns_redis.COPY, 4, *late.script_keys(), *arguments)

    listener = AwaitableListener()
    running = asyncio.ensure_future((await follow(there, turn)).run(listener.on_event))
    await listener.wait_for_count(2)
    assert await write_late() == [[2, 0, 0]]
    turn.append("c")
    await listener.wait_for_count(3)
    assert await write_late() == [[3, 0, 0]]
    turn.end = COMPLETE
    await asyncio.wait_for(running, PATIENCE_S)
    assert await write_late() == [[3, 1, 0]]

    assert listener.texts == ["a", "b", "c"]
    assert await followed_texts(there, turn) == ["a", "b", "c"]
    assert await raw.exists(ALIVE + turn.id) == 0
    assert await raw.xlen(STREAM + turn.id) == 4


async def test_failing_copy_is_logged_once(
    redis: RedisServer, here: RedisTurns, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    redis.stop()
    here.publish(FakeLiveTurn())
    async with asyncio.timeout(PATIENCE_S):
        while sum("Redis failed" in each.message for each in caplog.records) < 4:
            await run_ready_callbacks()

    assert caplog.text.count("cannot be copied") == 1


# Shutdown


async def test_close_writes_the_ends(instance: Instance, there: RedisTurns) -> None:
    here, turn = instance(), FakeLiveTurn()
    here.publish(turn)
    turn.append("a")
    turn.end = COMPLETE
    await here.close()

    assert await followed_texts(there, turn) == ["a"]


@pytest.mark.parametrize("pauses", [False, True])
async def test_close_does_not_wait_for_running_turns_or_redis(
    redis: RedisServer, here: RedisTurns, clock: WheelClock, pauses: bool
) -> None:
    here.publish(FakeLiveTurn())
    if pauses:
        redis.pause()
    begun_s = clock.now()
    await here.close()

    assert clock.now() - begun_s < 5.0
