"""Server side of `POST /v1/completions`: decodes requests, encodes responses. Pure.

Source: the OpenAI API reference, "Create completion" and "The completion object"; `min_tokens` and `ignore_eos` are
vLLM's. Several prompts become one `ChatRequest` with a message per prompt; choice `c` belongs to prompt `c // n`.
Fields that are not listed are accepted and ignored, and so is `suffix`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, islice
from sys import getsizeof
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.events import Finished, FinishReason
from tokenfall.messages import ChatRequest, Message
from tokenfall.tokens import count_tokens, token_slices, tokens_of
from tokenfall.wire import sse
from tokenfall.wire.dialect import (
    ContentBlock,
    Count,
    Dialect,
    ModelResponse,
    ParsedRequest,
    ResponseChoice,
    ResponseMeta,
    ResponseTiming,
    decoded,
)
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.openai import errors as openai_errors
from tokenfall.wire.openai.embeddings import texts_of
from tokenfall.wire.openai.logprobs import ALTERNATIVES, check_size, logprob_of
from tokenfall.wire.openai.request import Fraction, StreamOptions, stops
from tokenfall.wire.openai.response import FINGERPRINT, CompletionUsage, usage_document

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 20
MAX_CHOICES = 128
MAX_ECHOED_CHARACTERS = 2**23
"""Limit for all echoed prompts of a complete response."""

MAX_ECHOED = 2_048
"""Limit for log probabilities of an echoed prompt in a stream, where they are one frame."""

_encode = msgspec.json.encode


class CompletionBody(Struct, kw_only=True):
    model: Annotated[str, Meta(min_length=1, max_length=200)]
    prompt: str | list[str | Annotated[int, Meta(ge=0)] | list[Annotated[int, Meta(ge=0)]]] | None = None
    suffix: str | None = None
    echo: bool | None = None
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    min_tokens: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    ignore_eos: bool | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Fraction | None = None


TextFinishReason = Literal["stop", "length", "content_filter"]


class TextLogprobs(Struct, frozen=True, kw_only=True):
    """The log probabilities of a text. An echoed prompt's first token has none."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[Count]


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


class CompletionOptions(Struct, frozen=True, kw_only=True):
    """Response options. `echoed` are the prompts if `echo` is set, `each` is `n`, `logprobs` None if not requested."""

    include_usage: bool = False
    logprobs: int | None = None
    each: int = 1
    echoed: tuple[str, ...] = ()

    def echo(self, choice: int) -> str:
        """The echoed prompt of `choice`, "" without `echo`."""
        return self.echoed[choice // self.each] if self.echoed else ""


_decoder = msgspec.json.Decoder(CompletionBody)


def decode(body: bytes) -> ParsedRequest:
    """Decode a request. Raises `InvalidRequest` with the invalid field."""
    read = decoded(_decoder, body)
    prompts = texts_of("" if read.prompt is None else read.prompt, "prompt", most=MAX_PROMPTS)
    each = read.n or 1
    _check(read, len(prompts) * each)
    request = ChatRequest(
        messages=tuple(Message("user", prompt) for prompt in prompts),
        model=read.model,
        max_tokens=DEFAULT_MAX_TOKENS if read.max_tokens is None else read.max_tokens,
        temperature=read.temperature,
        top_p=read.top_p,
        seed=read.seed,
        stop=stops(read.stop),
        n=len(prompts) * each,
        min_tokens=read.min_tokens or 0,
        ignore_eos=bool(read.ignore_eos),
    )
    options = CompletionOptions(
        include_usage=read.stream_options is not None and bool(read.stream_options.include_usage),
        logprobs=read.logprobs,
        each=each,
        echoed=prompts if read.echo else (),
    )
    repeated_bytes = sum(map(getsizeof, options.echoed))
    return ParsedRequest(request=request, stream=bool(read.stream), input=options, repeated_bytes=repeated_bytes)


def _check(body: CompletionBody, choices: int) -> None:
    """Check constraints between fields."""
    if body.stream_options is not None and not body.stream:
        raise InvalidRequest("stream_options is only allowed when stream is true", param="stream_options")
    best_of, each = body.best_of or body.n or 1, body.n or 1
    if best_of < each:
        raise InvalidRequest(f"best_of must be at least n, which is {each}", param="best_of")
    if best_of > each and body.stream:
        raise InvalidRequest("best_of above n cannot be streamed", param="best_of")
    if choices > MAX_CHOICES:
        raise InvalidRequest(f"n choices for each prompt make {choices}, the maximum is {MAX_CHOICES}", param="n")


class CompletionLogprobs:
    """Builds the `logprobs` documents of one choice. Text offsets count characters from the start of its text."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._offset = 0

    def document(self, tokens: Sequence[str], *, first: bool = False) -> TextLogprobs:
        """The document of the next `tokens`. With `first`, for a prompt: its first token has no log probability."""
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token)
        token_logprobs: list[float | None] = [logprob_of(token) for token in tokens]
        top_logprobs: list[dict[str, float] | None] = [self._alternatives(token) for token in tokens]
        if first and tokens:
            token_logprobs[0] = top_logprobs[0] = None
        return TextLogprobs(
            tokens=list(tokens),
            token_logprobs=token_logprobs,
            top_logprobs=top_logprobs if self._top else None,
            text_offset=offsets,
        )

    def _alternatives(self, token: str) -> dict[str, float]:
        return _alternatives(token, self._top)


def _alternatives(token: str, top: int) -> dict[str, float]:
    most_likely = [token, *(other for other in ALTERNATIVES[:top] if other != token)][:top]
    return {each: logprob_of(token) - 1.0 * rank for rank, each in enumerate(most_likely)}


class CompletionEncoder:
    """Implements `Encoder`. Drops reasoning and tool calls: this format has no fields for them."""

    def __init__(self, parsed: ParsedRequest, meta: ResponseMeta) -> None:
        self._options: CompletionOptions = parsed.input
        self._head = _head(meta)
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
        frame_template = self.frame_template()
        if frame_template is not None:
            return frame_template[0] + _encode(text) + frame_template[1]
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
    options: CompletionOptions = parsed.input
    usage = response.finished.usage
    if options.logprobs is not None and usage is not None:
        echoed = options.each * usage.prompt_tokens if options.echoed else 0
        check_size(echoed + usage.completion_tokens, options.logprobs)
    if sum(map(len, options.echoed)) * options.each > MAX_ECHOED_CHARACTERS:
        raise InvalidRequest(f"a complete response echoes at most {MAX_ECHOED_CHARACTERS} characters", param="echo")
    choices = [_choice(number, choice, options=options) for number, choice in enumerate(response.choices)]
    document = None if usage is None else usage_document(usage)
    return json_pieces(Completion(**_named(response.meta), choices=choices, usage=document))


def _choice(number: int, choice: ResponseChoice, *, options: CompletionOptions) -> TextChoice:
    echo = options.echo(number)
    logprobs = None if options.logprobs is None else _logprobs_lazily(echo, choice.tokens, top=options.logprobs)
    return TextChoice(index=number, text=echo + choice.text, logprobs=logprobs, finish_reason=_reason(choice.reason))


def _logprobs_lazily(echo: str, response_tokens: Sequence[str], *, top: int) -> TextLogprobs:
    """As `CompletionLogprobs.document` for the prompt and the response tokens, with iterators for lists, for
    `json_pieces`.
    """

    def tokens() -> Iterator[str]:
        return chain(chain.from_iterable(token_slices(echo)), response_tokens)

    def each(read: Callable[[str], Any]) -> Any:  # noqa: ANN401 - an iterator in place of a list
        values = map(read, tokens())
        return chain((None,), islice(values, 1, None)) if echo.strip() else values

    offsets = islice(accumulate(map(len, tokens()), initial=0), count_tokens(echo) + len(response_tokens))
    return TextLogprobs(
        tokens=cast("list[str]", tokens()),
        token_logprobs=each(logprob_of),
        top_logprobs=each(partial(_alternatives, top=top)) if top else None,
        text_offset=cast("list[int]", offsets),
    )


def _named(meta: ResponseMeta) -> dict[str, Any]:
    """The members that every document of a response begins with."""
    return {
        "id": f"cmpl-{meta.number}",
        "object": "text_completion",
        "created": int(meta.created_s),
        "model": meta.model,
        "system_fingerprint": FINGERPRINT,
    }


def _head(meta: ResponseMeta) -> bytes:
    """The beginning of every frame's document."""
    return _encode(_named(meta))[:-1] + b","


def _reason(reason: FinishReason) -> TextFinishReason:
    """The finish reason; `tool_calls` becomes `stop`, as this format has no tool calls."""
    return "stop" if reason == "tool_calls" else reason


OPENAI_COMPLETIONS = Dialect(
    name="openai.completions",
    body=CompletionBody,
    response=Completion,
    stream_type=sse.CONTENT_TYPE,
    keepalive=sse.PING,
    decode=decode,
    encoder=CompletionEncoder,
    encode_response=encode_response,
    error=openai_errors.error,
    error_frame=openai_errors.error_frame,
)
