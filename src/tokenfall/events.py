"""What an answer is made of. Pure data.

An engine tells any number of `TextDelta`, and where they were asked for `ReasoningDelta` and `ToolCallDelta`, and
returns exactly one `Finished`. When it cannot, it raises a `TokenfallError` instead: an answer has one end, and the
broken one cannot be mistaken for the genuine one.
"""

from typing import Literal

from msgspec import Struct

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class TextDelta(Struct, frozen=True, gc=False):
    """The next piece of the answer, usually one token."""

    text: str


class ReasoningDelta(Struct, frozen=True, gc=False):
    """The next piece of what the model thinks before it answers. Told only to who asked for `reasoning`."""

    text: str


class ToolCallDelta(Struct, frozen=True, gc=False):
    """The next piece of a tool call. `index` counts the answer's calls from 0; the first piece has `id` and `name`.

    `arguments` is the next part of the text of a JSON object. Told only to who brought `tools`.
    """

    index: int
    id: str
    name: str
    arguments: str


class PassthroughEvent(Struct, frozen=True, gc=False):
    """An event of a provider's stream as it is, for a caller that speaks the provider's own dialect.

    `data` is one line. `is_token`: it has text, reasoning, a refusal or a piece of a tool call, `text_bytes` of them in
    UTF-8. `type` and `number` are those of an event of a response, "" and -1 where there are none.
    """

    data: bytes
    is_token: bool = False
    type: str = ""
    text_bytes: int = 0
    number: int = -1


class Usage(Struct, frozen=True, gc=False, omit_defaults=True):
    """What the answer cost, in tokens.

    Of the prompt, `cached_tokens` were read from the provider's cache and `cache_write_tokens` written to it; of the
    completion, `reasoning_tokens` are thoughts.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

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


OutputEvent = TextDelta | ReasoningDelta | ToolCallDelta
Event = TextDelta | Finished
