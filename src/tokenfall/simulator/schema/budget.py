"""What one request may spend on JSON schemas, and the errors that refuse a schema. Pure.

Callers write the schemas, and the event loop waits while a value is sought. So every loop over a part of a schema, of a
pattern or of a value pays here, before it does the work wherever the amount is known before.
"""

from tokenfall.errors import InvalidRequest

MAX_STEPS = 5_000
"""Steps of one request, for all its schemas. A step is about a microsecond of processor, measured by
tests/reliability/test_stalls.py."""

_PREFIX = "the simulator cannot satisfy this JSON schema: "


class Unsatisfiable(InvalidRequest):
    """No value was found for this part of the schema; another alternative may have one."""


class Budget:
    """The steps that are left to a request."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    @property
    def spent(self) -> int:
        """Steps spent so far."""
        return MAX_STEPS - self._left

    def spend(self, steps: int, keyword: str) -> None:
        """Pay for work at `keyword`. Raises `InvalidRequest` when nothing is left."""
        self._left -= steps
        if self._left < 0:
            raise refused(f"`{keyword[:80]}` takes more than the {MAX_STEPS} steps of one request")

    def spend_text(self, text: str, keyword: str) -> str:
        """Pay for `text` in the response: it is encoded, split into tokens and sent. Returns it."""
        self.spend(1 + len(text) // 64, keyword)
        self.spend(len(text.split()) // 4, keyword)
        return text

    def spend_json(self, encoded: bytes, keyword: str) -> None:
        """Pay for a value of the response that is not plain text."""
        self.spend(1 + len(encoded) // 8, keyword)


def unsatisfiable(why: str) -> Unsatisfiable:
    """The refusal of one part of a schema."""
    return Unsatisfiable(_PREFIX + why)


def refused(why: str) -> InvalidRequest:
    """The refusal of the whole schema: no other alternative is tried."""
    return InvalidRequest(_PREFIX + why)


def malformed(keyword: str, accepted: str) -> InvalidRequest:
    """The refusal of a keyword whose value has the wrong type or range."""
    return refused(f"`{keyword[:80]}` must be {accepted}")
