"""Limits the work of one request on JSON schemas; the errors for schemas that cannot be satisfied. Pure.

Schemas come from clients, and generating a value blocks the event loop. Therefore every loop over a part of a schema, a
pattern or a value is charged to the budget, before the work if its amount is known.
"""

from tokenfall.errors import InvalidRequest

MAX_STEPS = 5_000
"""Steps of one request, for all its schemas. A step is about a microsecond of CPU time, measured by
tests/reliability/test_stalls.py."""

_PREFIX = "the simulator cannot satisfy this JSON schema: "


class Unsatisfiable(InvalidRequest):
    """No value was found for this part of the schema; the next alternative is tried."""


class Budget:
    """The remaining steps of a request."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    @property
    def spent(self) -> int:
        return MAX_STEPS - self._left

    def spend(self, steps: int, keyword: str) -> None:
        """Spend steps for work on `keyword`. Raises `InvalidRequest` if none are left."""
        self._left -= steps
        if self._left < 0:
            raise refused(f"`{keyword[:80]}` takes more than the {MAX_STEPS} steps of one request")

    def spend_text(self, text: str, keyword: str) -> str:
        """Spend steps for encoding, tokenizing and sending `text` in the response. Returns `text`."""
        self.spend(1 + len(text) // 64, keyword)
        self.spend(len(text.split()) // 4, keyword)
        return text

    def spend_json(self, encoded: bytes, keyword: str) -> None:
        """Spend steps for a value of the response that is not a string."""
        self.spend(1 + len(encoded) // 8, keyword)


def unsatisfiable(why: str) -> Unsatisfiable:
    """The error for one part of a schema; other alternatives may be tried."""
    return Unsatisfiable(_PREFIX + why)


def refused(why: str) -> InvalidRequest:
    """The error for the complete schema; no other alternative is tried."""
    return InvalidRequest(_PREFIX + why)


def malformed(keyword: str, accepted: str) -> InvalidRequest:
    """The error for a keyword whose value has the wrong type or range."""
    return refused(f"`{keyword[:80]}` must be {accepted}")
