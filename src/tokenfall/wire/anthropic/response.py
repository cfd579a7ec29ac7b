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
from tokenfall.wire.dialect import Answer, Asked, Dialect, Encoder, Identity, Section, Timing
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

    def __init__(self, asked: Asked, identity: Identity) -> None:
        shape: Shape = asked.input
        self._omits_thoughts = shape.omit_thoughts
        self._identity = identity
        self._begun = False
        self._section: Section | None = None
        self._index = -1
        self._reason: FinishReason = "stop"

    def open(self, section: Section) -> bytes:
        frames = self._begin() + self._close()
        self._section = section
        self._index += 1
        document = {"index": self._index, "content_block": _empty_block(section)}
        frames += _frame("content_block_start", document)
        return frames + PING if self._index == 0 else frames

    def affixes(self) -> tuple[bytes, bytes] | None:
        kind = "text" if self._section is None else self._section.kind
        if kind == "thought" and self._omits_thoughts:
            return None
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b'
        return head % (self._index, _DELTAS[kind]), b"}}\n\n"

    def token(self, text: str) -> bytes:
        affixes = self.affixes()
        return b"" if affixes is None else affixes[0] + _encode(text) + affixes[1]

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
        section, self._section = self._section, None
        if section is None:
            return b""
        signed = b""
        if section.kind == "thought":
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
    identity: Identity, content: list[dict[str, Any]], *, stop: dict[str, Any], usage: dict[str, int]
) -> dict[str, Any]:
    return {
        "id": f"msg_{identity.number}",
        "type": "message",
        "role": "assistant",
        "model": identity.model,
        "content": content,
        **stop,
        "usage": usage,
    }


def _empty_block(section: Section) -> dict[str, Any]:
    if section.call is not None:
        return _tool_use(section.call, {})
    if section.kind == "thought":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _tool_use(call: ToolCall, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _signature(identity: Identity, index: int) -> str:
    """What a thought is signed with: opaque to callers, who send it back, and not read then."""
    return b64encode(f"tokenfall {identity.number} {index}".encode()).decode()


def _arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call as the object they must be; none where what the model said is no whole object."""
    try:
        read = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def whole(asked: Asked, answer: Answer) -> Iterator[bytes]:
    """The whole answer: its thoughts, its text, its calls."""
    shape: Shape = asked.input
    identity, choice = answer.identity, answer.choices[0]
    content: list[dict[str, Any]] = []
    if choice.thought:
        said = "" if shape.omit_thoughts else choice.thought
        content.append({"type": "thinking", "thinking": said, "signature": _signature(identity, 0)})
    if choice.text:
        content.append({"type": "text", "text": choice.text})
    content += [_tool_use(call, _arguments(call)) for call in choice.calls]
    usage = _usage(answer.finished.usage or Usage(identity.prompt_tokens, 0))
    return json_pieces(_message(identity, content, stop=_stop(choice.reason, answer.finished.stop), usage=usage))


def encoder(asked: Asked, identity: Identity) -> Encoder:
    """The encoder of one stream. It tells `identity.prompt_tokens` at once, and what `Finished` says at the end."""
    return MessageEncoder(asked, identity)


ANTHROPIC = Dialect(
    name="anthropic",
    stream_type=sse.CONTENT_TYPE,
    comment=PING,
    decode=decode,
    encoder=encoder,
    whole=whole,
    error=anthropic_errors.error,
    broken=anthropic_errors.broken,
)
