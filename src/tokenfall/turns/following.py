"""One turn read back from Redis while another process writes it, or after. The layout is told in `turns.redis`."""

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
from tokenfall.redis_calls import COMMAND_S, Calls
from tokenfall.turns.keys import TurnKeys

BLOCK_MS = 250
"""How long a read waits for the next entry: shorter than a drain's patience, longer than a batch."""

LAG_MS = 100
"""How long a turn may be under way before it is seen here: two batches, and something for the journey."""

MISSES = 2
"""So many reads more once nobody seems to answer: a Redis that came back empty is told anew in `RENEW_S`."""

READ_AT_MOST = 256

ENDED = "2"
"""The second part of the id of a stream's last entry."""

_log = logs.get(__name__)
_decode_pieces = msgspec.json.Decoder(list[str]).decode
_decode_end = msgspec.json.Decoder(TurnEnd).decode

Told = tuple[int, list[str]] | TurnEnd
"""Pieces with the place of their first, or the end."""


class FollowedInRedis:
    """Implements `Followed`; `find` must have returned before anything else is asked."""

    def __init__(self, client: "Redis", calls: Calls, *, conversation: Conversation, turn: str, after: int) -> None:
        self.id = turn
        self.conversation = conversation
        self.after = after
        self.ended = False
        """Whether the turn had ended when it was found."""
        self._client = client
        self._calls = calls
        self._keys = TurnKeys(conversation.owner, turn)
        self._there = 0  # pieces, when it was looked last

    async def find(self) -> None:
        """Raises `NotFound` when the turn never was or is no longer kept, `ResumeExpired` when it ended before."""
        if not await self._found():
            await self._read("0-0", block_ms=LAG_MS)
            if not await self._found():
                raise NotFound("there is no such turn under way or just ended; GET /history has what was kept")

    async def _found(self) -> bool:
        pipeline = self._client.pipeline(transaction=True)  # or the end might fall between two looks
        pipeline.execute_command("XRANGE", self._keys.stream, "-", "+", "COUNT", 1)
        pipeline.execute_command("XREVRANGE", self._keys.stream, "+", "-", "COUNT", 1)
        pipeline.execute_command("GET", self._keys.alive)
        first, newest, alive = await self._calls.done(pipeline.execute())
        # A turn that was claimed a moment ago lives before it has a stream.
        name: bytes | None = first[0][1].get(b"conversation") if first else alive
        if name is None:
            return False
        self.conversation = Conversation(self.conversation.owner, name.decode())
        self._look(newest)
        return True

    async def run(self, on_event: OnDelta) -> Finished:
        position = self.after
        async with aclosing(self._told(position)) as all_told:
            async for told in all_told:
                if isinstance(told, TurnEnd):
                    return told.outcome()
                at, pieces = told
                if at > position:  # somebody else has changed the stream
                    raise _lost()
                for text in pieces[position - at :]:
                    position += 1
                    full = on_event(TextDelta(text))
                    if full is not None:
                        await full
        raise AssertionError("a turn that is told ends")

    async def end(self) -> None:
        """Return once the turn has ended, however it did. Raises `TurnLost`."""
        if not self.ended:
            async with aclosing(self._told(self._there)) as all_told:
                async for _ in all_told:
                    pass

    async def _told(self, after: int) -> AsyncGenerator[Told, None]:
        """What is there and what comes, up to the end. Raises `TurnLost` when nobody writes any more."""
        newest, misses = f"{after}-1", 0
        while misses <= MISSES:
            entries = await self._read(newest)
            for name, fields in entries:
                newest = name.decode()
                told = _decoded(fields)
                yield told
                if isinstance(told, TurnEnd):
                    return
            misses = 0 if entries or await self._lives() else misses + 1
        newest_entry: Any = self._client.xrevrange(self._keys.stream, count=1)
        self._look(await self._calls.done(newest_entry))
        raise _lost()

    async def _lives(self) -> bool:
        return await self._calls.done(self._client.exists(self._keys.alive)) > 0

    async def _read(self, newest: str, *, block_ms: int = BLOCK_MS) -> list[tuple[bytes, dict[bytes, bytes]]]:
        read = self._client.xread({self._keys.stream: newest}, count=READ_AT_MOST, block=block_ms)
        found: Any = await self._calls.done(read, within_s=COMMAND_S)
        return found[0][1] if found else []

    def _look(self, newest: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Learn from the newest entry where the turn is."""
        if newest:
            there, _, kind = newest[0][0].decode().partition("-")
            self._there, self.ended = int(there), kind == ENDED
        if self.ended and self._there < self.after:
            raise ResumeExpired(f"the turn has {self._there} events; Last-Event-ID takes no later one")


def _decoded(fields: dict[bytes, bytes]) -> Told:
    try:
        if b"end" in fields:
            return _decode_end(fields[b"end"])
        return int(fields[b"at"]), _decode_pieces(fields[b"pieces"])
    except (msgspec.MsgspecError, ValueError, KeyError) as error:
        _log.warning("a turn in Redis cannot be read: %s", type(error).__name__)
        raise StoreUnavailable("the turn cannot be read now", retry_after_s=1.0) from None


def _lost() -> TokenfallError:
    return TurnLost("the process that answered this turn is gone; what it had said so far was told")
