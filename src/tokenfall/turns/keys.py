"""Names of a turn's keys in Redis. `turns.redis` documents the layout."""

from hashlib import sha256

from tokenfall.redis.calls import tag


class TurnKeys:
    """Key names of one turn of `owner`."""

    __slots__ = ("_tag", "alive", "stop", "stream")

    def __init__(self, owner: str, turn: str) -> None:
        self._tag = tag(owner)
        self.stream = f"{self._tag}:turn:{turn}"
        self.alive = f"{self._tag}:alive:{turn}"
        self.stop = f"{self._tag}:stop:{turn}"

    def claim(self, key: str) -> str:
        """Name for an idempotency key; hashed, because callers choose it and it may be long."""
        return f"{self._tag}:claim:{sha256(key.encode()).hexdigest()}"
