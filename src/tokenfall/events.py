"""What an answer is made of. Pure data.

An engine tells any number of `Delta`, and where they were asked for `Thought` and `CallPart`, and returns exactly one
`Finished`. When it cannot, it raises a `TokenfallError` instead: an answer has one end, and the broken one cannot be
mistaken for the genuine one.
"""

from typing import Literal

from msgspec import Struct

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Delta(Struct, frozen=True, gc=False):
    """The next piece of the answer, usually one token."""

    text: str


class Thought(Struct, frozen=True, gc=False):
    """The next piece of what the model thinks before it answers. Told only to who asked for `reasoning`."""

    text: str


class CallPart(Struct, frozen=True, gc=False):
    """The next piece of a tool call. `index` counts the answer's calls from 0; the first piece has `id` and `name`.

    `arguments` is the next part of the text of a JSON object. Told only to who brought `tools`.
    """

    index: int
    id: str
    name: str
    arguments: str


class Passed(Struct, frozen=True, gc=False):
    """An event of a provider's stream as it is, for a caller that speaks the provider's own dialect.

    `data` is one line. `is_token`: it has text, reasoning, a refusal or a piece of a tool call, `text_bytes` of them in
    UTF-8. `type` is that of an event of a response, "" where there is none.
    """

    data: bytes
    is_token: bool = False
    type: str = ""
    text_bytes: int = 0


class Usage(Struct, frozen=True, gc=False):
    """What the answer cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        """Both together."""
        return self.prompt_tokens + self.completion_tokens


class Finished(Struct, frozen=True):
    """The genuine end of an answer. `usage` is None when the provider did not say.

    `stop` is the text of the request's `stop` that ended the answer, "" where none did or nobody knows.
    """

    reason: FinishReason
    model: str
    usage: Usage | None = None
    stop: str = ""


Said = Delta | Thought | CallPart
Event = Delta | Finished
