"""One event's data to a `Chunk`. Pure.

An ordinary chunk is decoded by its types in one step. Members that are read only in odd chunks have the type None here:
a chunk that has one, or has a value of another type, is decoded again by `tokenfall.wire.upstream.lenient`, into the
same `Chunk`.

Source: the OpenAI API reference, "The chat completion chunk object".
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct


class CalledFunction(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class CallPiece(Struct, gc=False):
    """A piece of a tool call as it came; each member may be absent."""

    index: int | None = None
    id: str | None = None
    function: CalledFunction | None = None
    custom: None = None


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
    """OpenRouter sends it beside `reasoning`, MiniMax alone."""
    function_call: None = None
    thinking: None = None

    def thought(self) -> str:
        """The reasoning, under the first name that has any."""
        if self.reasoning_content or self.reasoning:
            return self.reasoning_content or self.reasoning or ""
        return "".join(detail.text or detail.summary or "" for detail in self.reasoning_details or ())


class ChunkChoice(Struct, gc=False):
    delta: ChunkDelta | None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    """vLLM: the stop text that ended the answer, or a token's number."""
    matched_stop: str | int | None = None
    """The same of SGLang."""
    message: None = None
    text: None = None
    usage: None = None
    error: None = None


class Chunk(Struct, gc=False):
    """What Tokenfall reads of a chunk; all other members are skipped while decoding."""

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
    """What is read of an event that is passed through: a chunk, a legacy completion, or an event of a response."""

    type: str = ""
    choices: list[PassthroughChoice] | None = None
    delta: str | None = None
    sequence_number: int = -1
    object: str = ""
    error: None = None
    error_message: None = None
    message: None = None
    detail: None = None


decode_ordinary = msgspec.json.Decoder(Chunk).decode
decode_passed = msgspec.json.Decoder(PassthroughChunk).decode
NOT_ORDINARY = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the two raise for everything else."""
