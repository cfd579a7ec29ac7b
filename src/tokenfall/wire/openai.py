"""The OpenAI dialect, as a client speaks it to an upstream: a request out, chunks in. Pure.

Source: the OpenAI API reference, "Create chat completion" and "The chat completion chunk object"; Groq's
`x_groq.usage` as its reference gives it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tokenfall.errors import UpstreamBroken, UpstreamMalformed, UpstreamStreamError
from tokenfall.events import CallPart, Delta, Event, Finished, FinishReason, Passed, Said, Thought, Usage
from tokenfall.messages import ChatRequest, Message, Tool
from tokenfall.wire.dialect import UNBOUNDED
from tokenfall.wire.sse_decoder import SSEDecoder

DONE = b"[DONE]"

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class _CalledFunction(Struct):
    name: str | None = None
    arguments: str | None = None


class _CallPart(Struct):
    index: int = 0
    id: str | None = None
    function: _CalledFunction = msgspec.field(default_factory=_CalledFunction)


class _Delta(Struct, gc=False):
    content: str | None = None


class _RichDelta(_Delta):
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_CallPart] | None = None


class _Choice(Struct, gc=False):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _RichChoice(Struct):
    delta: _RichDelta = msgspec.field(default_factory=_RichDelta)
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


class RichChunk(Struct):
    """A chunk with what it says besides text."""

    choices: list[_RichChoice] = []
    model: str = ""
    usage: _Usage | None = None
    x_groq: _Groq | None = None
    error: Any = None


class _Failed(Struct):
    error: Any = None


_decoder = msgspec.json.Decoder(Chunk)
_rich_decoder = msgspec.json.Decoder(RichChunk)
_failed = msgspec.json.Decoder(_Failed)


def encode_request(request: ChatRequest) -> bytes:
    """The body of a streaming chat completion that asks for usage too."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.max_tokens < UNBOUNDED:
        body["max_tokens"] = request.max_tokens
    optional = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": request.stop or None,
        "response_format": _response_format(request),
        "reasoning_effort": "medium" if request.reasoning else None,
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    if request.tools:
        body |= _tools(request)
    return msgspec.json.encode(body)


def _message(message: Message) -> Message | dict[str, Any]:
    if not (message.tool_calls or message.tool_call_id or message.images):
        return message
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        images = [{"type": "image_url", "image_url": {"url": url}} for url in message.images]
        told["content"] = [{"type": "text", "text": message.content}, *images] if message.content else images
    if message.tool_calls:
        told["content"] = message.content or None
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        told["tool_call_id"] = message.tool_call_id
    return told


def _response_format(request: ChatRequest) -> dict[str, Any] | None:
    if request.schema is not None:
        named = {"name": request.schema_name or "answer", "schema": msgspec.Raw(request.schema), "strict": True}
        return {"type": "json_schema", "json_schema": named}
    return {"type": "json_object"} if request.json_object else None


def _tools(request: ChatRequest) -> dict[str, Any]:
    choice: Any = request.tool_choice
    if choice not in ("auto", "none", "required"):
        choice = {"type": "function", "function": {"name": choice}}
    told: dict[str, Any] = {"tools": [{"type": "function", "function": _function(tool)} for tool in request.tools]}
    told["tool_choice"] = choice
    if not request.parallel_tool_calls:
        told["parallel_tool_calls"] = False
    return told


def _function(tool: Tool) -> dict[str, Any]:
    parameters = msgspec.Raw(tool.parameters or b'{"type":"object"}')
    return {"name": tool.name, "description": tool.description, "parameters": parameters}


C = TypeVar("C", Chunk, RichChunk)


def decode_chunk(data: bytes) -> Chunk:
    """One event's data. Raises `UpstreamMalformed` for what is no chunk, `UpstreamStreamError` for an error."""
    return _decoded(_decoder, data)


def _decoded(decoder: "msgspec.json.Decoder[C]", data: bytes) -> C:
    try:
        chunk = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamMalformed("the upstream sent an event that is no chunk of its format") from None
    if chunk.error is not None:
        raise stream_error(error_message(chunk.error))
    return chunk


def stream_error(message: str) -> UpstreamStreamError:
    """What a provider said, in place of an answer or in the midst of one; `message` may be empty."""
    return UpstreamStreamError(f"the upstream broke off: {message}" if message else "the upstream broke off")


class AnswerReader:
    """Bytes of a streaming answer to events. Only `[DONE]` is its genuine end."""

    __slots__ = ("_decoder", "_model", "_reason", "_usage", "broken")

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
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
                self._note(chunk)
        except UpstreamBroken as error:
            self.broken = error
        return events

    def _note(self, chunk: Chunk | RichChunk) -> None:
        self._model = chunk.model or self._model
        usage = chunk.usage or (chunk.x_groq and chunk.x_groq.usage)
        if usage:
            self._usage = Usage(usage.prompt_tokens, usage.completion_tokens)


class RichReader(AnswerReader):
    """Tells thoughts and tool calls too."""

    __slots__ = ()

    def feed(self, data: bytes) -> list[Said | Finished]:  # type: ignore[override] # it tells more
        events: list[Said | Finished] = []
        try:
            for payload in self._decoder.feed(data):
                if payload == DONE:
                    events.append(Finished(self._reason, self._model, self._usage))
                    break
                chunk = _decoded(_rich_decoder, payload)
                if chunk.choices:
                    choice = chunk.choices[0]
                    if choice.finish_reason is not None:
                        self._reason = finish_reason(choice.finish_reason)
                    events += _said(choice.delta)
                self._note(chunk)
        except UpstreamBroken as error:
            self.broken = error
        return events


def _said(delta: _RichDelta) -> list[Said]:
    said: list[Said] = []
    thought = delta.reasoning_content or delta.reasoning
    if thought:
        said.append(Thought(thought))
    if delta.content:
        said.append(Delta(delta.content))
    for part in delta.tool_calls or ():
        function = part.function
        said.append(CallPart(part.index, part.id or "", function.name or "", function.arguments or ""))
    return said


class PassingReader:
    """Events as they are, for who speaks the provider's own dialect. `ends` says which is the stream's genuine end.

    The end is told too, and then `Finished`; what follows it is dropped. An error that is no end breaks the stream: no
    `[DONE]` behind it makes an answer of it.
    """

    def __init__(self, ends: Callable[[bytes], bool]) -> None:
        self._decoder = SSEDecoder()
        self._ends = ends
        self.broken: UpstreamBroken | None = None

    def feed(self, data: bytes) -> list[Passed | Finished]:
        """The events that `data` ends."""
        events: list[Passed | Finished] = []
        try:
            for payload in self._decoder.feed(data):
                ends = self._ends(payload)
                if not ends:
                    _refuse_error(payload)
                events.append(Passed(payload.replace(b"\n", b" ")))  # in JSON a line ends only where a space may be
                if ends:
                    events.append(Finished("stop", ""))
                    break
        except UpstreamBroken as error:
            self.broken = error
        return events


def _refuse_error(data: bytes) -> None:
    """Raises `UpstreamStreamError` for an event that tells of an error; all else passes, whatever it is."""
    if b'"error"' not in data:
        return
    try:
        told = _failed.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if told.error is not None:
        raise stream_error(error_message(told.error))


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


def error_body_param(body: bytes) -> str | None:
    """The field at fault that the body of an error answer names, None where it names none."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    error = document.get("error") if isinstance(document, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return param[:100] if isinstance(param, str) else None


def error_message(error: object) -> str:
    """The text of an `error` member, which is an object or a string."""
    text = error.get("message") if isinstance(error, dict) else error
    return text[:300] if isinstance(text, str) else ""
