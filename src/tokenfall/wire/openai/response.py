"""Encodes responses of `POST /v1/chat/completions`, also for Groq's clients (under `/openai`). Pure.

Source: the OpenAI API reference, "The chat completion object" and "The chat completion chunk object"; Groq's `x_groq`
and `reasoning`; `reasoning_content` as in DeepSeek and vLLM. Every frame is one `data: {json}` line.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET

from tokenfall.events import Finished, FinishReason
from tokenfall.messages import ToolCall
from tokenfall.wire import rate_limit_headers, sse
from tokenfall.wire.dialect import (
    ContentBlock,
    Dialect,
    ModelResponse,
    ParsedRequest,
    ResponseChoice,
    ResponseMeta,
    ResponseTiming,
)
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.openai import errors as openai_errors
from tokenfall.wire.openai.document import (
    ChatChoice,
    ChatCompletion,
    CompletionMessage,
    call_document,
    encoded_head,
    first_members,
    function_document,
    reason_name,
    usage_document,
)
from tokenfall.wire.openai.logprobs import ChatLogprobs, check_size, logprobs, logprobs_lazily
from tokenfall.wire.openai.request import ChatCompletionBody, ChatOptions, decode

THINK = ("<think>", "</think>")
_encode = msgspec.json.encode


class ChatCompletionEncoder:
    """Implements `Encoder`. The constant parts of a token's frame are encoded once per block."""

    __slots__ = (
        "_block",
        "_choice_with_call",
        "_drops_call",
        "_head",
        "_last",
        "_last_choice",
        "_options",
        "_request_id",
    )

    def __init__(self, parsed: ParsedRequest, meta: ResponseMeta) -> None:
        self._options: ChatOptions = parsed.options
        tier = None if self._options.groq else self._options.service_tier
        extra = b"" if tier is None else b'"service_tier":%b,' % _encode(tier)
        extra += _NO_USAGE if self._options.include_usage else b""
        self._head = encoded_head(meta, "chatcmpl", kind="chat.completion.chunk") + extra
        self._request_id = f"req_{meta.number}" if self._options.groq else ""
        self._last_choice = -1
        """The last choice that was opened: choices come in order."""
        self._block = ContentBlock("text")
        self._choice_with_call = -1
        self._drops_call = False
        """Whether the open block is a further call in a choice with a `function_call`, which can have only one."""
        self._last: tuple[int, FinishReason] | None = None
        """For Groq: the last choice and its finish reason; its final chunk also has the usage, so it is deferred."""

    def open(self, block: ContentBlock) -> bytes:
        first = self._end_raw_reasoning()
        self._block = block
        self._drops_call = False
        if block.choice > self._last_choice:
            first += self._chunk({"role": "assistant", "content": ""}, block.choice, groq={"id": self._request_id})
            self._last_choice = block.choice
        if self._is_raw_reasoning():
            return first + self._chunk({"content": THINK[0]}, block.choice)
        if block.call is None:
            return first
        if self._options.legacy_functions:
            return first + self._open_function(block.call)
        call = {"index": block.index, **msgspec.structs.asdict(call_document(block.call))}
        return first + self._chunk({"tool_calls": [call]}, block.choice)

    def _open_function(self, call: ToolCall) -> bytes:
        choice = self._block.choice
        self._drops_call = self._choice_with_call == choice
        self._choice_with_call = choice
        if self._drops_call:
            return b""
        return self._chunk({"function_call": {"name": call.name, "arguments": ""}}, choice)

    def frame_template(self) -> tuple[bytes, bytes] | None:
        block = self._block
        if self._drops_call or (self._options.logprobs and block.kind == "text"):
            return None
        before = b'data: %b"choices":[{"index":%d,"delta":{' % (self._head, block.choice)
        if block.kind == "call" and self._options.legacy_functions:
            return before + b'"function_call":{"arguments":', b'}},"logprobs":null,"finish_reason":null}]}\n\n'
        if block.kind == "call":
            custom = block.call is not None and block.call.custom
            member = b'"custom":{"input":' if custom else b'"function":{"arguments":'
            call = b'"tool_calls":[{"index":%d,%b' % (block.index, member)
            return before + call, b'}}]},"logprobs":null,"finish_reason":null}]}\n\n'
        thought = "reasoning" if self._options.groq else "reasoning_content"
        name = thought if block.kind == "thought" and not self._options.raw_reasoning else "content"
        return before + b'"%b":' % name.encode(), b'},"logprobs":null,"finish_reason":null}]}\n\n'

    def token(self, text: str) -> bytes:
        if self._drops_call:
            return b""
        document = logprobs((text,), self._options.top_logprobs)
        return self._chunk({"content": text}, self._block.choice, logprobs=document)

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        first = self._end_raw_reasoning() if choice <= self._last_choice else self.open(ContentBlock("text", choice))
        if not self._options.groq:
            return first + self._chunk({}, choice, reason=reason)
        before, self._last = self._last, (choice, reason)
        return (b"" if before is None else self._chunk({}, before[0], reason=before[1])) + first

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        frames = b""
        usage = None
        if finished.usage is not None and (self._options.groq or self._options.include_usage):
            usage = usage_document(finished.usage, timing if self._options.groq else None)
        if self._last is not None:
            choice, reason = self._last
            groq = {"id": self._request_id, **({"usage": usage} if usage else {})}
            frames = self._chunk({}, choice, reason=reason, groq=groq)
        if usage and self._options.include_usage:
            head = self._head.replace(_NO_USAGE, b"")
            frames += b'data: %b"choices":[],"usage":%b}\n\n' % (head, _encode(usage))
        return frames + sse.DONE

    def _is_raw_reasoning(self) -> bool:
        return self._options.raw_reasoning and self._block.kind == "thought"

    def _end_raw_reasoning(self) -> bytes:
        """The frame that ends an open block of raw reasoning; b"" for other blocks."""
        if not self._is_raw_reasoning():
            return b""
        block, self._block = self._block, ContentBlock("text")
        return self._chunk({"content": THINK[1]}, block.choice)

    def _chunk(
        self,
        delta: dict[str, Any],
        choice: int,
        *,
        reason: FinishReason | None = None,
        logprobs: ChatLogprobs | None = None,
        groq: dict[str, Any] | None = None,
    ) -> bytes:
        name = reason and reason_name(reason, legacy_functions=self._options.legacy_functions)
        document = _encode({"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": name})
        extra = b',"x_groq":%b' % _encode(groq) if groq and self._options.groq else b""
        return b'data: %b"choices":[%b]%b}\n\n' % (self._head, document, extra)


_NO_USAGE = b'"usage":null,'


def encode_response(parsed: ParsedRequest, response: ModelResponse) -> Iterator[bytes]:
    """Encode a complete response."""
    options: ChatOptions = parsed.options
    if options.logprobs:
        check_size(sum(len(choice.tokens) for choice in response.choices), options.top_logprobs)
    meta, usage = response.meta, response.finished.usage
    return json_pieces(
        ChatCompletion(
            **first_members(meta, "chatcmpl", kind="chat.completion"),
            choices=[_choice(number, choice, options=options) for number, choice in enumerate(response.choices)],
            usage=None if usage is None else usage_document(usage, response.timing if options.groq else None),
            usage_breakdown=None if options.groq else UNSET,
            x_groq={"id": f"req_{meta.number}"} if options.groq else UNSET,
            service_tier=UNSET if options.service_tier is None else options.service_tier,
        )
    )


def _choice(number: int, choice: ResponseChoice, *, options: ChatOptions) -> ChatChoice:
    legacy = options.legacy_functions
    thought, text = choice.thought or UNSET, choice.text
    if options.raw_reasoning and choice.thought:
        thought, text = UNSET, f"{THINK[0]}{choice.thought}{THINK[1]}{text}"
    message = CompletionMessage(
        content=text or (None if choice.calls else ""),
        reasoning=thought if options.groq else UNSET,
        reasoning_content=UNSET if options.groq else thought,
        tool_calls=UNSET if legacy else [call_document(call) for call in choice.calls] or UNSET,
        function_call=function_document(choice.calls[0]) if legacy and choice.calls else UNSET,
    )
    logprobs = logprobs_lazily(choice.tokens, options.top_logprobs) if options.logprobs else None
    reason = reason_name(choice.reason, legacy_functions=legacy)
    return ChatChoice(index=number, message=message, logprobs=logprobs, finish_reason=reason)


OPENAI_CHAT = Dialect(
    name="openai.chat",
    body=ChatCompletionBody,
    response=ChatCompletion,
    decode=decode,
    encoder=ChatCompletionEncoder,
    encode_response=encode_response,
    error=openai_errors.error,
    error_frame=openai_errors.error_frame,
    limits=rate_limit_headers.openai,
)
GROQ_CHAT = msgspec.structs.replace(OPENAI_CHAT, name="groq.chat", decode=partial(decode, groq=True))
