"""The OpenAI dialect, as a client speaks it to an upstream: a request out, chunks in. Pure.

Source: the OpenAI API reference, "Create chat completion" and "The chat completion chunk object"; Groq's
`x_groq.usage` as its reference gives it.
"""

from typing import Any

import msgspec
from msgspec import Struct

from tokenfall.errors import UpstreamBroken
from tokenfall.events import Delta, Event, Finished, FinishReason, Usage
from tokenfall.messages import ChatRequest
from tokenfall.wire import sse

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


class AnswerReader:
    """Bytes of a streaming answer to events. Only `[DONE]` is its genuine end."""

    __slots__ = ("_decoder", "_model", "_reason", "_usage", "broken")

    def __init__(self) -> None:
        self._decoder = sse.SSEDecoder()
        self._model = ""
        self._reason: FinishReason = "stop"
        self._usage: Usage | None = None
        self.broken: UpstreamBroken | None = None
        """Why nothing more can be read, if so."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` ends. What was said before a break is handed on: look at `broken` afterwards."""
        events: list[Event] = []
        try:
            for payload in self._decoder.feed(data):
                if payload == DONE:
                    events.append(Finished(self._reason, self._model, self._usage))
                    break
                chunk = decode_chunk(payload)
                if chunk.choices:
                    choice = chunk.choices[0]
                    if choice.finish_reason is not None:
                        self._reason = finish_reason(choice.finish_reason)
                    if choice.delta.content:
                        events.append(Delta(choice.delta.content))
                self._model = chunk.model or self._model
                usage = chunk.usage or (chunk.x_groq and chunk.x_groq.usage)
                if usage:
                    self._usage = Usage(usage.prompt_tokens, usage.completion_tokens)
        except UpstreamBroken as error:
            self.broken = error
        return events


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
    return text[:300] if isinstance(text, str) else ""
