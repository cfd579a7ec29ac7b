"""Encodes responses of `POST /v1/messages`. Pure.

Source: the Claude API reference, "Create a message" and "Streaming messages". A frame is `event: {type}` and
`data: {json}`; the type is in both, and clients need both.
"""

from base64 import b64encode
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire import rate_limit_headers, sse
from tokenfall.wire.anthropic import errors as anthropic_errors
from tokenfall.wire.anthropic.request import MessagesBody, MessagesOptions, decode, for_upstream
from tokenfall.wire.dialect import (
    ContentBlock,
    Count,
    Dialect,
    ModelResponse,
    ParsedRequest,
    ResponseMeta,
    ResponseTiming,
)
from tokenfall.wire.json_pieces import json_pieces

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]
_REASONS: dict[FinishReason, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_DELTAS = {
    "text": b'"text_delta","text":',
    "thought": b'"thinking_delta","thinking":',
    "call": b'"input_json_delta","partial_json":',
}
_encode = msgspec.json.encode


class OutputBlock(Struct, frozen=True, kw_only=True):
    type: str


class TextBlock(OutputBlock, frozen=True, kw_only=True):
    type: Literal["text"] = "text"
    text: str


class ThinkingBlock(OutputBlock, frozen=True, kw_only=True):
    """Reasoning. `signature` is opaque data that clients send back."""

    type: Literal["thinking"] = "thinking"
    thinking: str
    signature: str


class ToolUseBlock(OutputBlock, frozen=True, kw_only=True):
    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


class MessageUsage(Struct, frozen=True, kw_only=True):
    """The token counts of a response. `input_tokens` excludes tokens read from or written to the cache."""

    input_tokens: Count
    cache_creation_input_tokens: Count
    cache_read_input_tokens: Count
    output_tokens: Count


class AnthropicResponse(Struct, frozen=True, kw_only=True):
    """A message. The stop members are None at the start of a stream."""

    id: Annotated[str, Meta(pattern="^msg_")]
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[OutputBlock]
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    usage: MessageUsage


class MessageEncoder:
    """Implements `Encoder`: one message with its content blocks. `choice` is always 0.

    `message_start` has `meta.prompt_tokens`, the end of the stream the usage of `Finished`.

    If the client omits thinking (`display: "omitted"`), a thinking block has only a signature.
    """

    def __init__(self, parsed: ParsedRequest, meta: ResponseMeta) -> None:
        options: MessagesOptions = parsed.options
        self._omits_thinking = options.omit_thinking
        self._meta = meta
        self._started = False
        self._block: ContentBlock | None = None
        self._index = -1
        self._reason: FinishReason = "stop"

    def open(self, block: ContentBlock) -> bytes:
        frames = self._begin() + self._close()
        self._block = block
        self._index += 1
        document = {"index": self._index, "content_block": _empty_block(block)}
        frames += _frame("content_block_start", document)
        return frames + PING if self._index == 0 else frames

    def frame_template(self) -> tuple[bytes, bytes] | None:
        kind = "text" if self._block is None else self._block.kind
        if kind == "thought" and self._omits_thinking:
            return None
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b'
        return head % (self._index, _DELTAS[kind]), b"}}\n\n"

    def token(self, text: str) -> bytes:
        return b""  # thinking that the client omits

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        self._reason = reason
        return self._begin() + self._close()

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        usage = _usage(finished.usage or Usage(self._meta.prompt_tokens, 0))
        delta = _stop(self._reason, finished.stop)
        return _frame("message_delta", {"delta": delta, "usage": usage}) + _frame("message_stop", {})

    def _begin(self) -> bytes:
        """`message_start`, once. Its usage has one output token, as the API reports before any output."""
        if self._started:
            return b""
        self._started = True
        usage = _usage(Usage(self._meta.prompt_tokens, 1))
        message = AnthropicResponse(id=f"msg_{self._meta.number}", model=self._meta.model, content=[], usage=usage)
        return _frame("message_start", {"message": message})

    def _close(self) -> bytes:
        """The end of the open block, if one is open; a thinking block gets its signature first."""
        block, self._block = self._block, None
        if block is None:
            return b""
        signature_frame = b""
        if block.kind == "thought":
            delta = {"type": "signature_delta", "signature": _signature(self._meta, self._index)}
            signature_frame = _frame("content_block_delta", {"index": self._index, "delta": delta})
        return signature_frame + _frame("content_block_stop", {"index": self._index})


def _frame(event: str, document: dict[str, Any]) -> bytes:
    return sse.frame(_encode({"type": event, **document}), event)


def _stop(reason: FinishReason, stop: str) -> dict[str, Any]:
    """The stop members. `stop` is the stop text that ended the response, "" if none did."""
    at_text = reason == "stop" and stop != ""
    refusal = {"type": "refusal", "category": None, "explanation": None}
    return {
        "stop_reason": "stop_sequence" if at_text else _REASONS[reason],
        "stop_sequence": stop if at_text else None,
        "stop_details": refusal if reason == "content_filter" else None,
    }


def _usage(usage: Usage) -> MessageUsage:
    return MessageUsage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        cache_creation_input_tokens=usage.cache_write_tokens,
        cache_read_input_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
    )


def _empty_block(block: ContentBlock) -> OutputBlock:
    if block.call is not None:
        return ToolUseBlock(id=block.call.id, name=block.call.name, input={})
    if block.kind == "thought":
        return ThinkingBlock(thinking="", signature="")
    return TextBlock(text="")


def _signature(meta: ResponseMeta, index: int) -> str:
    """The signature of a thinking block: opaque data that clients send back; it is ignored then."""
    return b64encode(f"tokenfall {meta.number} {index}".encode()).decode()


def _arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call as an object; empty if the model's output is not a complete JSON object."""
    try:
        read = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def encode_response(parsed: ParsedRequest, response: ModelResponse) -> Iterator[bytes]:
    """Encode a complete response: reasoning, text and calls, in this order."""
    options: MessagesOptions = parsed.options
    meta, choice = response.meta, response.choices[0]
    content: list[OutputBlock] = []
    if choice.thought:
        thinking = "" if options.omit_thinking else choice.thought
        content.append(ThinkingBlock(thinking=thinking, signature=_signature(meta, 0)))
    if choice.text:
        content.append(TextBlock(text=choice.text))
    content += [ToolUseBlock(id=call.id, name=call.name, input=_arguments(call)) for call in choice.calls]
    return json_pieces(
        AnthropicResponse(
            id=f"msg_{meta.number}",
            model=meta.model,
            content=content,
            **_stop(choice.reason, response.finished.stop),
            usage=_usage(response.finished.usage or Usage(meta.prompt_tokens, 0)),
        )
    )


ANTHROPIC = Dialect(
    name="anthropic",
    body=MessagesBody,
    response=AnthropicResponse,
    keepalive=PING,
    decode=decode,
    encoder=MessageEncoder,
    encode_response=encode_response,
    error=anthropic_errors.error,
    error_frame=anthropic_errors.error_frame,
    limits=rate_limit_headers.anthropic,
    for_upstream=for_upstream,
)
