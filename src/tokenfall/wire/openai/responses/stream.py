"""Encodes the events of a streamed response. Pure.

Source: the OpenAI API reference, "Responses: streaming events". A frame is `event:` and `data:`, numbered from 0 within
its stream; there is no `[DONE]`. As frames are numbered, there is no constant frame template.
"""

from typing import Any

import msgspec

from tokenfall.events import Finished, FinishReason
from tokenfall.wire import sse
from tokenfall.wire.dialect import ContentBlock, Encoder, ParsedRequest, ResponseMeta, ResponseTiming
from tokenfall.wire.openai.logprobs import logprobs
from tokenfall.wire.openai.responses.document import (
    OutputItem,
    OutputText,
    Status,
    SummaryText,
    item_document,
    response_document,
    status_of,
)
from tokenfall.wire.openai.responses.item_ids import item_id
from tokenfall.wire.openai.responses.options import ResponsesOptions

_DELTAS = {
    "text": "response.output_text.delta",
    "thought": "response.reasoning_summary_text.delta",
    "call": "response.function_call_arguments.delta",
    "custom": "response.custom_tool_call_input.delta",
}
_TEXT_SUFFIX = b',"logprobs":[]}\n\n'
_encode = msgspec.json.encode


class ResponsesEncoder:
    """Implements `Encoder`. A block is an output item; its text is buffered for the `done` events that repeat it."""

    def __init__(self, parsed: ParsedRequest, meta: ResponseMeta) -> None:
        self._options: ResponsesOptions = parsed.options
        self._meta = meta
        self.events = 0
        """Number of events written, and the sequence number of the next one."""
        self._items: list[OutputItem] = []
        self._item: OutputItem | None = None
        self._texts: list[str] = []
        self._delta_parts = (b"", b"", b"")
        self._reason: FinishReason = "stop"

    def open(self, block: ContentBlock) -> bytes:
        frames = self._begin() if self._item is None else self._close(self._item, "completed")
        index = len(self._items)
        name = item_id(block.kind, self._meta.number, index=index, call=block.call)
        encrypted = self._options.encrypted and block.kind == "thought"
        item = self._item = OutputItem(kind=block.kind, id=name, text="", call=block.call, encrypted=encrypted)
        self._texts = []
        self._delta_parts = _delta_parts(item, index)
        added = {"output_index": index, "item": item_document(item, "in_progress")}
        frames += self._event("response.output_item.added", added)
        if item.kind == "text":
            frames += self._event("response.content_part.added", {**_place(item, index), "part": OutputText(text="")})
        elif item.kind == "thought":
            part = {**_place(item, index), "part": SummaryText(text="")}
            frames += self._event("response.reasoning_summary_part.added", part)
        return frames

    def frame_template(self) -> tuple[bytes, bytes] | None:
        return None

    def token(self, text: str) -> bytes:
        self._texts.append(text)
        prefix, infix, suffix = self._delta_parts
        number = self.events
        self.events = number + 1
        if self._options.logprobs and suffix == _TEXT_SUFFIX:
            content = logprobs((text,), self._options.top_logprobs).content
            suffix = b',"logprobs":%b}\n\n' % _encode(content)
        return b"%b%d%b%b%b" % (prefix, number, infix, _encode(text), suffix)

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        first = self.open(ContentBlock("text")) if self._item is None else b""
        self._reason = reason
        return first + (b"" if self._item is None else self._close(self._item, status_of(reason)))

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        response = response_document(
            self._options,
            self._meta,
            items=self._items,
            reason=self._reason,
            usage=finished.usage,
            total_s=timing.total_s,
        )
        return self._event(f"response.{response.status}", {"response": response})

    def _begin(self) -> bytes:
        response = response_document(self._options, self._meta, items=[])
        kinds = ("response.created", "response.in_progress")
        return b"".join(self._event(kind, {"response": response}) for kind in kinds)

    def _close(self, open_item: OutputItem, status: Status) -> bytes:
        """The events that end the open item."""
        text, index = "".join(self._texts), len(self._items)
        item = msgspec.structs.replace(open_item, text=text)
        self._items.append(item)
        place = _place(item, index)
        if item.kind == "text":
            frames = self._event("response.output_text.done", {**place, "text": text, "logprobs": []})
            frames += self._event("response.content_part.done", {**place, "part": OutputText(text=text)})
        elif item.kind == "thought":
            frames = self._event("response.reasoning_summary_text.done", {**place, "text": text})
            frames += self._event("response.reasoning_summary_part.done", {**place, "part": SummaryText(text=text)})
        else:
            frames = self._event(*_call_done(item, place))
        done = {"output_index": index, "item": item_document(item, status)}
        return frames + self._event("response.output_item.done", done)

    def _event(self, kind: str, members: dict[str, Any]) -> bytes:
        number = self.events
        self.events = number + 1
        return sse.frame(_encode({"type": kind, "sequence_number": number, **members}), kind)


def event_number(frame: bytes) -> int:
    """The sequence number of the first event in a frame of an encoder; 0 for b""."""
    _, _, after = frame.partition(b'"sequence_number":')
    return int(after.partition(b",")[0] or 0)


def event_count(encoder: Encoder) -> int:
    """How many events a stream's encoder has written."""
    return encoder.events if isinstance(encoder, ResponsesEncoder) else 0


def _call_done(item: OutputItem, place: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The type and members of the event that repeats a call's arguments."""
    if item.call is not None and item.call.custom:
        return "response.custom_tool_call_input.done", {**place, "input": item.text}
    name = {} if item.call is None else {"name": item.call.name}
    return "response.function_call_arguments.done", {**place, **name, "arguments": item.text}


def _place(item: OutputItem, index: int) -> dict[str, Any]:
    """The members that locate an event's content in the response."""
    within = {"text": {"content_index": 0}, "thought": {"summary_index": 0}}.get(item.kind, {})
    return {"item_id": item.id, "output_index": index, **within}


def _delta_parts(item: OutputItem, index: int) -> tuple[bytes, bytes, bytes]:
    """Parts of a delta frame: before the sequence number, between it and the token, after the token."""
    custom = item.call is not None and item.call.custom
    kind = _DELTAS["custom" if custom else item.kind].encode()
    prefix = b'event: %b\ndata: {"type":"%b","sequence_number":' % (kind, kind)
    infix = b',%b,"delta":' % _encode(_place(item, index))[1:-1]
    return prefix, infix, _TEXT_SUFFIX if item.kind == "text" else b"}\n\n"
