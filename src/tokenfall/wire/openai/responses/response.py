"""`POST /v1/responses`, as a server answers it. Pure.

Source: the OpenAI API reference, "Create a model response".
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from tokenfall.messages import ToolCall
from tokenfall.wire import sse
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import Answer, Dialect, Encoder, ParsedRequest, ResponseMeta
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.openai import errors as openai_errors
from tokenfall.wire.openai.responses.document import Item, item_id, response_document
from tokenfall.wire.openai.responses.request import decode
from tokenfall.wire.openai.responses.stream import EventEncoder, numbered

_encode = msgspec.json.encode


def whole(asked: ParsedRequest, answer: Answer) -> Iterator[bytes]:
    """The whole answer: thoughts, text and calls, in this order."""
    choice, meta = answer.choices[0], answer.meta
    said: list[tuple[Literal["text", "thought", "call"], str, ToolCall | None]] = []
    if choice.thought:
        said.append(("thought", choice.thought, None))
    if choice.text or not (said or choice.calls):
        said.append(("text", choice.text, None))
    said += [("call", call.arguments, call) for call in choice.calls]
    items = [
        Item(
            kind=kind,
            id=item_id(kind, meta.number, index=index, call=call),
            text=text,
            call=call,
            encrypted=asked.input.encrypted,
        )
        for index, (kind, text, call) in enumerate(said)
    ]
    usage, total_s = answer.finished.usage, answer.timing.total_s
    return json_pieces(
        response_document(asked.input, meta, items=items, reason=choice.reason, usage=usage, total_s=total_s)
    )


def error(api_error: ApiError) -> bytes:
    """The body of an answer that is none."""
    return openai_errors.error(_named(api_error))


def error_frame(api_error: ApiError, frames: int = 0) -> bytes:
    """The last frame of a stream that breaks.

    The reference has the error's members in the event itself; api.openai.com sends them within `error`, and there the
    SDKs look: both are told. Its number is the one after those of the `frames` before it.
    """
    envelope = msgspec.json.decode(error(api_error))
    told = {"code": envelope["error"]["code"], "message": api_error.message, "param": api_error.param}
    return sse.frame(_encode({"type": "error", "sequence_number": frames, **told, **envelope}), "error")


def _named(api_error: ApiError) -> ApiError:
    """With the code that OpenAI has for a response that is not kept."""
    if api_error.param != "previous_response_id":
        return api_error
    return api_error.replaced(code="previous_response_not_found")


def encoder(asked: ParsedRequest, meta: ResponseMeta) -> Encoder:
    """The encoder of one stream."""
    return EventEncoder(asked, meta)


OPENAI_RESPONSES = Dialect(
    name="openai.responses",
    stream_type=sse.CONTENT_TYPE,
    keepalive=sse.PING,
    decode=decode,
    encoder=encoder,
    whole=whole,
    error=error,
    error_frame=error_frame,
    frame_count=numbered,
)
