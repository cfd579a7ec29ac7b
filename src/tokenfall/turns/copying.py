"""How far each turn of this process has been copied, and what of it is to be written next. Knows no Redis."""

import msgspec

from tokenfall.conversations import TurnEnd
from tokenfall.ports import LiveTurn
from tokenfall.turns.keys import TurnKeys

RENEW_S = 0.4
"""How often a silent turn says that it lives, and looks whether it is to stop."""

GIVE_UP_S = 10.0
"""How long the end of a turn is tried to be told."""

ENDED_AT_MOST = 1_000
"""How many turns may wait for their end to be told, or they would pile up while it cannot be."""


class Copy:
    """One turn, and how much of it is known to be there."""

    __slots__ = ("_end", "_pieces", "_renewed_s", "ended_s", "have", "keys", "turn")

    def __init__(self, turn: LiveTurn) -> None:
        self.turn = turn
        self.keys = TurnKeys(turn.conversation.owner, turn.id)
        self.have = 0
        self.ended_s: float | None = None
        """When its end was first seen."""
        self._renewed_s = float("-inf")
        self._pieces: list[str] = []
        self._end: TurnEnd | None = None

    def take(self, now_s: float) -> bool:
        """Take what has been said since, to be written; False when nothing has to be."""
        self._end = self.turn.end
        if self._end is not None and self.ended_s is None:
            self.ended_s = now_s
        self._pieces = self.turn.since(self.have)
        return bool(self._pieces) or self._end is not None or now_s - self._renewed_s >= RENEW_S

    def script_keys(self) -> tuple[str, str, str, str]:
        keys, claimed_with = self.keys, self.turn.idempotency_key
        return keys.stream, keys.alive, keys.stop, keys.claim(claimed_with) if claimed_with else keys.stream

    def script_arguments(self) -> tuple[str | bytes | int, ...]:
        """What was taken."""
        end, past = self._end, self.have + len(self._pieces)
        came_to_nothing = end is not None and end.finished is None and not past
        return (
            self.turn.id,
            self.turn.conversation.id,
            self.have,
            past,
            encoded(self._pieces),
            b"" if end is None else msgspec.json.encode(end),
            int(came_to_nothing),
        )

    def written(self, have: int, *, now_s: float) -> None:
        """So many pieces are there now, which are fewer than before when the store has lost some."""
        self.have = have
        self._renewed_s = now_s


class Copies:
    """All turns of this process that are not yet there to their end, the oldest first."""

    def __init__(self) -> None:
        self._copies: dict[str, Copy] = {}

    def __len__(self) -> int:
        return len(self._copies)

    def add(self, turn: LiveTurn) -> None:
        self._copies[turn.id] = Copy(turn)

    def take(self, now_s: float) -> list[Copy]:
        """Those with something to be written."""
        return [copy for copy in self._copies.values() if copy.take(now_s)]

    def drop(self, copy: Copy) -> None:
        if self._copies.get(copy.turn.id) is copy:
            del self._copies[copy.turn.id]

    def give_up(self, now_s: float) -> None:
        """Let go of what ended too long ago, and of the oldest of too many."""
        ended = [copy for copy in self._copies.values() if copy.ended_s is not None]
        for number, copy in enumerate(reversed(ended)):
            if number >= ENDED_AT_MOST or now_s - (copy.ended_s or 0.0) > GIVE_UP_S:
                self.drop(copy)


def encoded(pieces: list[str]) -> bytes:
    """As a JSON array. Half a surrogate pair, which is no Unicode, becomes a question mark."""
    try:
        return msgspec.json.encode(pieces)
    except UnicodeEncodeError:
        return msgspec.json.encode([piece.encode("utf-8", "replace").decode() for piece in pieces])
