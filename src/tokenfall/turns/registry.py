"""The turns of this process: running turns, and recently ended ones, which can still be resumed.

Ended turns are limited in time and memory; the oldest are dropped first. Turns of other processes are reached through
the port `SharedTurns`, if it is configured.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from tokenfall.conversations import Claim
from tokenfall.errors import IdempotencyMismatch, IdempotencyUnavailable, NotFound, ResumeExpired, TokenfallError
from tokenfall.ports import Followed, SharedTurns
from tokenfall.turns.turn import FollowedLocally, RunningTurn

OVERHEAD_BYTES = 1_000
"""Memory of an ended turn besides its texts."""

CLAIM_BYTES = 1_400
"""Memory of an idempotency key besides its text: the claim and its future."""


class TurnRegistry:
    """`keep_s` and `max_bytes` limit the ended turns. `alone`: no other process serves the same clients."""

    def __init__(
        self, *, keep_s: float, max_bytes: int, now: Callable[[], float], shared: SharedTurns | None, alone: bool
    ) -> None:
        self.shared = shared
        self._alone = alone
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._now = now
        self._turns: dict[str, RunningTurn] = {}
        self._keys: dict[tuple[str, str], asyncio.Future[Claim]] = {}
        self._ended: OrderedDict[str, tuple[float, int]] = OrderedDict()  # expiry, size in bytes
        self._bytes = 0
        self._expiry_timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Number of turns that run or can be resumed."""
        return len(self._turns)

    @property
    def claims(self) -> int:
        """Number of idempotency keys that are bound to a turn."""
        return len(self._keys)

    # Called by the chat

    def add(self, turn: RunningTurn) -> None:
        """Register a new turn, and publish it to other processes."""
        self._turns[turn.id] = turn
        if self.shared is not None:
            self.shared.publish(turn)

    async def claim(self, turn: RunningTurn, *, key: str, digest: str) -> Followed | None:
        """Bind an idempotency key to `turn` and return None; if it is bound already, return that turn from its start.

        Raises `IdempotencyMismatch`, and `IdempotencyUnavailable` if other processes could not see the key.
        """
        if self.shared is None and not self._alone:
            raise IdempotencyUnavailable("with several workers, Idempotency-Key needs TURNS_URL=redis://...")
        owner = turn.conversation.owner
        mine = Claim(turn.id, turn.conversation.id, digest)
        while True:
            claiming = self._keys.get((owner, key)) or self._claim(turn, key, mine=mine)
            claimed = await asyncio.shield(claiming)
            if claimed is mine:
                return None
            if self.shared is None and claimed.turn not in self._turns:
                continue  # its client disconnected before the engine was called: the key is free again
            if claimed.digest != digest:
                raise IdempotencyMismatch("this Idempotency-Key was used for a different request; use a new key")
            return await self.follow(owner, claimed.turn, after=0)

    def _claim(self, turn: RunningTurn, key: str, *, mine: Claim) -> "asyncio.Future[Claim]":
        """Claim in this process at once; the future resolves when the claim is valid in all processes."""
        name = (turn.conversation.owner, key)
        turn.idempotency_key = key
        self._turns[turn.id] = turn
        claiming = self._keys[name] = asyncio.ensure_future(self._claim_everywhere(name, mine, turn=turn))
        return claiming

    async def _claim_everywhere(self, name: tuple[str, str], mine: Claim, *, turn: RunningTurn) -> Claim:
        if self.shared is None:
            return mine
        try:
            claimed = await self.shared.claim(*name, claim=mine)
        except BaseException:
            self._forget(mine.turn)
            raise
        if claimed is None:
            if turn.end is not None:
                self.shared.publish(turn)  # its client has disconnected: publishing the end frees the key
            return mine
        self._forget(mine.turn)
        return claimed

    async def follow(self, owner: str, turn_id: str, *, after: int) -> Followed:
        """Follow a turn of `owner`, starting after its first `after` pieces. Raises `NotFound` and `ResumeExpired`."""
        turn = self._find(owner, turn_id)
        if turn is None:
            if self.shared is None:
                raise self._not_found()
            return await self.shared.follow(owner, turn_id, after=after)
        if after > len(turn.response):
            raise ResumeExpired(f"the turn has {len(turn.response)} events so far; Last-Event-ID takes no later one")
        return FollowedLocally(turn, after=after)

    async def stop(self, owner: str, turn_id: str) -> None:
        """Stop a turn and return once it has ended. Raises `NotFound`."""
        turn = self._find(owner, turn_id)
        if turn is None:
            if self.shared is None:
                raise self._not_found()
            await self.shared.stop(owner, turn_id)
            return
        turn.stop()
        await turn.ended()

    def retain(self, turn: RunningTurn) -> None:
        """Store an ended turn for resumption; drop one that failed without text, so that its key is free again."""
        if not len(turn.response) and (turn.end is None or turn.end.finished is None):
            self._forget(turn.id)
            return
        size = turn.size_bytes() + OVERHEAD_BYTES + len(turn.conversation.id)
        if turn.idempotency_key:
            size += CLAIM_BYTES + len(turn.idempotency_key)
        self._ended[turn.id] = (self._now() + self._keep_s, size)
        self._bytes += size
        self._drop_expired()

    def running(self) -> list[RunningTurn]:
        """The turns that have not ended."""
        return [turn for turn in self._turns.values() if turn.end is None]

    async def close(self) -> None:
        """Cancel the timer and close `shared`."""
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
        if self.shared is not None:
            await self.shared.close()

    # Retention

    def _find(self, owner: str, turn_id: str) -> RunningTurn | None:
        turn = self._turns.get(turn_id)
        return turn if turn is not None and turn.conversation.owner == owner else None

    def _not_found(self) -> TokenfallError:
        where = "" if self._alone else ", or it runs in another worker: that needs TURNS_URL=redis://..."
        return NotFound(f"no such turn is running or has just ended{where}; GET /history has the stored turns")

    def _drop_expired(self) -> None:
        """Drop ended turns that have expired or exceed the memory limit, and schedule the next expiry."""
        now = self._now()
        while self._ended:
            until_s, size = next(iter(self._ended.values()))
            if until_s > now and self._bytes <= self._max_bytes:
                break
            turn_id, _ = self._ended.popitem(last=False)
            self._bytes -= size
            self._forget(turn_id)
        if self._ended and self._expiry_timer is None:
            wait_s = next(iter(self._ended.values()))[0] - now
            self._expiry_timer = asyncio.get_running_loop().call_later(wait_s, self._on_expiry)

    def _on_expiry(self) -> None:
        self._expiry_timer = None
        self._drop_expired()

    def _forget(self, turn_id: str) -> None:
        turn = self._turns.pop(turn_id, None)
        if turn is not None and turn.idempotency_key:
            self._keys.pop((turn.conversation.owner, turn.idempotency_key), None)
