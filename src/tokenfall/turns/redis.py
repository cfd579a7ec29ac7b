"""Shares running turns through Redis (6 or later), so that any process can follow, stop and claim them.

Layout; `{owner}` as in `tokenfall.redis.calls.tag`, so that a cluster keeps all keys of an owner in one slot:

- `tokenfall:{owner}:turn:<id>`, a stream: first an entry `conversation`, then entries with `pieces` (a JSON array) and
  `at` (the position of the first of them), finally `end` (JSON of a `TurnEnd`). An entry's id is `N-1`, or `N-2` for
  the end, where N is the number of pieces including its own: readers and writers derive it from a position. Expires
  `keep_s` after the last batch.
- `tokenfall:{owner}:alive:<id>`: lease of the process that runs the turn; expires `LEASE_MS` after the last renewal.
- `tokenfall:{owner}:stop:<id>`: a request to stop the turn. Deleted when it ends; expires after `STOP_S`.
- `tokenfall:{owner}:claim:<sha256 of the key>`: the `Claim` of an idempotency key. Expires with the stream; without a
  stream after `LEASE_MS`: the claiming process has ended, or never received the reply.

Possible losses: tokens are not written one by one. Every `BATCH_S` the new pieces of all turns are written in one round
trip; a process that is killed loses its last batch, and followers of its turns get `turn_lost`. Repeating a batch whose
reply was lost changes nothing, and data that Redis has lost is written again.

Cost (measured 2026-11 on 2 cores, Python 3.11, redis-py 8.1 without hiredis, Redis 7.0 on the same machine): 500 turns
of 25 tokens/s take 115 ms of CPU time per second in this process if they have one owner and 200 ms if they have 500
owners, and 70 to 80 ms in Redis; following 200 of them takes 260 ms more. With one command per turn the first figure
was 230 ms; `register_script` would check for the script before each batch.
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
from tokenfall.ports import Clock, LiveTurn
from tokenfall.redis.calls import Calls, connect, no_count
from tokenfall.redis.lua import lua_script
from tokenfall.turns.copying import Copies, Copy
from tokenfall.turns.following import FollowedInRedis
from tokenfall.turns.keys import TurnKeys

BATCH_S = 0.04
LEASE_MS = 3_000

RETRY_S = 0.5
"""Delay after a failed batch: for this long a turn may stay invisible to others after Redis recovers."""

STOP_S = 10.0
"""How long `stop` waits for the end of the turn."""

CLOSE_S = 1.0

FOLLOWERS = 1_000
"""Maximum number of connections that read turns."""

GROUP = 100
"""Maximum number of turns written by one script call."""

COPY = lua_script(__file__, "copy")
COPY_SHA = sha1(COPY.encode(), usedforsecurity=False).hexdigest()

Reply = list[tuple[int, int, int]]
"""For each turn: the number of pieces stored, whether its end is stored, and whether a stop was requested."""

_log = logs.get(__name__)
_encode = msgspec.json.encode
_decode_claim = msgspec.json.Decoder(Claim).decode


class RedisTurns:
    """Implements `SharedTurns`. `keep_s`: how long a turn can be read after its last write."""

    def __init__(self, url: str, *, keep_s: float, clock: Clock, failed: Callable[[], None] = no_count) -> None:
        client = connect(url)
        # Followers block while they wait for entries, so they must not use the connections of writers.
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
            self._copying = asyncio.ensure_future(self._run_copying())

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
        await self._calls.run(self._client.set(TurnKeys(owner, turn).stop, b"", px=round(STOP_S * 1000)))
        try:
            async with asyncio.timeout(STOP_S):
                await followed.end()
        except TimeoutError:
            raise TurnLost("the turn did not stop: its process does not respond") from None

    async def claim(self, owner: str, key: str, *, claim: Claim) -> Claim | None:
        keys = TurnKeys(owner, claim.turn)
        arguments: list[str | bytes | int] = [_encode(claim), claim.conversation, LEASE_MS]
        existing = await self._calls.run(self._claim([keys.claim(key), keys.alive], arguments))
        if existing is None:
            return None
        try:
            return _decode_claim(existing)
        except msgspec.MsgspecError:
            _log.warning("a claim in Redis cannot be read")
            raise StoreUnavailable("the idempotency keys cannot be read now", retry_after_s=1.0) from None

    async def check(self) -> None:
        await self._calls.run(self._client.ping(), within_s=1.0)

    async def close(self) -> None:
        copying = self._copying
        if copying is not None:
            await asyncio.wait((copying,), timeout=CLOSE_S)
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
        await self._calls.close()
        await self._reads.close()

    # Copying

    async def _run_copying(self) -> None:
        """Copy batches until every turn is completely copied."""
        wait_s = BATCH_S
        try:
            while self._copies:
                await self._clock.sleep_until(self._clock.now() + wait_s)
                written = await self._copy_batch()
                wait_s = (0.0 if self._copies.have_more else BATCH_S) if written else RETRY_S
        finally:
            self._copying = None

    async def _copy_batch(self) -> bool:
        """Write one batch; return whether all of it was written."""
        now_s = self._clock.now()
        groups = _by_owner(self._copies.take(now_s))
        try:
            replies = await self._calls.run(self._write(groups)) if groups else []
        except StoreUnavailable:
            replies = [None] * len(groups)
        for group, reply in zip(groups, replies, strict=True):
            if reply is not None:
                self._apply(group, reply, now_s=now_s)
        self._set_failing(failing=None in replies)
        return not self._failing

    async def _write(self, groups: list[list[Copy]]) -> list["Reply | None"]:
        """The reply to each group, None for a rejected one; all in one round trip."""
        commands = [self._command(group) for group in groups]
        replies = await self._run("EVALSHA", COPY_SHA, commands=commands)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            replies = await self._run("EVAL", COPY, commands=commands)
        rejected = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if rejected is not None:
            _log.warning("Redis rejected a batch of turns: %s", type(rejected).__name__)
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

    def _apply(self, group: list[Copy], reply: "Reply", *, now_s: float) -> None:
        for copy, (stored, ended, stop) in zip(group, reply, strict=True):
            copy.written(stored, now_s=now_s)
            if ended:
                self._copies.drop(copy)
            elif stop:
                copy.turn.stop()

    def _set_failing(self, *, failing: bool) -> None:
        if failing:
            self._copies.give_up(self._clock.now())
            if not self._failing:
                _log.warning("turns cannot be copied to Redis: only the process that runs a turn can resume it")
        self._failing = failing


def _by_owner(copies: list[Copy]) -> list[list[Copy]]:
    """The copies that one script call writes: of one owner, and at most `GROUP`, because a script blocks Redis."""
    owners: dict[str, list[Copy]] = {}
    for copy in copies:
        owners.setdefault(copy.turn.conversation.owner, []).append(copy)
    return [owned[at : at + GROUP] for owned in owners.values() for at in range(0, len(owned), GROUP)]
