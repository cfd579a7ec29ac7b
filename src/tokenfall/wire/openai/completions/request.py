"""Decodes the body of `POST /v1/completions`. Pure.

Source: the OpenAI API reference, "Create completion"; `min_tokens` and `ignore_eos` are vLLM's. Several prompts become
one `ChatRequest` with a message per prompt; choice `c` belongs to prompt `c // n`. Fields that are not listed are
accepted and ignored, and so is `suffix`.
"""

from sys import getsizeof
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest, Message
from tokenfall.wire.dialect import Fraction, ModelName, ParsedRequest, decoded
from tokenfall.wire.openai.embeddings import texts_of
from tokenfall.wire.openai.request import Penalty, StreamOptions, includes_usage, stops

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 20
MAX_CHOICES = 128


class CompletionBody(Struct, kw_only=True):
    model: ModelName
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
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None


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
    usage = includes_usage(read.stream_options, stream=read.stream)
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
        include_usage=usage,
        logprobs=read.logprobs,
        each=each,
        echoed=prompts if read.echo else (),
    )
    repeated_bytes = sum(map(getsizeof, options.echoed))
    return ParsedRequest(request=request, stream=bool(read.stream), options=options, repeated_bytes=repeated_bytes)


def _check(body: CompletionBody, choices: int) -> None:
    """Check constraints between fields."""
    best_of, each = body.best_of or body.n or 1, body.n or 1
    if best_of < each:
        raise InvalidRequest(f"best_of must be at least n, which is {each}", param="best_of")
    if best_of > each and body.stream:
        raise InvalidRequest("best_of above n cannot be streamed", param="best_of")
    if choices > MAX_CHOICES:
        raise InvalidRequest(f"n choices for each prompt make {choices}, the maximum is {MAX_CHOICES}", param="n")
