"""Encodes responses of `POST /v1/responses`. Pure.

Source: the OpenAI API reference, "Create a model response".
"""

from collections.abc import Iterator, Sequence

import msgspec

from tokenfall.messages import ToolCall
from tokenfall.wire import rate_limit_headers, sse
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import BlockKind, Dialect, ModelResponse, ParsedRequest
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.openai import errors as openai_errors
from tokenfall.wire.openai.logprobs import TokenLogprob, check_size, logprobs_lazily
from tokenfall.wire.openai.responses.body import ResponsesBody
from tokenfall.wire.openai.responses.document import OutputItem, ResponsesResponse, response_document
from tokenfall.wire.openai.responses.item_ids import item_id
from tokenfall.wire.openai.responses.options import ResponsesOptions
from tokenfall.wire.openai.responses.request import decode
from tokenfall.wire.openai.responses.stream import ResponsesEncoder, event_count, event_number

_encode = msgspec.json.encode


def encode_response(parsed: ParsedRequest, response: ModelResponse) -> Iterator[bytes]:
    """Encode a complete response: reasoning, text and calls, in this order."""
    choice, meta = response.choices[0], response.meta
    blocks: list[tuple[BlockKind, str, ToolCall | None]] = []
    if choice.thought:
        blocks.append(("thought", choice.thought, None))
    if choice.text or not (blocks or choice.calls):
        blocks.append(("text", choice.text, None))
    blocks += [("call", call.arguments, call) for call in choice.calls]
    items = [
        OutputItem(
            kind=kind,
            id=item_id(kind, meta.number, index=index, call=call),
            text=text,
            call=call,
            encrypted=parsed.options.encrypted,
            logprobs=_logprobs(parsed.options, choice.tokens) if kind == "text" else (),
        )
        for index, (kind, text, call) in enumerate(blocks)
    ]
    usage, total_s = response.finished.usage, response.timing.total_s
    return json_pieces(
        response_document(parsed.options, meta, items=items, reason=choice.reason, usage=usage, total_s=total_s)
    )


def _logprobs(options: ResponsesOptions, tokens: Sequence[str]) -> Sequence[TokenLogprob]:
    """The log probabilities of a text, if requested."""
    if not options.logprobs:
        return ()
    check_size(len(tokens), options.top_logprobs)
    return logprobs_lazily(tokens, options.top_logprobs).content


def error(api_error: ApiError) -> bytes:
    """An error response body. An unknown previous response has its own code."""
    if api_error.param == "previous_response_id":
        api_error = api_error.replaced(code="previous_response_not_found")
    return openai_errors.error(api_error)


def error_frame(api_error: ApiError, frames: int) -> bytes:
    """The last frame of a stream that fails.

    The reference puts the error's members into the event itself; api.openai.com sends them in `error`, and the SDKs
    read them there: the frame has both. `frames`, the number of frames before it, is its sequence number.
    """
    envelope = msgspec.json.decode(error(api_error))
    members = {"code": envelope["error"]["code"], "message": api_error.message, "param": api_error.param}
    return sse.frame(_encode({"type": "error", "sequence_number": frames, **members, **envelope}), "error")


OPENAI_RESPONSES = Dialect(
    name="openai.responses",
    body=ResponsesBody,
    response=ResponsesResponse,
    decode=decode,
    encoder=ResponsesEncoder,
    encode_response=encode_response,
    error=error,
    error_frame=error_frame,
    limits=rate_limit_headers.openai,
    frame_count=event_count,
    frame_number=event_number,
)
