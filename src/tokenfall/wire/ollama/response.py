"""`POST /api/chat` and `POST /api/generate`, as Ollama answers them. Pure.

Source: Ollama's Go types (`api.ChatResponse`, `api.GenerateResponse`, `api.Metrics`), which also give the order of the
fields, and its API reference. A stream is NDJSON, a line a token; a tool call is one line, told whole. Metrics are
never left out and durations, in nanoseconds, never 0: clients divide by them. An answer that the provider's filter
ended has stopped, as this dialect has no other word for it.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from tokenfall.events import Finished, FinishReason
from tokenfall.messages import ToolCall
from tokenfall.wire import ndjson
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import Answer, ContentBlock, Dialect, Encoder, ParsedRequest, ResponseMeta, Timing
from tokenfall.wire.json_lines import one_line
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.ollama.messages import object_text
from tokenfall.wire.ollama.request import Shape, decode_chat, decode_generate
from tokenfall.wire.openai.logprobs import check_size, logprobs, logprobs_lazily
from tokenfall.wire.times import rfc3339

_encode = msgspec.json.encode


class _Form(Struct, frozen=True):
    """Where a route puts what is said: what stands before each kind, and after all."""

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


class LineEncoder:
    """Implements `Encoder`. The tokens of a call are kept until its section ends."""

    def __init__(self, asked: ParsedRequest, meta: ResponseMeta) -> None:
        self._form = _form(asked)
        self._shape: Shape = asked.input
        self._head = _head(meta)
        self._block = ContentBlock("text")
        self._arguments: list[str] = []

    def open(self, block: ContentBlock) -> bytes:
        line = self._close()
        self._block = block
        return line

    def frame_template(self) -> tuple[bytes, bytes] | None:
        if self._block.kind == "call" or (self._shape.logprobs and self._block.kind == "text"):
            return None
        before = self._form.text if self._block.kind == "text" else self._form.thought
        return self._head + before, self._form.close + _MORE

    def token(self, text: str) -> bytes:
        if self._block.kind == "call":
            self._arguments.append(text)
            return b""
        frame_template = self.frame_template()
        if frame_template is None:
            told = _encode(logprobs((text,), self._shape.top_logprobs)["content"])
            line = self._head + self._form.text + one_line(_encode(text)) + self._form.close
            return line + b',"logprobs":%b' % one_line(told) + _MORE
        return frame_template[0] + one_line(_encode(text)) + frame_template[1]

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        return self.open(ContentBlock("text", choice))

    def end(self, finished: Finished, timing: Timing) -> bytes:
        metrics = _encode(_metrics(finished, timing))
        return self._head + self._form.text + b'""' + self._form.close + b',"done":true,' + metrics[1:] + b"\n"

    def _close(self) -> bytes:
        """The line of the call that was open, if one was; one that broke off is told as text, as Ollama does."""
        call = self._block.call
        if call is None:
            return b""
        arguments = "".join(self._arguments)
        self._arguments.clear()
        told = call_document(ToolCall(call.id, call.name, arguments), self._block.index)
        before, said = (self._form.text, arguments) if told is None else (self._form.calls, [told])
        return self._head + before + one_line(_encode(said)) + self._form.close + _MORE


_MORE = b',"done":false}\n'


def _form(asked: ParsedRequest) -> _Form:
    shape: Shape = asked.input
    return _GENERATE if shape.generate else _CHAT


def _head(meta: ResponseMeta) -> bytes:
    """The beginning of each line."""
    return one_line(_encode(_named(meta)))[:-1] + b","


def _named(meta: ResponseMeta) -> dict[str, Any]:
    return {"model": meta.model, "created_at": rfc3339(meta.created_s)}


def call_document(call: ToolCall, index: int) -> dict[str, Any] | None:
    """A whole tool call; None where its arguments are no JSON object. No arguments at all are an empty one."""
    arguments = object_text(call.arguments.encode() or b"{}")
    if arguments is None:
        return None
    function = {"index": index, "name": call.name, "arguments": msgspec.Raw(arguments.encode())}
    return {"id": call.id, "function": function}


def nanoseconds(seconds: float) -> int:
    """A duration as this dialect tells it: at least 1."""
    return max(1, round(seconds * 1e9))


def _metrics(finished: Finished, timing: Timing) -> dict[str, Any]:
    """What the last line adds: why the answer ended, how long it took and what it cost."""
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


def whole(asked: ParsedRequest, answer: Answer) -> Iterator[bytes]:
    """The whole answer: this dialect knows one choice."""
    choice = answer.choices[0]
    text = choice.text
    calls = []
    for index, call in enumerate(choice.calls):
        told = call_document(call, index)
        if told is None:
            text += call.arguments
        else:
            calls.append(told)
    said: dict[str, Any] = {"thinking": choice.thought} if choice.thought else {}
    if calls:
        said["tool_calls"] = calls
    document = _named(answer.meta) | _said(asked, text, **said)
    document |= {"done": True} | _metrics(answer.finished, answer.timing)
    shape: Shape = asked.input
    if shape.logprobs:
        check_size(len(choice.tokens), shape.top_logprobs)
        document["logprobs"] = logprobs_lazily(choice.tokens, shape.top_logprobs)["content"]
    return json_pieces(document)


def for_upstream(asked: ParsedRequest) -> ParsedRequest:
    """A request that an upstream answers: it is not asked for log probabilities, and none are made up."""
    return msgspec.structs.replace(asked, input=msgspec.structs.replace(asked.input, logprobs=False))


def loaded(asked: ParsedRequest, meta: ResponseMeta) -> bytes:
    """The answer to a request that only loads the model (`Shape.load`): one document, of type `application/json`."""
    shape: Shape = asked.input
    reason = "unload" if shape.unload else "load"
    return _encode(_named(meta) | _said(asked, "") | {"done": True, "done_reason": reason})


def _said(asked: ParsedRequest, text: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - what JSON can hold
    shape: Shape = asked.input
    if shape.generate:
        return {"response": text, **more}
    return {"message": {"role": "assistant", "content": text, **more}}


def error(api_error: ApiError) -> bytes:
    """The body of an answer that is none."""
    return _encode({"error": api_error.message})


def error_frame(api_error: ApiError, _frames: int = 0) -> bytes:
    """The last line of a stream that breaks: none with `done` follows."""
    return ndjson.frame(one_line(error(api_error)))


def encoder(asked: ParsedRequest, meta: ResponseMeta) -> Encoder:
    """The encoder of one stream."""
    return LineEncoder(asked, meta)


OLLAMA_CHAT = Dialect(
    name="ollama.chat",
    stream_type=ndjson.CONTENT_TYPE,
    keepalive=b"",
    decode=decode_chat,
    encoder=encoder,
    whole=whole,
    error=error,
    error_frame=error_frame,
    for_upstream=for_upstream,
)
OLLAMA_GENERATE = msgspec.structs.replace(OLLAMA_CHAT, name="ollama.generate", decode=decode_generate)
