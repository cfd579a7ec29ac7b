"""A history store and shared turns whose operations the test blocks and fails."""

import asyncio
from collections.abc import Sequence

from tokenfall.conversations import Claim, Conversation, Turn
from tokenfall.errors import NotFound
from tokenfall.events import Finished, TextDelta
from tokenfall.history.memory import MemoryHistory
from tokenfall.ports import Followed, LiveTurn, OnDelta


class SlowHistory(MemoryHistory):
    """A store whose reads and writes wait for the test; writes raise `failure` if it is set."""

    def __init__(self) -> None:
        super().__init__(limit=100, max_bytes=1_000_000)
        self.reading = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.writing = asyncio.Event()
        self.may_end = asyncio.Event()
        self.failure: Exception | None = None
        self.appended: list[Turn] = []

    async def turns(
        self, conversation: Conversation, last: int | None = None, *, until: str = "", max_bytes: int | None = None
    ) -> Sequence[Turn] | None:
        self.reading.set()
        await self.may_read.wait()
        return await super().turns(conversation, last, until=until, max_bytes=max_bytes)

    async def append(self, conversation: Conversation, turn: Turn) -> None:
        self.appended.append(turn)
        self.writing.set()
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure
        await super().append(conversation, turn)


class FollowedElsewhere:
    """A followed turn of another process: emits its pieces and ends."""

    def __init__(self, turn: str, conversation: Conversation, *, after: int, pieces: Sequence[str]) -> None:
        self.id = turn
        self.conversation = conversation
        self.after = after
        self._pieces = pieces

    async def run(self, on_event: OnDelta) -> Finished:
        for piece in self._pieces[self.after :]:
            full = on_event(TextDelta(piece))
            if full is not None:
                await full
        return Finished("stop", "elsewhere")


class FakeSharedTurns:
    """A `SharedTurns`; `elsewhere` has the turns of another process by owner and id."""

    def __init__(self) -> None:
        self.published: list[LiveTurn] = []
        self.stopped: list[tuple[str, str]] = []
        self.claims: dict[tuple[str, str], Claim] = {}
        self.elsewhere: dict[tuple[str, str], Sequence[str]] = {}
        self.claiming = asyncio.Event()
        self.may_claim = asyncio.Event()
        self.may_claim.set()
        self.failure: Exception | None = None
        self.closed = False

    def publish(self, turn: LiveTurn) -> None:
        self.published.append(turn)

    async def follow(self, owner: str, turn: str, *, after: int) -> Followed:
        if (owner, turn) not in self.elsewhere:
            raise NotFound("not here either")
        pieces = self.elsewhere[owner, turn]
        return FollowedElsewhere(turn, Conversation(owner, "there"), after=after, pieces=pieces)

    async def stop(self, owner: str, turn: str) -> None:
        if (owner, turn) not in self.elsewhere:
            raise NotFound("not here either")
        self.stopped.append((owner, turn))

    async def claim(self, owner: str, key: str, *, claim: Claim) -> Claim | None:
        self.claiming.set()
        await self.may_claim.wait()
        if self.failure is not None:
            raise self.failure
        held = self.claims.setdefault((owner, key), claim)
        return None if held is claim else held

    async def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        self.closed = True
