"""Follows a turn of another process, running or ended, through Redis. `turns.redis` documents the layout."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from redis.asyncio import Redis

from tokenfall import logs
from tokenfall.conversations import Conversation, TurnEnd
from tokenfall.errors import NotFound, ResumeExpired, StoreUnavailable, TokenfallError, TurnLost
from tokenfall.events import Finished, TextDelta
from tokenfall.ports import OnDelta
from tokenfall.redis.calls import COMMAND_S, Calls
from tokenfall.turns.keys import TurnKeys

BLOCK_MS = 250
"""How long a read blocks for the next entry: shorter than a drain, longer than a batch interval."""

LAG_MS = 100
"""How long a turn may run before this process sees it: two batch intervals and the network latency."""

MISSES = 2
"""Further reads after the lease has expired, before the turn counts as lost.

If Redis restarts empty, the turn is written again within `RENEW_S`.
"""

MAX_ENTRIES = 4
"""Entries of one read, of `ENTRY_BYTES` each: they are in memory while the client reads them."""

ENDED = "2"
"""Second part of the id of a stream's last entry."""

_log = logs.get(__name__)
_decode_pieces = msgspec.json.Decoder(list[str]).decode
_decode_end = msgspec.json.Decoder(TurnEnd).decode

TurnEntry = tuple[int, list[str]] | TurnEnd
"""Pieces with the position of the first, or the end of the turn."""


class FollowedInRedis:
    """Implements `Followed`. Call `find` before any other method."""

    def __init__(self, client: "Redis", calls: Calls, *, conversation: Conversation, turn: str, after: int) -> None:
        self.id = turn
        self.conversation = conversation
        self.after = after
        self.ended = False
        """Whether the turn had ended when last checked."""
        self._client = client
        self._calls = calls
        self._keys = TurnKeys(conversation.owner, turn)
        self._available = 0  # pieces in the store when last checked

    async def find(self) -> None:
        """Raises `NotFound` if the turn does not exist or has expired, `ResumeExpired` if it ended before `after`."""
        if not await self._found():
            await self._read("0-0", block_ms=LAG_MS)
            if not await self._found():
                raise NotFound("no such turn is running or has just ended; GET /history has the stored turns")

    async def _found(self) -> bool:
        pipeline = self._client.pipeline(transaction=True)  # atomic: the turn may end between two commands
        pipeline.execute_command("XRANGE", self._keys.stream, "-", "+", "COUNT", 1)
        pipeline.execute_command("XREVRANGE", self._keys.stream, "+", "-", "COUNT", 1)
        pipeline.execute_command("GET", self._keys.alive)
        first, newest, alive = await self._calls.run(pipeline.execute())
        # A claimed turn has a lease before it has a stream.
        name: bytes | None = first[0][1].get(b"conversation") if first else alive
        if name is None:
            return False
        self.conversation = Conversation(self.conversation.owner, name.decode())
        self._update(newest)
        return True

    async def run(self, on_event: OnDelta) -> Finished:
        position = self.after
        async with aclosing(self._entries(position)) as entries:
            async for entry in entries:
                if isinstance(entry, TurnEnd):
                    return entry.outcome()
                at, pieces = entry
                if at > position:  # the stream was modified by something else
                    raise _lost()
                for text in pieces[position - at :]:
                    position += 1
                    full = on_event(TextDelta(text))
                    if full is not None:
                        await full
        raise AssertionError("the entries of the turn ended before its final entry")

    async def end(self) -> None:
        """Return once the turn has ended, successfully or not. Raises `TurnLost`."""
        if not self.ended:
            async with aclosing(self._entries(self._available)) as entries:
                async for _ in entries:
                    pass

    async def _entries(self, after: int) -> AsyncGenerator[TurnEntry, None]:
        """The existing and the following entries, up to the end. Raises `TurnLost` if its process has ended."""
        newest, misses = f"{after}-1", 0
        while misses <= MISSES:
            entries = await self._read(newest)
            for name, fields in entries:
                newest = name.decode()
                entry = _decoded(fields)
                yield entry
                if isinstance(entry, TurnEnd):
                    return
            misses = 0 if entries or await self._is_alive() else misses + 1
        newest_entry: Any = self._client.xrevrange(self._keys.stream, count=1)
        self._update(await self._calls.run(newest_entry))
        raise _lost()

    async def _is_alive(self) -> bool:
        return await self._calls.run(self._client.exists(self._keys.alive)) > 0

    async def _read(self, newest: str, *, block_ms: int = BLOCK_MS) -> list[tuple[bytes, dict[bytes, bytes]]]:
        read = self._client.xread({self._keys.stream: newest}, count=MAX_ENTRIES, block=block_ms)
        found: Any = await self._calls.run(read, within_s=COMMAND_S)
        return found[0][1] if found else []

    def _update(self, newest: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Set the position and state of the turn from its newest entry."""
        if newest:
            available, _, kind = newest[0][0].decode().partition("-")
            self._available, self.ended = int(available), kind == ENDED
        if self.ended and self._available < self.after:
            raise ResumeExpired(f"the turn has {self._available} events; Last-Event-ID takes no later one")


def _decoded(fields: dict[bytes, bytes]) -> TurnEntry:
    try:
        if b"end" in fields:
            return _decode_end(fields[b"end"])
        return int(fields[b"at"]), _decode_pieces(fields[b"pieces"])
    except (msgspec.MsgspecError, ValueError, KeyError) as error:
        _log.warning("a turn in Redis cannot be read: %s", type(error).__name__)
        raise StoreUnavailable("the turn cannot be read now", retry_after_s=1.0) from None


def _lost() -> TokenfallError:
    return TurnLost("the process that ran this turn has ended; its text so far was sent")
