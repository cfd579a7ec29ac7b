"""Shared by the tests of the OpenAI dialects: encodes a stream as the simulator does."""

import json
from collections.abc import Sequence
from typing import Any

from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import (
    ContentBlock,
    Dialect,
    ModelResponse,
    ParsedRequest,
    ResponseChoice,
    ResponseMeta,
    ResponseTiming,
)
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
    encoder = dialect.encoder(request, IDENTITY)
    stream = b""
    for choice in range(request.request.n):
        for block, tokens in script:
            if block.choice == choice:
                stream += encoder.open(block)
                for token in tokens:
                    frame_template = encoder.frame_template()
                    frame = encoder.token(token)
                    assert frame_template is None or frame == frame_template[0] + json_string(token) + frame_template[1]
                    stream += frame
        stream += encoder.finish(choice, reason)
    return cut(stream + encoder.end(Finished(reason, "sim", usage), TIMING))


def json_string(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


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
