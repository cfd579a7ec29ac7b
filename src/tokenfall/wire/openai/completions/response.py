"""Encodes responses of `POST /v1/completions`. Pure.

Source: the OpenAI API reference, "The completion object".
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.events import Finished, FinishReason
from tokenfall.tokens import tokens_of
from tokenfall.wire import rate_limit_headers, sse
from tokenfall.wire.dialect import (
    ContentBlock,
    Count,
    Dialect,
    ModelResponse,
    ParsedRequest,
    ResponseChoice,
    ResponseMeta,
    ResponseTiming,
)
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.openai import errors as openai_errors
from tokenfall.wire.openai.completions.logprobs import CompletionLogprobs, TextLogprobs, logprobs_lazily
from tokenfall.wire.openai.completions.request import CompletionBody, CompletionOptions, decode
from tokenfall.wire.openai.document import CompletionUsage, encoded_head, first_members, usage_document
from tokenfall.wire.openai.logprobs import check_size

MAX_ECHOED_CHARACTERS = 2**23
"""Limit for all echoed prompts of a complete response."""

MAX_ECHOED = 2_048
"""Limit for log probabilities of an echoed prompt in a stream, where they are one frame."""

_encode = msgspec.json.encode
TextFinishReason = Literal["stop", "length", "content_filter"]


class TextChoice(Struct, frozen=True, kw_only=True):
    index: Count
    text: str
    logprobs: TextLogprobs | None
    finish_reason: TextFinishReason


class Completion(Struct, frozen=True, kw_only=True):
    id: Annotated[str, Meta(pattern="^cmpl-")]
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: CompletionUsage | None


class CompletionEncoder:
    """Implements `Encoder`. Drops reasoning and tool calls: this format has no fields for them."""

    def __init__(self, parsed: ParsedRequest, meta: ResponseMeta) -> None:
        self._options: CompletionOptions = parsed.options
        self._head = encoded_head(meta, "cmpl", kind="text_completion")
        self._end = b'],"usage":null}\n\n' if self._options.include_usage else b"]}\n\n"
        self._logprobs: dict[int, CompletionLogprobs] = {}
        self._block = ContentBlock("text")
        top = self._options.logprobs
        if self._options.echoed and top is not None and meta.prompt_tokens * (1 + top) > MAX_ECHOED:
            raise InvalidRequest(
                f"a stream has at most {MAX_ECHOED} log probabilities of echoed prompts, "
                f"and {meta.prompt_tokens} tokens with {top} alternatives each exceed that",
                param="logprobs",
            )

    def open(self, block: ContentBlock) -> bytes:
        self._block = block
        if block.choice in self._logprobs:
            return b""
        logprobs = self._logprobs[block.choice] = CompletionLogprobs(self._options.logprobs or 0)
        echo = self._options.echo(block.choice)
        if not echo:
            return b""
        document = None if self._options.logprobs is None else logprobs.document(tokens_of(echo), first=True)
        return self._chunk(echo, block.choice, logprobs=document)

    def frame_template(self) -> tuple[bytes, bytes] | None:
        if self._block.kind != "text" or self._options.logprobs is not None:
            return None
        before = b'data: %b"choices":[{"index":%d,"text":' % (self._head, self._block.choice)
        return before, b',"logprobs":null,"finish_reason":null}' + self._end

    def token(self, text: str) -> bytes:
        if self._block.kind != "text":
            return b""
        choice = self._block.choice
        return self._chunk(text, choice, logprobs=self._logprobs[choice].document((text,)))

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        first = b"" if choice in self._logprobs else self.open(ContentBlock("text", choice))
        return first + self._chunk("", choice, reason=reason)

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        if not (finished.usage and self._options.include_usage):
            return sse.DONE
        usage = _encode(usage_document(finished.usage))
        return b'data: %b"choices":[],"usage":%b}\n\n' % (self._head, usage) + sse.DONE

    def _chunk(
        self, text: str, choice: int, *, reason: FinishReason | None = None, logprobs: TextLogprobs | None = None
    ) -> bytes:
        document = {"index": choice, "text": text, "logprobs": logprobs, "finish_reason": reason and _reason(reason)}
        return b'data: %b"choices":[%b%b' % (self._head, _encode(document), self._end)


def encode_response(parsed: ParsedRequest, response: ModelResponse) -> Iterator[bytes]:
    """Encode a complete response."""
    options: CompletionOptions = parsed.options
    usage = response.finished.usage
    if options.logprobs is not None and usage is not None:
        echoed = options.each * usage.prompt_tokens if options.echoed else 0
        check_size(echoed + usage.completion_tokens, options.logprobs)
    if sum(map(len, options.echoed)) * options.each > MAX_ECHOED_CHARACTERS:
        raise InvalidRequest(f"a complete response echoes at most {MAX_ECHOED_CHARACTERS} characters", param="echo")
    choices = [_choice(number, choice, options=options) for number, choice in enumerate(response.choices)]
    document = None if usage is None else usage_document(usage)
    return json_pieces(
        Completion(**first_members(response.meta, "cmpl", kind="text_completion"), choices=choices, usage=document)
    )


def _choice(number: int, choice: ResponseChoice, *, options: CompletionOptions) -> TextChoice:
    echo = options.echo(number)
    logprobs = None if options.logprobs is None else logprobs_lazily(echo, choice.tokens, top=options.logprobs)
    return TextChoice(index=number, text=echo + choice.text, logprobs=logprobs, finish_reason=_reason(choice.reason))


def _reason(reason: FinishReason) -> TextFinishReason:
    """The finish reason; `tool_calls` becomes `stop`, as this format has no tool calls."""
    return "stop" if reason == "tool_calls" else reason


OPENAI_COMPLETIONS = Dialect(
    name="openai.completions",
    body=CompletionBody,
    response=Completion,
    decode=decode,
    encoder=CompletionEncoder,
    encode_response=encode_response,
    error=openai_errors.error,
    error_frame=openai_errors.error_frame,
    limits=rate_limit_headers.openai,
)
