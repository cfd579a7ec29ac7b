"""Typed decoding of a stream event's data. Pure.

Fast path: a standard chunk is decoded directly into `CompletionChunk`. Members that only non-standard chunks have are
typed None here, so that decoding fails on such a chunk, as on any value of another type;
`tokenfall.wire.upstream.lenient` then decodes it into the same `CompletionChunk`.

Source: the OpenAI API reference, "The chat completion chunk object".
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tokenfall.wire.upstream.logprobs import ChoiceLogprobs


class CalledFunctionDelta(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class CallPiece(Struct, gc=False):
    """A fragment of a tool call as sent by the provider; each member may be absent."""

    index: int | None = None
    id: str | None = None
    function: CalledFunctionDelta | None = None
    custom: None = None
    name: None = None
    arguments: None = None
    extra_content: dict[str, Any] | None = None
    """Gemini: has the signature of a thought, which must be sent back with the call."""


class ReasoningDetail(Struct, gc=False):
    text: str | None = None
    summary: str | None = None


class ChunkDelta(Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    """OpenRouter sends it in addition to `reasoning`, MiniMax instead of it."""
    function_call: None = None
    thinking: None = None
    reasoning_text: None = None
    extra_content: None = None

    def thought(self) -> str:
        """The reasoning text, from the first member that has any."""
        if self.reasoning_content or self.reasoning:
            return self.reasoning_content or self.reasoning or ""
        return "".join(detail.text or detail.summary or "" for detail in self.reasoning_details or ())


class ChunkChoice(Struct, gc=False):
    delta: ChunkDelta | None
    index: int | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    """vLLM: the stop sequence that ended the response, or a token id."""
    matched_stop: str | int | None = None
    """SGLang's name for `stop_reason`."""
    logprobs: ChoiceLogprobs | None = None
    message: None = None
    text: None = None
    usage: None = None
    error: None = None


class CompletionChunk(Struct, gc=False):
    """The members of a chunk that Tokenfall reads; all others are skipped while decoding."""

    choices: Annotated[list[ChunkChoice], Meta(min_length=1)]
    model: str | None = None
    usage: dict[str, Any] | None = None
    x_groq: None = None
    error: None = None
    error_message: None = None


class PassthroughChoice(Struct, gc=False):
    delta: ChunkDelta | None = None
    text: str | None = None
    message: None = None
    error: None = None


class PassthroughChunk(Struct, gc=False):
    """The decoded members of a passthrough event: a chunk, a legacy completion, or an event of the Responses API."""

    type: str = ""
    choices: list[PassthroughChoice] | None = None
    delta: str | None = None
    sequence_number: int = -1
    object: str = ""
    error: None = None
    error_message: None = None
    message: None = None
    detail: None = None
    errors: None = None
    success: None = None
    status: None = None
    base_resp: None = None
    x_groq: None = None


decode_standard = msgspec.json.Decoder(CompletionChunk).decode
decode_passthrough = msgspec.json.Decoder(PassthroughChunk).decode
NOT_STANDARD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Raised by both decoders for everything that is not standard."""
