"""Turns under way in Redis (6 or later), to be followed, stopped and claimed from any process.

Layout; `{owner}` as in `tokenfall.redis_calls.tag`, so that a cluster keeps all keys of an owner in one slot:

- `tokenfall:{owner}:turn:<id>`, a stream: first an entry `conversation`, then entries `at` and `pieces` (a JSON array
  of the pieces from that place on), at last `end` (JSON of a `TurnEnd`). An entry's id is the number of pieces up to
  its end, and 1, or 2 for the end: so it is known to whoever writes or reads from where. Gone `keep_s` after the last
  batch.
- `tokenfall:{owner}:alive:<id>`: there while the process that answers lives, `LEASE_MS` at most without a word from it.
- `tokenfall:{owner}:stop:<id>`: somebody wants the turn to stop. Gone with its end, or after `STOP_S`.
- `tokenfall:{owner}:claim:<sha256 of the key>`: the `Claim` of an idempotency key. Gone with the stream, and when the
  turn has no stream after `LEASE_MS`: who claimed died, or never learned that it had the claim.

What can be lost: a token is never awaited. Every `BATCH_S` what has been said since is written, all turns in one round
trip; a process that is killed takes the last batch with it, and its turns' followers are told `turn_lost`. A batch
that was written though nobody knows it changes nothing when it comes again, and what Redis forgot is written anew.

What it costs (measured 2026-11 on 2 cores, Python 3.11, redis-py 8.1 without hiredis, Redis 7.0 beside it): 500 turns
of 25 tokens a second take 115 ms of processor a second here where they are one owner's and 200 ms where they are 500
owners', and 70 to 80 ms in Redis; 200 of them being followed take 260 ms more. With a command for each turn the first
figure was 230 ms, and with `register_script` every batch would ask first whether the script is there.
"""

import asyncio
from collections.abc import Callable
from hashlib import sha1
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from tokenfall import logs
from tokenfall.conversations import Claim, Conversation
from tokenfall.errors import StoreUnavailable, TurnLost
from tokenfall.lua_scripts import lua_script
from tokenfall.ports import Clock, LiveTurn
from tokenfall.redis_calls import Calls, connect, uncounted
from tokenfall.turns.copying import Copies, Copy
from tokenfall.turns.following import FollowedInRedis
from tokenfall.turns.keys import TurnKeys

BATCH_S = 0.04
LEASE_MS = 3_000

RETRY_S = 0.5
"""How long after a batch that failed the next one is tried: so long a turn may go unseen when Redis is back."""

STOP_S = 10.0
"""How long whoever stops a turn waits for its end."""

CLOSE_S = 1.0

FOLLOWERS = 1_000
"""How many may read turns at a time."""

GROUP = 100
"""So many turns are written by one script."""

COPY = lua_script(__file__, "copy")
COPY_SHA = sha1(COPY.encode(), usedforsecurity=False).hexdigest()

Reply = list[tuple[int, int, int]]
"""Of each turn how many pieces are there, whether it has its end, and whether somebody wants it to stop."""

_log = logs.get(__name__)
_encode = msgspec.json.encode
_decode_claim = msgspec.json.Decoder(Claim).decode


class RedisTurns:
    """Implements `SharedTurns`. `keep_s`: how long what is not written to any more can be read."""

    def __init__(self, url: str, *, keep_s: float, clock: Clock, failed: Callable[[], None] = uncounted) -> None:
        client = connect(url)
        # Whoever follows waits for entries, and must not take the connections of those who write them.
        self._reader = connect(url, max_connections=FOLLOWERS)
        self._reads = Calls(self._reader, failed=failed)
        self._keep_ms = max(round(keep_s * 1000), LEASE_MS)
        self._clock = clock
        self._client = client
        self._calls = Calls(client, failed=failed)
        self._claim = client.register_script(lua_script(__file__, "claim"))
        self._copies = Copies()
        self._copying: asyncio.Task[None] | None = None
        self._failing = False

    def publish(self, turn: LiveTurn) -> None:
        self._copies.add(turn)
        if self._copying is None:
            self._copying = asyncio.ensure_future(self._copy_all())

    async def follow(self, owner: str, turn: str, *, after: int) -> FollowedInRedis:
        followed = FollowedInRedis(
            self._reader, self._reads, conversation=Conversation(owner, ""), turn=turn, after=after
        )
        await followed.find()
        return followed

    async def stop(self, owner: str, turn: str) -> None:
        followed = await self.follow(owner, turn, after=0)
        if followed.ended:
            return
        await self._calls.done(self._client.set(TurnKeys(owner, turn).stop, b"", px=round(STOP_S * 1000)))
        try:
            async with asyncio.timeout(STOP_S):
                await followed.end()
        except TimeoutError:
            raise TurnLost("the turn does not stop: nobody seems to answer it") from None

    async def claim(self, owner: str, key: str, *, claim: Claim) -> Claim | None:
        keys = TurnKeys(owner, claim.turn)
        arguments: list[str | bytes | int] = [_encode(claim), claim.conversation, LEASE_MS]
        held = await self._calls.done(self._claim([keys.claim(key), keys.alive], arguments))
        if held is None:
            return None
        try:
            return _decode_claim(held)
        except msgspec.MsgspecError:
            _log.warning("a claim in Redis cannot be read")
            raise StoreUnavailable("the idempotency keys cannot be read now", retry_after_s=1.0) from None

    async def check(self) -> None:
        await self._calls.done(self._client.ping(), within_s=1.0)

    async def close(self) -> None:
        copying = self._copying
        if copying is not None:
            await asyncio.wait((copying,), timeout=CLOSE_S)
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
        await self._calls.close()
        await self._reads.close()

    # Copying

    async def _copy_all(self) -> None:
        """Until there is nothing left to copy."""
        wait_s = BATCH_S
        try:
            while self._copies:
                await self._clock.sleep_until(self._clock.now() + wait_s)
                wait_s = BATCH_S if await self._copy_batch() else RETRY_S
        finally:
            self._copying = None

    async def _copy_batch(self) -> bool:
        """Whether all of it was written."""
        now_s = self._clock.now()
        groups = _by_owner(self._copies.take(now_s))
        try:
            replies = await self._calls.done(self._written(groups)) if groups else []
        except StoreUnavailable:
            replies = [None] * len(groups)
        for group, reply in zip(groups, replies, strict=True):
            if reply is not None:
                self._note(group, reply, now_s=now_s)
        self._report(failing=None in replies)
        return not self._failing

    async def _written(self, groups: list[list[Copy]]) -> list["Reply | None"]:
        """What Redis says to each group, None for one that it refused; all in one round trip."""
        commands = [self._command(group) for group in groups]
        replies = await self._run("EVALSHA", COPY_SHA, commands=commands)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            replies = await self._run("EVAL", COPY, commands=commands)
        refused = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if refused is not None:
            _log.warning("Redis refused a copy of turns: %s", type(refused).__name__)
        return [None if isinstance(reply, Exception) else reply for reply in replies]

    async def _run(self, how: str, script: str, *, commands: list[list[str | bytes | int]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(how, script, *command)
        return await pipeline.execute(raise_on_error=False)

    def _command(self, group: list[Copy]) -> list[str | bytes | int]:
        command: list[str | bytes | int] = [4 * len(group)]
        for copy in group:
            command += copy.script_keys()
        command += (self._keep_ms, LEASE_MS)
        for copy in group:
            command += copy.script_arguments()
        return command

    def _note(self, group: list[Copy], reply: "Reply", *, now_s: float) -> None:
        for copy, (have, ended, stop) in zip(group, reply, strict=True):
            copy.written(have, now_s=now_s)
            if ended:
                self._copies.drop(copy)
            elif stop:
                copy.turn.stop()

    def _report(self, *, failing: bool) -> None:
        if failing:
            self._copies.give_up(self._clock.now())
            if not self._failing:
                _log.warning("turns cannot be copied to Redis: they can be resumed only where they are answered")
        self._failing = failing


def _by_owner(copies: list[Copy]) -> list[list[Copy]]:
    """What one script may write: turns of one owner, not too many, for Redis does nothing else meanwhile."""
    owners: dict[str, list[Copy]] = {}
    for copy in copies:
        owners.setdefault(copy.turn.conversation.owner, []).append(copy)
    return [theirs[at : at + GROUP] for theirs in owners.values() for at in range(0, len(theirs), GROUP)]
