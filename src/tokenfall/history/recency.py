"""Names by when each was last used, in pages. Pure.

A use is appended, and the one before it stays where it was until there are as many of those as names: so a use costs
next to nothing, and a page no more than what is on it.
"""

from bisect import bisect_left

SPARE = 64
"""So many old uses are never worth a look."""


class Recency:
    """The names of one owner."""

    __slots__ = ("_count", "_newest", "_uses")

    def __init__(self) -> None:
        self._count = 0
        self._newest: dict[str, int] = {}
        self._uses: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._newest)

    def use(self, name: str) -> None:
        """`name` is the newest from now on."""
        self._count += 1
        self._newest[name] = self._count
        self._uses.append((self._count, name))
        self._tidy()

    def drop(self, name: str) -> None:
        """Forget `name`, which is there."""
        del self._newest[name]
        self._tidy()

    def page(self, limit: int, after: str | None) -> list[str]:
        """At most `limit` names that were used before `after` was, the newest first. Raises KeyError."""
        place = len(self._uses) if after is None else bisect_left(self._uses, (self._newest[after],))
        found: list[str] = []
        while place and len(found) < limit:
            place -= 1
            number, name = self._uses[place]
            if self._newest.get(name) == number:
                found.append(name)
        return found

    def _tidy(self) -> None:
        if len(self._uses) > 2 * len(self._newest) + SPARE:
            self._uses = [use for use in self._uses if self._newest.get(use[1]) == use[0]]
