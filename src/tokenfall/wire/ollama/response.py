"""Encodes responses of `POST /api/chat` and `POST /api/generate`. Pure.

Source: Ollama's Go types (`api.ChatResponse`, `api.GenerateResponse`, `api.Metrics`), which also give the order of the
fields, and its API reference. A stream is NDJSON, one line per token; a tool call is one complete line. Metrics are
always present and durations, in nanoseconds, are never 0: clients divide by them. A finish reason of `content_filter`
becomes `stop`, as this dialect has no other.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tokenfall.events import Finished, FinishReason
from tokenfall.messages import ToolCall
from tokenfall.wire import ndjson
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import (
    ContentBlock,
    Count,
    Dialect,
    ModelResponse,
    ParsedRequest,
    RawSchema,
    ResponseMeta,
    ResponseTiming,
)
from tokenfall.wire.json_lines import one_line
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.ollama.messages import object_text
from tokenfall.wire.ollama.request import (
    OllamaChatBody,
    OllamaGenerateBody,
    OllamaOptions,
    decode_chat,
    decode_generate,
)
from tokenfall.wire.openai.logprobs import TokenLogprob, check_size, logprobs, logprobs_lazily
from tokenfall.wire.times import Timestamp, rfc3339

_encode = msgspec.json.encode


class _Form(Struct, frozen=True):
    """JSON templates of a route: the prefix of each kind of output, and the common suffix."""

    text: bytes
    thought: bytes
    calls: bytes
    close: bytes


_CHAT = _Form(
    b'"message":{"role":"assistant","content":',
    b'"message":{"role":"assistant","content":"","thinking":',
    b'"message":{"role":"assistant","content":"","tool_calls":',
    b"}",
)
_GENERATE = _Form(b'"response":', b'"response":"","thinking":', b'"response":"","tool_calls":', b"")


Nanoseconds = Annotated[int, Meta(ge=1)]
Context = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "array", "items": {"type": "integer"}})]
"""An array of integers, encoded."""


class OllamaFunction(Struct, frozen=True):
    """The function of a call."""

    index: Count
    name: str
    arguments: RawSchema
    """A JSON object."""


class OllamaCall(Struct, frozen=True):
    """A complete tool call."""

    id: str
    function: OllamaFunction


class OllamaMessage(Struct, frozen=True, kw_only=True):
    """The message of a response to `/api/chat`."""

    role: Literal["assistant"] = "assistant"
    content: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[OllamaCall] | UnsetType = UNSET


class OllamaChat(Struct, frozen=True, kw_only=True):
    """A response to `/api/chat`. Without metrics if the request only loaded or unloaded the model."""

    model: str
    created_at: Timestamp
    message: OllamaMessage
    done: Literal[True] = True
    done_reason: Literal["stop", "length", "load", "unload"]
    total_duration: Nanoseconds | UnsetType = UNSET
    load_duration: Nanoseconds | UnsetType = UNSET
    prompt_eval_count: Count | UnsetType = UNSET
    prompt_eval_duration: Nanoseconds | UnsetType = UNSET
    eval_count: Count | UnsetType = UNSET
    eval_duration: Nanoseconds | UnsetType = UNSET
    logprobs: list[TokenLogprob] | UnsetType = UNSET


class OllamaGenerated(Struct, frozen=True, kw_only=True):
    """A response to `/api/generate`. Without metrics if the request only loaded or unloaded the model."""

    model: str
    created_at: Timestamp
    response: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[OllamaCall] | UnsetType = UNSET
    done: Literal[True] = True
    done_reason: Literal["stop", "length", "load", "unload"]
    context: Context | UnsetType = UNSET
    """Only of relayed requests; see `tokenfall.wire.ollama.context`."""
    total_duration: Nanoseconds | UnsetType = UNSET
    load_duration: Nanoseconds | UnsetType = UNSET
    prompt_eval_count: Count | UnsetType = UNSET
    prompt_eval_duration: Nanoseconds | UnsetType = UNSET
    eval_count: Count | UnsetType = UNSET
    eval_duration: Nanoseconds | UnsetType = UNSET
    logprobs: list[TokenLogprob] | UnsetType = UNSET


class LineEncoder:
    """Implements `Encoder`. The tokens of a tool call are buffered until its block ends."""

    def __init__(self, parsed: ParsedRequest, meta: ResponseMeta) -> None:
        self._form = _form(parsed)
        self._options: OllamaOptions = parsed.input
        self._head = _head(meta)
        self._block = ContentBlock("text")
        self._arguments: list[str] = []

    def open(self, block: ContentBlock) -> bytes:
        line = self._close()
        self._block = block
        return line

    def frame_template(self) -> tuple[bytes, bytes] | None:
        return self.line_template()

    def line_template(self) -> tuple[bytes, bytes] | None:
        """As `frame_template`, and used by `token`."""
        if self._block.kind == "call" or (self._options.logprobs and self._block.kind == "text"):
            return None
        before = self._form.text if self._block.kind == "text" else self._form.thought
        return self._head + before, self._form.close + _MORE

    def token(self, text: str) -> bytes:
        if self._block.kind == "call":
            self._arguments.append(text)
            return b""
        template = self.line_template()
        if template is None:
            content = _encode(logprobs((text,), self._options.top_logprobs).content)
            return self.token_with_logprobs(text, content[1:-1])
        return template[0] + one_line(_encode(text)) + template[1]

    def token_with_logprobs(self, text: str, logprobs: bytes) -> bytes:
        """The line of text that has log probabilities of the upstream."""
        line = self._head + self._form.text + one_line(_encode(text)) + self._form.close
        return line + b',"logprobs":[%b]' % one_line(logprobs) + _MORE

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        return self.open(ContentBlock("text", choice))

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        metrics = _encode(self.metrics(finished, timing))
        return self._head + self._form.text + b'""' + self._form.close + b',"done":true,' + metrics[1:] + b"\n"

    def metrics(self, finished: Finished, timing: ResponseTiming) -> dict[str, Any]:
        """The members that only the last line has."""
        return _metrics(finished, timing)

    def _close(self) -> bytes:
        """The line of the open call, if there is one; incomplete arguments are sent as text, as Ollama does."""
        call = self._block.call
        if call is None:
            return b""
        arguments = "".join(self._arguments)
        self._arguments.clear()
        document = call_document(ToolCall(call.id, call.name, arguments), self._block.index)
        before, value = (self._form.text, arguments) if document is None else (self._form.calls, [document])
        return self._head + before + one_line(_encode(value)) + self._form.close + _MORE


_MORE = b',"done":false}\n'


def _form(parsed: ParsedRequest) -> _Form:
    options: OllamaOptions = parsed.input
    return _GENERATE if options.generate else _CHAT


def _head(meta: ResponseMeta) -> bytes:
    """The beginning of every line."""
    return one_line(_encode(_named(meta)))[:-1] + b","


def _named(meta: ResponseMeta) -> dict[str, Any]:
    return {"model": meta.model, "created_at": rfc3339(meta.created_s)}


def call_document(call: ToolCall, index: int) -> OllamaCall | None:
    """A complete tool call; None if its arguments are not a JSON object. Empty arguments are an empty object."""
    arguments = object_text(call.arguments.encode() or b"{}")
    if arguments is None:
        return None
    return OllamaCall(call.id, OllamaFunction(index, call.name, msgspec.Raw(arguments.encode())))


def nanoseconds(seconds: float) -> int:
    """A duration in nanoseconds, at least 1."""
    return max(1, round(seconds * 1e9))


def _metrics(finished: Finished, timing: ResponseTiming) -> dict[str, Any]:
    """The members that only the last line has: reason, durations and token counts."""
    usage = finished.usage
    return {
        "done_reason": "length" if finished.reason == "length" else "stop",
        "total_duration": nanoseconds(timing.total_s),
        "load_duration": nanoseconds(0.0),
        "prompt_eval_count": 0 if usage is None else usage.prompt_tokens,
        "prompt_eval_duration": nanoseconds(timing.first_token_s),
        "eval_count": 0 if usage is None else usage.completion_tokens,
        "eval_duration": nanoseconds(timing.total_s - timing.first_token_s),
    }


def encode_response(parsed: ParsedRequest, response: ModelResponse) -> Iterator[bytes]:
    """Encode a complete response."""
    return json_pieces(response_document(parsed, response))


def response_document(parsed: ParsedRequest, response: ModelResponse) -> OllamaChat | OllamaGenerated:
    """A complete response; this dialect has one choice."""
    choice = response.choices[0]
    text = choice.text
    calls = []
    for index, call in enumerate(choice.calls):
        call_member = call_document(call, index)
        if call_member is None:
            text += call.arguments
        else:
            calls.append(call_member)
    end = _metrics(response.finished, response.timing)
    options: OllamaOptions = parsed.input
    if options.logprobs:
        check_size(len(choice.tokens), options.top_logprobs)
        end["logprobs"] = logprobs_lazily(choice.tokens, options.top_logprobs).content
    elif choice.logprobs:
        end["logprobs"] = msgspec.Raw(b"[%b]" % choice.logprobs)
    return _document(options, response.meta, text=text, thought=choice.thought, calls=calls, end=end)


def for_upstream(parsed: ParsedRequest) -> ParsedRequest:
    """Request log probabilities of the upstream; none are invented if it sends none."""
    options: OllamaOptions = parsed.input
    if not options.logprobs:
        return parsed
    request = msgspec.structs.replace(parsed.request, logprobs=options.top_logprobs)
    return msgspec.structs.replace(parsed, request=request, input=msgspec.structs.replace(options, logprobs=False))


def load_response(parsed: ParsedRequest, meta: ResponseMeta) -> bytes:
    """The response to a request that only loads or unloads the model: one `application/json` document."""
    options: OllamaOptions = parsed.input
    reason = "unload" if options.unload else "load"
    return _encode(_document(options, meta, end={"done_reason": reason}))


def _document(
    options: OllamaOptions,
    meta: ResponseMeta,
    *,
    text: str = "",
    thought: str = "",
    calls: Sequence[OllamaCall] = (),
    end: dict[str, Any],
) -> OllamaChat | OllamaGenerated:
    """The response of either route. `end` has the members after the output."""
    output: dict[str, Any] = {"thinking": thought or UNSET, "tool_calls": calls or UNSET}
    if options.generate:
        return OllamaGenerated(**_named(meta), response=text, **output, **end)
    return OllamaChat(**_named(meta), message=OllamaMessage(content=text, **output), **end)


def error(api_error: ApiError) -> bytes:
    """An error response body."""
    return _encode({"error": api_error.message})


def error_frame(api_error: ApiError, _frames: int = 0) -> bytes:
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
    for_upstream=for_upstream,
)
OLLAMA_GENERATE = msgspec.structs.replace(
    OLLAMA_CHAT, name="ollama.generate", body=OllamaGenerateBody, response=OllamaGenerated, decode=decode_generate
)
