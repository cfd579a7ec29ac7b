"""What an answer is made of. Pure data.

An engine tells any number of `Delta` and returns exactly one `Finished`. When it cannot, it raises a `TokenfallError`
instead: an answer has one end, and the broken one cannot be mistaken for the genuine one.
"""

from typing import Literal

from msgspec import Struct

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Delta(Struct, frozen=True, gc=False):
    """The next piece of the answer, usually one token."""

    text: str


class Usage(Struct, frozen=True, gc=False):
    """What the answer cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        """Both together."""
        return self.prompt_tokens + self.completion_tokens


class Finished(Struct, frozen=True):
    """The genuine end of an answer. `usage` is None when the provider did not say."""

    reason: FinishReason
    model: str
    usage: Usage | None = None


Event = Delta | Finished
