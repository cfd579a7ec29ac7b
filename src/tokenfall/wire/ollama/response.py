"""The dialects of `POST /api/chat` and `POST /api/generate`, and their errors. Pure."""

from collections.abc import Iterator

import msgspec

from tokenfall.wire import ndjson
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import Dialect, ModelResponse, ParsedRequest
from tokenfall.wire.json_lines import one_line
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.ollama.document import OllamaChat, OllamaGenerated, load_response, response_document
from tokenfall.wire.ollama.request import (
    OllamaChatBody,
    OllamaGenerateBody,
    OllamaOptions,
    decode_chat,
    decode_generate,
)
from tokenfall.wire.ollama.stream import LineEncoder


def encode_response(parsed: ParsedRequest, response: ModelResponse) -> Iterator[bytes]:
    """Encode a complete response."""
    return json_pieces(response_document(parsed, response))


def for_upstream(parsed: ParsedRequest) -> ParsedRequest:
    """Request log probabilities of the upstream; none are invented if it sends none."""
    options: OllamaOptions = parsed.options
    if not options.logprobs:
        return parsed
    request = msgspec.structs.replace(parsed.request, logprobs=options.top_logprobs)
    return msgspec.structs.replace(parsed, request=request, options=msgspec.structs.replace(options, logprobs=False))


def error(api_error: ApiError) -> bytes:
    """An error response body."""
    return msgspec.json.encode({"error": api_error.message})


def error_frame(api_error: ApiError, _frames: int) -> bytes:
    """The last line of a stream that fails: no line with `done` follows."""
    return ndjson.frame(one_line(error(api_error)))


OLLAMA_CHAT = Dialect(
    name="ollama.chat",
    body=OllamaChatBody,
    response=OllamaChat,
    stream_type=ndjson.CONTENT_TYPE,
    keepalive=b"",
    decode=decode_chat,
    encoder=LineEncoder,
    encode_response=encode_response,
    error=error,
    error_frame=error_frame,
    immediate_response=load_response,
    for_upstream=for_upstream,
)
OLLAMA_GENERATE = msgspec.structs.replace(
    OLLAMA_CHAT, name="ollama.generate", body=OllamaGenerateBody, response=OllamaGenerated, decode=decode_generate
)
