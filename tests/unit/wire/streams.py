"""Shared by the tests of the dialects: encodes responses as the simulator and the relay do."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire.api_error import ApiError
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
from tokenfall.wire.json_lines import one_line
from tokenfall.wire.sse_decoder import SSEDecoder

IDENTITY = ResponseMeta("0123456789abcdef01234567", 1_700_000_000.5, "sim")
TEXT = ContentBlock("text")
THOUGHT = ContentBlock("thought")
FIRST_CALL = ContentBlock("call", call=ToolCall("call_1", "look", ""), index=0)
SECOND_CALL = ContentBlock("call", call=ToolCall("call_2", "buy", ""), index=1)
BROKEN = ApiError(status=502, code="upstream_reset", message="it broke")
USAGE = Usage(3, 5)
TIMING = ResponseTiming(total_s=1.5, first_token_s=0.5)

Script = Sequence[tuple[ContentBlock, Sequence[str]]]


def parsed_request(dialect: Dialect, **fields: Any) -> ParsedRequest:
    return dialect.decode(json.dumps({"model": "sim", **fields}).encode())


def frames(
    dialect: Dialect,
    request: ParsedRequest,
    script: Script,
    *,
    reason: FinishReason = "stop",
    usage: Usage | None = USAGE,
) -> list[bytes]:
    """The stream of a response, split after each event."""
    return cut(stream(dialect, request, script, finished=Finished(reason, "sim", usage)))


def stream(
    dialect: Dialect, request: ParsedRequest, script: Script, *, finished: Finished, meta: ResponseMeta = IDENTITY
) -> bytes:
    encoder = dialect.encoder(request, meta)
    encoded = b""
    for choice in range(request.request.n):
        for block, tokens in script:
            if block.choice == choice:
                encoded += encode_block(encoder, block, tokens)
        encoded += encoder.finish(choice, finished.reason)
    return encoded + encoder.end(finished, TIMING)


def encode_block(encoder: Encoder, block: ContentBlock, tokens: Sequence[str]) -> bytes:
    encoded = encoder.open(block)
    for token in tokens:
        template = encoder.frame_template()
        encoded += encoder.token(token) if template is None else one_line(msgspec.json.encode(token)).join(template)
    return encoded


def complete_body(
    dialect: Dialect,
    request: ParsedRequest,
    *choices: ResponseChoice,
    finished: Finished | None = None,
    meta: ResponseMeta = IDENTITY,
) -> bytes:
    finished = finished or Finished(choices[0].reason, "sim", USAGE)
    response = ModelResponse(meta=meta, choices=choices, finished=finished, timing=TIMING)
    return b"".join(dialect.encode_response(request, response))


def complete(
    dialect: Dialect, request: ParsedRequest, *choices: ResponseChoice, usage: Usage | None = USAGE
) -> dict[str, Any]:
    finished = Finished(choices[0].reason, "sim", usage)
    document: dict[str, Any] = json.loads(complete_body(dialect, request, *choices, finished=finished))
    return document


def cut(stream: bytes) -> list[bytes]:
    """`stream`, split after each blank line."""
    assert stream.endswith(b"\n\n")
    return [each + b"\n\n" for each in stream[:-2].split(b"\n\n")]


def documents(stream: Sequence[bytes]) -> list[dict[str, Any]]:
    """The data of the events, without `[DONE]`."""
    data = [event.data for event in SSEDecoder().feed(b"".join(stream))]
    return [json.loads(each) for each in data if each != b"[DONE]"]


def model_response(*choices: ResponseChoice, usage: Usage | None = USAGE) -> ModelResponse:
    return ModelResponse(
        meta=IDENTITY, choices=choices, finished=Finished(choices[0].reason, "sim", usage), timing=TIMING
    )
