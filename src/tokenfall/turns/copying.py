"""Tracks how much of each turn of this process has been copied to the shared store, and what to write next.

Called by `tokenfall.turns.redis`; must not depend on Redis.
"""

import msgspec

from tokenfall.conversations import TurnEnd
from tokenfall.ports import LiveTurn
from tokenfall.turns.keys import TurnKeys

ENTRY_BYTES = 32_768
"""Size of the pieces in one write of a turn, exceeded by at most one of them. A follower holds several in memory."""

RENEW_S = 0.4
"""Interval at which a turn without new pieces renews its lease and checks for a stop request."""

GIVE_UP_S = 10.0
"""How long writing the end of a turn is retried."""

MAX_ENDED = 1_000
"""Maximum number of turns whose end is yet to be written; they accumulate while the store fails."""


class Copy:
    """A turn and the state of its copy in the store."""

    __slots__ = ("_end", "_pieces", "_renewed_s", "ended_s", "has_more", "keys", "stored", "turn")

    def __init__(self, turn: LiveTurn) -> None:
        self.turn = turn
        self.keys = TurnKeys(turn.conversation.owner, turn.id)
        self.stored = 0  # pieces in the store
        self.ended_s: float | None = None
        """When the end was first observed."""
        self.has_more = False
        """Whether there are pieces that the next write does not contain."""
        self._renewed_s = float("-inf")
        self._pieces: list[str] = []
        self._end: TurnEnd | None = None

    def take(self, now_s: float) -> bool:
        """Collect the pieces since the last write; False if no pieces, end or lease renewal need a write."""
        end = self.turn.end
        if end is not None and self.ended_s is None:
            self.ended_s = now_s
        self._pieces = self.turn.since(self.stored, max_bytes=ENTRY_BYTES)
        self.has_more = bool(self.turn.since(self.stored + len(self._pieces), max_bytes=1))
        self._end = None if self.has_more else end
        return bool(self._pieces) or self._end is not None or now_s - self._renewed_s >= RENEW_S

    def script_keys(self) -> tuple[str, str, str, str]:
        keys, claimed_with = self.keys, self.turn.idempotency_key
        return keys.stream, keys.alive, keys.stop, keys.claim(claimed_with) if claimed_with else keys.stream

    def script_arguments(self) -> tuple[str | bytes | int, ...]:
        """The script's arguments, for the state that `take` collected."""
        end, past = self._end, self.stored + len(self._pieces)
        produced_nothing = end is not None and end.finished is None and not past
        return (
            self.turn.id,
            self.turn.conversation.id,
            self.stored,
            past,
            encoded(self._pieces),
            b"" if end is None else msgspec.json.encode(end),
            int(produced_nothing),
        )

    def written(self, stored: int, *, now_s: float) -> None:
        """The store now has `stored` pieces: fewer than before if it has lost some."""
        self.stored = stored
        self._renewed_s = now_s


class Copies:
    """All turns of this process that are not completely copied, oldest first."""

    def __init__(self) -> None:
        self._copies: dict[str, Copy] = {}

    def __len__(self) -> int:
        return len(self._copies)

    def add(self, turn: LiveTurn) -> None:
        self._copies[turn.id] = Copy(turn)

    def take(self, now_s: float) -> list[Copy]:
        """The turns with something to write."""
        return [copy for copy in self._copies.values() if copy.take(now_s)]

    @property
    def have_more(self) -> bool:
        """Whether a turn has more pieces than the last write contained."""
        return any(copy.has_more for copy in self._copies.values())

    def drop(self, copy: Copy) -> None:
        if self._copies.get(copy.turn.id) is copy:
            del self._copies[copy.turn.id]

    def give_up(self, now_s: float) -> None:
        """Drop turns that ended more than `GIVE_UP_S` ago, and the oldest above `MAX_ENDED`."""
        ended = [copy for copy in self._copies.values() if copy.ended_s is not None]
        for number, copy in enumerate(reversed(ended)):
            if number >= MAX_ENDED or now_s - (copy.ended_s or 0.0) > GIVE_UP_S:
                self.drop(copy)


def encoded(pieces: list[str]) -> bytes:
    """As a JSON array. Lone surrogates, which UTF-8 cannot encode, become question marks."""
    try:
        return msgspec.json.encode(pieces)
    except UnicodeEncodeError:
        return msgspec.json.encode([piece.encode("utf-8", "replace").decode() for piece in pieces])
