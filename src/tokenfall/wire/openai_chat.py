"""`POST /v1/chat/completions`, as a server answers it; the same under `/openai`, where Groq's clients look. Pure.

Source: the OpenAI API reference, "The chat completion object" and "The chat completion chunk object"; Groq's `x_groq`
and `reasoning`; `reasoning_content` as DeepSeek and vLLM say it. A frame is `data: {json}` and nothing else.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire import openai_errors, sse
from tokenfall.wire.dialect import Answer, Asked, Choice, Dialect, Encoder, Identity, Section, Timing
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.openai_logprobs import check_size, logprobs, logprobs_lazily
from tokenfall.wire.openai_request import Shape, decode

FINGERPRINT = "fp_tokenfall"
_encode = msgspec.json.encode


class ChunkEncoder:
    """Implements `Encoder`. What does not change from token to token is written once a section."""

    __slots__ = ("_begun", "_head", "_request_id", "_section", "_shape")

    def __init__(self, asked: Asked, identity: Identity) -> None:
        self._shape: Shape = asked.input
        self._head = _head(identity, "chat.completion.chunk", extra=_NO_USAGE if self._shape.include_usage else b"")
        self._request_id = f"req_{identity.number}" if self._shape.groq else ""
        self._begun = -1
        """The last choice that was begun: they come in their order."""
        self._section = Section("text")

    def open(self, section: Section) -> bytes:
        self._section = section
        first = b""
        if section.choice > self._begun:
            first = self._chunk({"role": "assistant", "content": ""}, section.choice, groq={"id": self._request_id})
            self._begun = section.choice
        if section.call is None:
            return first
        function = {"name": section.call.name, "arguments": ""}
        call = {"index": section.index, "id": section.call.id, "type": "function", "function": function}
        return first + self._chunk({"tool_calls": [call]}, section.choice)

    def affixes(self) -> tuple[bytes, bytes] | None:
        section = self._section
        if self._shape.logprobs and section.kind == "text":
            return None
        before = b'data: %b"choices":[{"index":%d,"delta":{' % (self._head, section.choice)
        if section.kind == "call":
            call = b'"tool_calls":[{"index":%d,"function":{"arguments":' % section.index
            return before + call, b'}}]},"logprobs":null,"finish_reason":null}]}\n\n'
        thought = "reasoning" if self._shape.groq else "reasoning_content"
        name = thought if section.kind == "thought" else "content"
        return before + b'"%b":' % name.encode(), b'},"logprobs":null,"finish_reason":null}]}\n\n'

    def token(self, text: str) -> bytes:
        affixes = self.affixes()
        if affixes is not None:
            return affixes[0] + _encode(text) + affixes[1]
        told = logprobs((text,), self._shape.top_logprobs)
        return self._chunk({"content": text}, self._section.choice, logprobs=told)

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        first = b"" if choice <= self._begun else self.open(Section("text", choice))
        return first + self._chunk({}, choice, reason=reason)

    def end(self, finished: Finished, timing: Timing) -> bytes:
        frames = b""
        usage = finished.usage and usage_document(finished.usage, timing if self._shape.groq else None)
        if usage and self._shape.groq:
            told = _encode({"id": self._request_id, "usage": usage})
            frames = b'data: %b"choices":[],"x_groq":%b}\n\n' % (self._head, told)
        if usage and self._shape.include_usage:
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
        told = _encode({"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": reason})
        extra = b',"x_groq":%b' % _encode(groq) if groq and self._shape.groq else b""
        return b'data: %b"choices":[%b]%b}\n\n' % (self._head, told, extra)


_NO_USAGE = b'"usage":null,'


def _head(identity: Identity, kind: str, *, extra: bytes = b"") -> bytes:
    """The beginning of each chunk's document."""
    named = _encode(
        {
            "id": f"chatcmpl-{identity.number}",
            "object": kind,
            "created": int(identity.created_s),
            "model": identity.model,
            "system_fingerprint": FINGERPRINT,
        }
    )
    return named[:-1] + b"," + extra


def usage_document(usage: Usage, timing: Timing | None = None) -> dict[str, Any]:
    """`usage` as these dialects say it; with `timing` as Groq adds it, in seconds."""
    told: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if timing is not None:
        told |= {
            "queue_time": 0.0,
            "prompt_time": timing.first_token_s,
            "completion_time": timing.total_s - timing.first_token_s,
            "total_time": timing.total_s,
        }
    return told


def call_document(call: ToolCall) -> dict[str, Any]:
    """A whole tool call."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def whole(asked: Asked, answer: Answer) -> Iterator[bytes]:
    """The whole answer."""
    shape: Shape = asked.input
    if shape.logprobs:
        check_size(sum(len(choice.tokens) for choice in answer.choices), shape.top_logprobs)
    identity, usage = answer.identity, answer.finished.usage
    document: dict[str, Any] = {
        "id": f"chatcmpl-{identity.number}",
        "object": "chat.completion",
        "created": int(identity.created_s),
        "model": identity.model,
        "system_fingerprint": FINGERPRINT,
        "choices": [_choice(number, choice, shape=shape) for number, choice in enumerate(answer.choices)],
        "usage": usage and usage_document(usage, answer.timing if shape.groq else None),
    }
    if shape.groq:
        document["x_groq"] = {"id": f"req_{identity.number}"}
    return json_pieces(document)


def _choice(number: int, choice: Choice, *, shape: Shape) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text or (None if choice.calls else "")}
    message["refusal"] = None
    if choice.thought:
        message["reasoning" if shape.groq else "reasoning_content"] = choice.thought
    if choice.calls:
        message["tool_calls"] = [call_document(call) for call in choice.calls]
    told = logprobs_lazily(choice.tokens, shape.top_logprobs) if shape.logprobs else None
    return {"index": number, "message": message, "logprobs": told, "finish_reason": choice.reason}


def encoder(asked: Asked, identity: Identity) -> Encoder:
    """The encoder of one stream."""
    return ChunkEncoder(asked, identity)


OPENAI_CHAT = Dialect(
    name="openai.chat",
    stream_type=sse.CONTENT_TYPE,
    comment=sse.PING,
    decode=decode,
    encoder=encoder,
    whole=whole,
    error=openai_errors.error,
    broken=openai_errors.broken,
)
GROQ_CHAT = msgspec.structs.replace(OPENAI_CHAT, name="groq.chat", decode=partial(decode, groq=True))
