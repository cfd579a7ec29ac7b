"""Names ordered by last use, read in pages. Pure.

A use is appended to a log; outdated entries stay until they outnumber the names. So a use takes amortized constant
time, and a page takes time in proportion to its entries.
"""

from bisect import bisect_left

SPARE = 64
"""Number of outdated entries up to which the log is not compacted."""


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
        """Make `name` the most recently used."""
        self._count += 1
        self._newest[name] = self._count
        self._uses.append((self._count, name))
        self._compact()

    def drop(self, name: str) -> None:
        """Remove `name`, which must exist."""
        del self._newest[name]
        self._compact()

    def page(self, limit: int, after: str | None) -> list[str]:
        """At most `limit` names last used before `after`, newest first. Raises KeyError for an unknown `after`."""
        place = len(self._uses) if after is None else bisect_left(self._uses, (self._newest[after],))
        found: list[str] = []
        while place and len(found) < limit:
            place -= 1
            number, name = self._uses[place]
            if self._newest.get(name) == number:
                found.append(name)
        return found

    def _compact(self) -> None:
        if len(self._uses) > 2 * len(self._newest) + SPARE:
            self._uses = [use for use in self._uses if self._newest.get(use[1]) == use[0]]
