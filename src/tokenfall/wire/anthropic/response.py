"""`POST /v1/messages`, as a server answers it. Pure.

Source: the Claude API reference, "Create a message" and "Streaming messages". A frame is `event: {type}` and
`data: {json}`; the type is said twice, and clients need both.
"""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import msgspec

from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire import sse
from tokenfall.wire.anthropic import errors as anthropic_errors
from tokenfall.wire.anthropic.request import Shape, decode
from tokenfall.wire.dialect import Answer, ContentBlock, Dialect, Encoder, ParsedRequest, ResponseMeta, Timing
from tokenfall.wire.json_pieces import json_pieces

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_REASONS: dict[FinishReason, str] = {
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


class MessageEncoder:
    """Implements `Encoder`: one message, whose content is a block for each section. `choice` is always 0 here.

    Where the caller wants thoughts omitted, their block has a signature only.
    """

    def __init__(self, asked: ParsedRequest, meta: ResponseMeta) -> None:
        shape: Shape = asked.input
        self._omits_thoughts = shape.omit_thoughts
        self._identity = meta
        self._begun = False
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
        if kind == "thought" and self._omits_thoughts:
            return None
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b'
        return head % (self._index, _DELTAS[kind]), b"}}\n\n"

    def token(self, text: str) -> bytes:
        frame_template = self.frame_template()
        return b"" if frame_template is None else frame_template[0] + _encode(text) + frame_template[1]

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        self._reason = reason
        return self._begin() + self._close()

    def end(self, finished: Finished, timing: Timing) -> bytes:
        usage = _usage(finished.usage or Usage(self._identity.prompt_tokens, 0))
        delta = _stop(self._reason, finished.stop)
        return _frame("message_delta", {"delta": delta, "usage": usage}) + _frame("message_stop", {})

    def _begin(self) -> bytes:
        """The message's own beginning, once. Its output counts one token, as the API says before there is any."""
        if self._begun:
            return b""
        self._begun = True
        usage = _usage(Usage(self._identity.prompt_tokens, 1))
        return _frame("message_start", {"message": _message(self._identity, [], stop=_NOT_STOPPED, usage=usage)})

    def _close(self) -> bytes:
        """The end of the open block, if one is open; before it, a thought is signed."""
        block, self._block = self._block, None
        if block is None:
            return b""
        signed = b""
        if block.kind == "thought":
            delta = {"type": "signature_delta", "signature": _signature(self._identity, self._index)}
            signed = _frame("content_block_delta", {"index": self._index, "delta": delta})
        return signed + _frame("content_block_stop", {"index": self._index})


_NOT_STOPPED = {"stop_reason": None, "stop_sequence": None, "stop_details": None}


def _frame(event: str, document: dict[str, Any]) -> bytes:
    return sse.frame(_encode({"type": event, **document}), event)


def _stop(reason: FinishReason, stop: str) -> dict[str, Any]:
    """Why the answer ended. `stop` is the text that ended it, "" where none did."""
    at_text = reason == "stop" and stop != ""
    refusal = {"type": "refusal", "category": None, "explanation": None}
    return {
        "stop_reason": "stop_sequence" if at_text else _REASONS[reason],
        "stop_sequence": stop if at_text else None,
        "stop_details": refusal if reason == "content_filter" else None,
    }


def _usage(usage: Usage) -> dict[str, int]:
    """`input_tokens` are those that the cache had no part in."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }


def _message(
    meta: ResponseMeta, content: list[dict[str, Any]], *, stop: dict[str, Any], usage: dict[str, int]
) -> dict[str, Any]:
    return {
        "id": f"msg_{meta.number}",
        "type": "message",
        "role": "assistant",
        "model": meta.model,
        "content": content,
        **stop,
        "usage": usage,
    }


def _empty_block(block: ContentBlock) -> dict[str, Any]:
    if block.call is not None:
        return _tool_use(block.call, {})
    if block.kind == "thought":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _tool_use(call: ToolCall, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _signature(meta: ResponseMeta, index: int) -> str:
    """What a thought is signed with: opaque to callers, who send it back, and not read then."""
    return b64encode(f"tokenfall {meta.number} {index}".encode()).decode()


def _arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call as the object they must be; none where what the model said is no whole object."""
    try:
        read = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def whole(asked: ParsedRequest, answer: Answer) -> Iterator[bytes]:
    """The whole answer: its thoughts, its text, its calls."""
    shape: Shape = asked.input
    meta, choice = answer.meta, answer.choices[0]
    content: list[dict[str, Any]] = []
    if choice.thought:
        said = "" if shape.omit_thoughts else choice.thought
        content.append({"type": "thinking", "thinking": said, "signature": _signature(meta, 0)})
    if choice.text:
        content.append({"type": "text", "text": choice.text})
    content += [_tool_use(call, _arguments(call)) for call in choice.calls]
    usage = _usage(answer.finished.usage or Usage(meta.prompt_tokens, 0))
    return json_pieces(_message(meta, content, stop=_stop(choice.reason, answer.finished.stop), usage=usage))


def encoder(asked: ParsedRequest, meta: ResponseMeta) -> Encoder:
    """The encoder of one stream. It tells `meta.prompt_tokens` at once, and what `Finished` says at the end."""
    return MessageEncoder(asked, meta)


ANTHROPIC = Dialect(
    name="anthropic",
    stream_type=sse.CONTENT_TYPE,
    keepalive=PING,
    decode=decode,
    encoder=encoder,
    whole=whole,
    error=anthropic_errors.error,
    error_frame=anthropic_errors.error_frame,
)
