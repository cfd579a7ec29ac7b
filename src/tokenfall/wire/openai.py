"""The OpenAI dialect, as a client speaks it to an upstream: a request out, chunks in. Pure.

Source: the OpenAI API reference, "Create chat completion" and "The chat completion chunk object"; Groq's
`x_groq.usage` as its reference gives it.
"""

from typing import Any

import msgspec
from msgspec import Struct

from tokenfall.errors import UpstreamBroken
from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ChatRequest

DONE = b"[DONE]"

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class _Delta(Struct, gc=False):
    content: str | None = None


class _Choice(Struct, gc=False):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Groq(Struct):
    usage: _Usage | None = None


class Chunk(Struct):
    """What Tokenfall reads of a chunk; everything else in it is skipped while decoding."""

    choices: list[_Choice] = []
    model: str = ""
    usage: _Usage | None = None
    x_groq: _Groq | None = None
    error: Any = None

    @property
    def counted(self) -> Usage | None:
        """The usage, if this chunk has it."""
        usage = self.usage or (self.x_groq.usage if self.x_groq else None)
        return None if usage is None else Usage(usage.prompt_tokens, usage.completion_tokens)


_decoder = msgspec.json.Decoder(Chunk)


def encode_request(request: ChatRequest) -> bytes:
    """The body of a streaming chat completion that asks for usage too."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": request.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    return msgspec.json.encode(body)


def decode_chunk(data: bytes) -> Chunk:
    """One event's data. Raises `UpstreamBroken` when it is no chunk or an error inside the stream."""
    try:
        chunk = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("the upstream sent an event that is no chunk of its format") from None
    if chunk.error is not None:
        raise UpstreamBroken(f"the upstream broke off: {error_message(chunk.error)}")
    return chunk


def finish_reason(text: str) -> FinishReason:
    """A provider's reason in our words; one that we do not know counts as an ordinary stop."""
    return _REASONS.get(text, "stop")


def error_body_message(body: bytes) -> str:
    """The message in the body of an error answer, "" where there is none; at most 300 characters."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return error_message(document.get("error", document)) if isinstance(document, dict) else ""


def error_message(error: object) -> str:
    """The text of an `error` member, which is an object or a string."""
    text = error.get("message") if isinstance(error, dict) else error
    return text[:300] if isinstance(text, str) else "no message"
