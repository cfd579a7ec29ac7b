"""`POST /v1/completions`, as a server reads and answers it. Pure.

Source: the OpenAI API reference, "Create completion" and "The completion object"; `min_tokens` and `ignore_eos` are
vLLM's. Several prompts are one request whose messages they are: choice `c` answers prompt `c // n`. Fields that are not
listed are accepted and ignored, `suffix` too.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.events import Finished, FinishReason
from tokenfall.messages import ChatRequest, Message
from tokenfall.tokens import count_tokens, token_slices, tokens_of
from tokenfall.wire import sse
from tokenfall.wire.dialect import (
    Answer,
    Choice,
    ContentBlock,
    Dialect,
    Encoder,
    ParsedRequest,
    ResponseMeta,
    Timing,
    decoded,
)
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.openai import errors as openai_errors
from tokenfall.wire.openai.embeddings import texts_of
from tokenfall.wire.openai.logprobs import ALTERNATIVES, check_size, logprob_of
from tokenfall.wire.openai.request import Fraction, StreamOptions, stops
from tokenfall.wire.openai.response import FINGERPRINT, usage_document

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 20
MAX_CHOICES = 128
MAX_ECHOED_CHARACTERS = 2**23
"""Of all prompts that a whole response echoes."""

MAX_ECHOED = 2_048
"""Log probabilities of echoed prompts in a stream: they are one frame."""

_encode = msgspec.json.encode


class _Body(Struct, kw_only=True):
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


class Shape(Struct, frozen=True, kw_only=True):
    """What shapes the answer. `echoed` are the prompts where they are to be told again; `logprobs` None for none."""

    include_usage: bool = False
    logprobs: int | None = None
    each: int = 1
    echoed: tuple[str, ...] = ()

    def echo(self, choice: int) -> str:
        """What `choice` begins with."""
        return self.echoed[choice // self.each] if self.echoed else ""


_decoder = msgspec.json.Decoder(_Body)


def decode(body: bytes) -> ParsedRequest:
    """Read a request. Raises `InvalidRequest` with the field at fault."""
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
    shape = Shape(
        include_usage=read.stream_options is not None and bool(read.stream_options.include_usage),
        logprobs=read.logprobs,
        each=each,
        echoed=prompts if read.echo else (),
    )
    return ParsedRequest(request=request, stream=bool(read.stream), input=shape)


def _check(body: _Body, choices: int) -> None:
    """What fields say together."""
    if body.stream_options is not None and not body.stream:
        raise InvalidRequest("stream_options is only allowed when stream is true", param="stream_options")
    best_of, each = body.best_of or body.n or 1, body.n or 1
    if best_of < each:
        raise InvalidRequest(f"best_of must be at least n, which is {each}", param="best_of")
    if best_of > each and body.stream:
        raise InvalidRequest("best_of above n cannot be streamed", param="best_of")
    if choices > MAX_CHOICES:
        raise InvalidRequest(f"n answers to each prompt are {choices}, at most {MAX_CHOICES}", param="n")


class Logprobs:
    """What is told of a choice's tokens: the places count characters from the beginning of the choice's text."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._offset = 0

    def told(self, tokens: Sequence[str], *, first: bool = False) -> dict[str, Any]:
        """What is told of the next `tokens`. `first` are a prompt's: of its first nobody can say how likely it is."""
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token)
        likely: list[float | None] = [logprob_of(token) for token in tokens]
        tops: list[dict[str, float] | None] = [self._alternatives(token) for token in tokens]
        if first and tokens:
            likely[0] = tops[0] = None
        return {
            "tokens": list(tokens),
            "token_logprobs": likely,
            "top_logprobs": tops if self._top else None,
            "text_offset": offsets,
        }

    def _alternatives(self, token: str) -> dict[str, float]:
        return _alternatives(token, self._top)


def _alternatives(token: str, top: int) -> dict[str, float]:
    likeliest = [token, *(other for other in ALTERNATIVES[:top] if other != token)][:top]
    return {each: logprob_of(token) - 1.0 * place for place, each in enumerate(likeliest)}


class ChunkEncoder:
    """Implements `Encoder`. Thoughts and tool calls, which this format has not, are not told."""

    def __init__(self, asked: ParsedRequest, meta: ResponseMeta) -> None:
        self._shape: Shape = asked.input
        self._head = _head(meta)
        self._end = b'],"usage":null}\n\n' if self._shape.include_usage else b"]}\n\n"
        self._logprobs: dict[int, Logprobs] = {}
        self._block = ContentBlock("text")
        top = self._shape.logprobs
        if self._shape.echoed and top is not None and meta.prompt_tokens * (1 + top) > MAX_ECHOED:
            raise InvalidRequest(
                f"a stream tells of at most {MAX_ECHOED} log probabilities of echoed prompts, and "
                f"{meta.prompt_tokens} tokens with {top} alternatives each have more",
                param="logprobs",
            )

    def open(self, block: ContentBlock) -> bytes:
        self._block = block
        if block.choice in self._logprobs:
            return b""
        logprobs = self._logprobs[block.choice] = Logprobs(self._shape.logprobs or 0)
        echo = self._shape.echo(block.choice)
        if not echo:
            return b""
        told = None if self._shape.logprobs is None else logprobs.told(tokens_of(echo), first=True)
        return self._chunk(echo, block.choice, logprobs=told)

    def frame_template(self) -> tuple[bytes, bytes] | None:
        if self._block.kind != "text" or self._shape.logprobs is not None:
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
        return self._chunk(text, choice, logprobs=self._logprobs[choice].told((text,)))

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        first = b"" if choice in self._logprobs else self.open(ContentBlock("text", choice))
        return first + self._chunk("", choice, reason=reason)

    def end(self, finished: Finished, timing: Timing) -> bytes:
        if not (finished.usage and self._shape.include_usage):
            return sse.DONE
        usage = _encode(usage_document(finished.usage))
        return b'data: %b"choices":[],"usage":%b}\n\n' % (self._head, usage) + sse.DONE

    def _chunk(
        self, text: str, choice: int, *, reason: FinishReason | None = None, logprobs: dict[str, Any] | None = None
    ) -> bytes:
        told = _encode({"index": choice, "text": text, "logprobs": logprobs, "finish_reason": _reason(reason)})
        return b'data: %b"choices":[%b%b' % (self._head, told, self._end)


def whole(asked: ParsedRequest, answer: Answer) -> Iterator[bytes]:
    """The whole answer."""
    shape: Shape = asked.input
    usage = answer.finished.usage
    if shape.logprobs is not None and usage is not None:
        echoed = shape.each * usage.prompt_tokens if shape.echoed else 0
        check_size(echoed + usage.completion_tokens, shape.logprobs)
    if sum(map(len, shape.echoed)) * shape.each > MAX_ECHOED_CHARACTERS:
        raise InvalidRequest(f"a whole response echoes at most {MAX_ECHOED_CHARACTERS} characters", param="echo")
    document = {
        **_named(answer.meta),
        "choices": [_choice(number, choice, shape=shape) for number, choice in enumerate(answer.choices)],
        "usage": usage and usage_document(usage),
    }
    return json_pieces(document)


def _choice(number: int, choice: Choice, *, shape: Shape) -> dict[str, Any]:
    echo = shape.echo(number)
    told = None if shape.logprobs is None else _logprobs_lazily(echo, choice.tokens, top=shape.logprobs)
    return {"index": number, "text": echo + choice.text, "logprobs": told, "finish_reason": _reason(choice.reason)}


def _logprobs_lazily(echo: str, said: Sequence[str], *, top: int) -> dict[str, Any]:
    """As `Logprobs.told` of the prompt and then of the answer, with iterators in place of lists, for `json_pieces`."""

    def tokens() -> Iterator[str]:
        return chain(chain.from_iterable(token_slices(echo)), said)

    def each(read: Callable[[str], Any]) -> Iterator[Any]:
        likely = map(read, tokens())
        return chain((None,), islice(likely, 1, None)) if echo.strip() else likely

    return {
        "tokens": tokens(),
        "token_logprobs": each(logprob_of),
        "top_logprobs": each(partial(_alternatives, top=top)) if top else None,
        "text_offset": islice(accumulate(map(len, tokens()), initial=0), count_tokens(echo) + len(said)),
    }


def _named(meta: ResponseMeta) -> dict[str, Any]:
    """What names the answer, in every document."""
    return {
        "id": f"cmpl-{meta.number}",
        "object": "text_completion",
        "created": int(meta.created_s),
        "model": meta.model,
        "system_fingerprint": FINGERPRINT,
    }


def _head(meta: ResponseMeta) -> bytes:
    """The beginning of every frame."""
    return _encode(_named(meta))[:-1] + b","


def _reason(reason: FinishReason | None) -> str | None:
    """This format knows no calls: an answer that ended with one has stopped."""
    return "stop" if reason == "tool_calls" else reason


def encoder(asked: ParsedRequest, meta: ResponseMeta) -> Encoder:
    """The encoder of one stream."""
    return ChunkEncoder(asked, meta)


OPENAI_COMPLETIONS = Dialect(
    name="openai.completions",
    stream_type=sse.CONTENT_TYPE,
    keepalive=sse.PING,
    decode=decode,
    encoder=encoder,
    whole=whole,
    error=openai_errors.error,
    error_frame=openai_errors.error_frame,
)
