"""Encodes responses of `POST /v1/chat/completions`, also for Groq's clients (under `/openai`). Pure.

Source: the OpenAI API reference, "The chat completion object" and "The chat completion chunk object"; Groq's `x_groq`
and `reasoning`; `reasoning_content` as in DeepSeek and vLLM. Every frame is one `data: {json}` line.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire import sse
from tokenfall.wire.dialect import (
    ContentBlock,
    Dialect,
    Encoder,
    ModelResponse,
    ParsedRequest,
    ResponseChoice,
    ResponseMeta,
    ResponseTiming,
)
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.openai import errors as openai_errors
from tokenfall.wire.openai.logprobs import check_size, logprobs, logprobs_lazily
from tokenfall.wire.openai.request import ChatOptions, decode

FINGERPRINT = "fp_tokenfall"
_encode = msgspec.json.encode


class ChatCompletionEncoder:
    """Implements `Encoder`. The constant parts of a token's frame are encoded once per block."""

    __slots__ = ("_block", "_head", "_last", "_last_choice", "_options", "_request_id", "_tier")

    def __init__(self, parsed: ParsedRequest, meta: ResponseMeta) -> None:
        self._options: ChatOptions = parsed.input
        self._head = _head(meta, "chat.completion.chunk", extra=_NO_USAGE if self._options.include_usage else b"")
        self._request_id = f"req_{meta.number}" if self._options.groq else ""
        tier = None if self._options.groq else self._options.service_tier
        self._tier = b"" if tier is None else b',"service_tier":%b' % _encode(tier)
        self._last_choice = -1
        """The last choice that was opened: choices come in order."""
        self._block = ContentBlock("text")
        self._last: tuple[int, FinishReason] | None = None
        """For Groq: the last choice and its finish reason; its final chunk also has the usage, so it is deferred."""

    def open(self, block: ContentBlock) -> bytes:
        self._block = block
        first = b""
        if block.choice > self._last_choice:
            first = self._chunk({"role": "assistant", "content": ""}, block.choice, groq={"id": self._request_id})
            self._last_choice = block.choice
        if block.call is None:
            return first
        call = {"index": block.index, **call_document(block.call)}
        return first + self._chunk({"tool_calls": [call]}, block.choice)

    def frame_template(self) -> tuple[bytes, bytes] | None:
        block = self._block
        if self._options.logprobs and block.kind == "text":
            return None
        before = b'data: %b"choices":[{"index":%d,"delta":{' % (self._head, block.choice)
        if block.kind == "call":
            custom = block.call is not None and block.call.custom
            member = b'"custom":{"input":' if custom else b'"function":{"arguments":'
            call = b'"tool_calls":[{"index":%d,%b' % (block.index, member)
            return before + call, b'}}]},"logprobs":null,"finish_reason":null}]}\n\n'
        thought = "reasoning" if self._options.groq else "reasoning_content"
        name = thought if block.kind == "thought" else "content"
        return before + b'"%b":' % name.encode(), b'},"logprobs":null,"finish_reason":null}]}\n\n'

    def token(self, text: str) -> bytes:
        frame_template = self.frame_template()
        if frame_template is not None:
            return frame_template[0] + _encode(text) + frame_template[1]
        document = logprobs((text,), self._options.top_logprobs)
        return self._chunk({"content": text}, self._block.choice, logprobs=document)

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        first = b"" if choice <= self._last_choice else self.open(ContentBlock("text", choice))
        if not self._options.groq:
            return first + self._chunk({}, choice, reason=reason)
        before, self._last = self._last, (choice, reason)
        return (b"" if before is None else self._chunk({}, before[0], reason=before[1])) + first

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        frames = b""
        usage = finished.usage and usage_document(finished.usage, timing if self._options.groq else None)
        if self._last is not None:
            choice, reason = self._last
            groq = {"id": self._request_id, **({"usage": usage} if usage else {})}
            frames = self._chunk({}, choice, reason=reason, groq=groq)
        if usage and self._options.include_usage:
            head = self._head.replace(_NO_USAGE, b"")
            frames += b'data: %b"choices":[],"usage":%b}\n\n' % (head, _encode(usage))
        return frames + sse.DONE

    def _chunk(
        self,
        delta: dict[str, Any],
        choice: int,
        *,
        reason: FinishReason | None = None,
        logprobs: dict[str, Any] | None = None,
        groq: dict[str, Any] | None = None,
    ) -> bytes:
        document = _encode({"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": reason})
        extra = self._tier + (b',"x_groq":%b' % _encode(groq) if groq and self._options.groq else b"")
        return b'data: %b"choices":[%b]%b}\n\n' % (self._head, document, extra)


_NO_USAGE = b'"usage":null,'


def _head(meta: ResponseMeta, kind: str, *, extra: bytes = b"") -> bytes:
    """The beginning of each chunk's document."""
    named = _encode(
        {
            "id": f"chatcmpl-{meta.number}",
            "object": kind,
            "created": int(meta.created_s),
            "model": meta.model,
            "system_fingerprint": FINGERPRINT,
        }
    )
    return named[:-1] + b"," + extra


def usage_document(usage: Usage, timing: ResponseTiming | None = None) -> dict[str, Any]:
    """The `usage` object; with `timing`, Groq's durations in seconds are added."""
    document: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if timing is not None:
        document |= {
            "queue_time": 0.0,
            "prompt_time": timing.first_token_s,
            "completion_time": timing.total_s - timing.first_token_s,
            "total_time": timing.total_s,
        }
    if usage.cached_tokens:
        document["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens:
        document["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return document


def call_document(call: ToolCall) -> dict[str, Any]:
    """A complete tool call."""
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def encode_response(parsed: ParsedRequest, response: ModelResponse) -> Iterator[bytes]:
    """Encode a complete response."""
    options: ChatOptions = parsed.input
    if options.logprobs:
        check_size(sum(len(choice.tokens) for choice in response.choices), options.top_logprobs)
    meta, usage = response.meta, response.finished.usage
    document: dict[str, Any] = {
        "id": f"chatcmpl-{meta.number}",
        "object": "chat.completion",
        "created": int(meta.created_s),
        "model": meta.model,
        "system_fingerprint": FINGERPRINT,
        "choices": [_choice(number, choice, options=options) for number, choice in enumerate(response.choices)],
        "usage": usage and usage_document(usage, response.timing if options.groq else None),
    }
    if options.groq:
        document |= {"usage_breakdown": None, "x_groq": {"id": f"req_{meta.number}"}}
    if options.service_tier is not None:
        document["service_tier"] = options.service_tier
    return json_pieces(document)


def _choice(number: int, choice: ResponseChoice, *, options: ChatOptions) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text or (None if choice.calls else "")}
    message["refusal"] = None
    if choice.thought:
        message["reasoning" if options.groq else "reasoning_content"] = choice.thought
    if choice.calls:
        message["tool_calls"] = [call_document(call) for call in choice.calls]
    document = logprobs_lazily(choice.tokens, options.top_logprobs) if options.logprobs else None
    return {"index": number, "message": message, "logprobs": document, "finish_reason": choice.reason}


def encoder(parsed: ParsedRequest, meta: ResponseMeta) -> Encoder:
    """The encoder for one stream."""
    return ChatCompletionEncoder(parsed, meta)


OPENAI_CHAT = Dialect(
    name="openai.chat",
    stream_type=sse.CONTENT_TYPE,
    keepalive=sse.PING,
    decode=decode,
    encoder=encoder,
    encode_response=encode_response,
    error=openai_errors.error,
    error_frame=openai_errors.error_frame,
)
GROQ_CHAT = msgspec.structs.replace(OPENAI_CHAT, name="groq.chat", decode=partial(decode, groq=True))
