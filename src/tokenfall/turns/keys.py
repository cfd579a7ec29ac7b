"""The names of a turn's keys. The layout is told in `turns.redis`."""

from hashlib import sha256

from tokenfall.redis_calls import tag


class TurnKeys:
    """Of one turn of `owner`."""

    __slots__ = ("_tag", "alive", "stop", "stream")

    def __init__(self, owner: str, turn: str) -> None:
        self._tag = tag(owner)
        self.stream = f"{self._tag}:turn:{turn}"
        self.alive = f"{self._tag}:alive:{turn}"
        self.stop = f"{self._tag}:stop:{turn}"

    def claim(self, key: str) -> str:
        """Of an idempotency key, which may be long and is the caller's."""
        return f"{self._tag}:claim:{sha256(key.encode()).hexdigest()}"
