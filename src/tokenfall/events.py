"""The events of a response. Pure data.

An engine reports any number of `TextDelta`, and if requested `ReasoningDelta` and `ToolCallDelta`, and returns exactly
one `Finished`. On failure it raises a `TokenfallError` instead, so that a broken response cannot be mistaken for a
complete one.
"""

from typing import Literal

from msgspec import Struct

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]

EndReason = Literal[FinishReason, "refusal"]
"""A finish reason of the chat, which distinguishes a refusal of the model from a filter of the provider."""


class TextDelta(Struct, frozen=True, gc=False):
    """The next piece of the response's text, usually one token.

    `logprobs` are the log probabilities of its tokens, if the request asks for them: the elements of a JSON array, as
    text. They may come without text, for tokens of the reasoning or of a tool call.
    """

    text: str
    logprobs: bytes = b""


class ReasoningDelta(Struct, frozen=True, gc=False):
    """The next piece of the model's reasoning. Reported only if the request sets `reasoning`."""

    text: str


class ToolCallDelta(Struct, frozen=True, gc=False):
    """The next piece of a tool call. `index` counts the response's calls from 0; the first piece has `id` and `name`.

    `arguments` is the next part of a JSON object's text. A later piece without arguments may continue the name. `extra`
    of the first piece is a JSON object that the provider requires to be sent back with the call, b"" if there is none.
    Reported only if the request has `tools`.
    """

    index: int
    id: str
    name: str
    arguments: str
    extra: bytes = b""


class PassthroughEvent(Struct, frozen=True, gc=False):
    """An unchanged event of a provider's stream, for a caller that uses the provider's own dialect.

    `data` is one line. `is_token`: it has text, reasoning, a refusal or a piece of a tool call, of `text_bytes` bytes
    in UTF-8. `type` and `number` are the type and sequence number of an event of OpenAI's Responses API; "" and -1 in
    other formats. `frame` is the whole event as received, if it can be sent as it is, else b"".
    """

    data: bytes
    is_token: bool = False
    type: str = ""
    text_bytes: int = 0
    number: int = -1
    frame: bytes = b""


class Usage(Struct, frozen=True, gc=False, omit_defaults=True):
    """Token counts of a request.

    `cached_tokens` and `cache_write_tokens` are the parts of the prompt read from and written to the provider's cache;
    `reasoning_tokens` is the part of the completion that is reasoning.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens


class Finished(Struct, frozen=True):
    """The final event of a complete response. `usage` is None if the provider sent none.

    `stop` is the stop sequence of the request that ended the response, "" if there is none or it is unknown. `refused`:
    the model refused to respond, which has the reason `content_filter`.
    """

    reason: FinishReason
    model: str
    usage: Usage | None = None
    stop: str = ""
    refused: bool = False

    @property
    def end_reason(self) -> EndReason:
        """The reason, `refusal` for a refusal of the model."""
        return "refusal" if self.refused and self.reason == "content_filter" else self.reason


OutputEvent = TextDelta | ReasoningDelta | ToolCallDelta
Event = TextDelta | Finished
