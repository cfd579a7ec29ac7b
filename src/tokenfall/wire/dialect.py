"""The common interface of all provider dialects. Pure.

A `Dialect` has functions that decode its requests and encode its responses. `tokenfall.wire.dialects` is the table of
all dialects. Called by `tokenfall.api.providers`, which depends on this interface only.
"""

from collections.abc import Callable, Iterator, Sequence
from sys import getsizeof
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.events import Finished, FinishReason
from tokenfall.messages import ChatRequest, ToolCall
from tokenfall.wire import sse
from tokenfall.wire.api_error import ApiError, Headers, LimitState, no_headers


class ParsedRequest(Struct, frozen=True, kw_only=True):
    """A request of any dialect.

    `options` are the dialect's response options (`stream_options`, `logprobs`): fields that change the form of the
    response, not its content. `request.max_tokens` is `UNBOUNDED` if the client set no limit. `repeated_bytes` is the
    size of the parts of the request that the response repeats.
    """

    request: ChatRequest
    stream: bool
    options: Any = None
    repeated_bytes: int = 0


UNBOUNDED = 2**31


class ResponseMeta(Struct, frozen=True):
    """Metadata of one response. `number` is 24 hexadecimal digits; each dialect adds its own prefix.

    `created_s` is Unix time; `model` is the model name as the client sent it. `prompt_tokens` is the size of the
    request, 0 if it is known only at the end.
    """

    number: str
    created_s: float
    model: str
    prompt_tokens: int = 0


BlockKind = Literal["text", "thought", "call"]
"""`thought` is reasoning, `call` one tool call."""


class ContentBlock(Struct, frozen=True):
    """A run of output of one kind. `choice` counts from 0."""

    kind: BlockKind
    choice: int = 0
    call: ToolCall | None = None
    """For a call: its id and name. Its `arguments` are empty here: they are the tokens of the block."""
    index: int = 0
    """For a call: its position among the calls of the choice, from 0."""


class ResponseTiming(Struct, frozen=True):
    """Durations of a response in seconds, for dialects that report them."""

    total_s: float = 0.0
    first_token_s: float = 0.0


class Encoder(Protocol):
    """Encodes one streamed response.

    Order of calls: `open` for each block, then, if the block has no `frame_template`, `token` for each of its tokens;
    `finish` for each choice; `end` last. A stream that fails ends with the dialect's `error_frame` instead, at any
    point.

    If the dialect requests log probabilities from an upstream, its encoder also has
    `token_with_logprobs(text, logprobs)`, which is called instead of `token` for a `TextDelta` with log probabilities.
    """

    def open(self, block: ContentBlock) -> bytes:
        """The frames that close the previous block and start this one; b"" if there are none."""
        ...

    def frame_template(self) -> tuple[bytes, bytes] | None:
        """Prefix and suffix of a token's frame in the open block: a frame is prefix + JSON string + suffix.

        None if `token` has to be called for each token.
        """
        ...

    def token(self, text: str) -> bytes:
        """The frame of a token of the open block, which has no template; b"" if the dialect buffers or omits it."""
        ...

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        """The frames that end one choice; b"" if there are none."""
        ...

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        """The frames that end the stream, with the usage. Never empty."""
        ...


TOKEN_BYTES = 64
"""Memory of a token in a list: a string of one word, and its reference."""


class ResponseChoice(Struct, frozen=True, kw_only=True):
    """One complete choice.

    `tokens` is `text` split into tokens, from which log probabilities are simulated; `logprobs` are those of an
    upstream, as in `TextDelta`.
    """

    text: str
    reason: FinishReason
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()
    tokens: Sequence[str] = ()
    logprobs: bytes = b""

    def size_bytes(self) -> int:
        """Memory of the texts and log probabilities, and of `tokens` if that is a list."""
        texts = (self.text, self.thought, self.logprobs, *(call.arguments for call in self.calls))
        tokens = TOKEN_BYTES * len(self.tokens) if isinstance(self.tokens, list) else 0
        return sum(map(getsizeof, texts)) + tokens


class ModelResponse(Struct, frozen=True, kw_only=True):
    """A complete (not streamed) response. It has as many choices as the request asked for (`n`)."""

    meta: ResponseMeta
    choices: Sequence[ResponseChoice]
    finished: Finished
    timing: ResponseTiming


class Dialect(Struct, frozen=True, kw_only=True):
    """The functions of one dialect.

    - `body` and `response` are the Structs of a request and of a complete response, for the OpenAPI description.
    - `decode` raises `InvalidRequest` whose `param` is the invalid field.
    - `keepalive` is the keepalive frame of a stream, b"" if the format has none.
    - `encode_response` yields a complete response in pieces; it raises `InvalidRequest` if it would be too large.
    - `error` is an error response body, `error_frame` the last frame of a stream that fails after this many frames.
    - `limits` are the rate limit headers.
    - `immediate_response` is the response to a request that needs no model, else None.
    - `for_upstream` changes a request for an upstream, which lacks some options of the simulator.
    - `frame_count` is the number of frames that an encoder has written, and `frame_number` the number of a frame, which
      may be chunked; both are 0 for dialects that do not number their frames.
    """

    name: str
    body: type
    response: type
    stream_type: str = sse.CONTENT_TYPE
    keepalive: bytes = sse.PING
    decode: Callable[[bytes], ParsedRequest]
    encoder: Callable[[ParsedRequest, ResponseMeta], Encoder]
    encode_response: Callable[[ParsedRequest, ModelResponse], Iterator[bytes]]
    error: Callable[[ApiError], bytes]
    error_frame: Callable[[ApiError, int], bytes]
    limits: Callable[[LimitState], Headers] = no_headers
    immediate_response: Callable[[ParsedRequest, ResponseMeta], bytes | None] = lambda _parsed, _meta: None
    for_upstream: Callable[[ParsedRequest], ParsedRequest] = lambda parsed: parsed
    frame_count: Callable[[Encoder], int] = lambda _encoder: 0
    frame_number: Callable[[bytes], int] = lambda _frame: 0


T = TypeVar("T")

Count = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
ModelName = Annotated[str, Meta(min_length=1, max_length=200)]

RawSchema = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]
NullableSchema = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": ["object", "null"]})]
"""Field types for a JSON schema, stored as JSON text; read with `schema_text`."""


def no_schema() -> msgspec.Raw:
    """Default for a schema field that is absent."""
    return msgspec.Raw()


MAX_ITEMS = 2_048
"""Limit for arrays whose items are processed one by one (messages, input items, images)."""

MAX_TOOLS = 1_024
MAX_STOPS = 64


def decoded(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Decode and validate a request body. Raises `InvalidRequest` with the field and the expected type.

    The body has passed `tokenfall.wire.request_json`.
    """
    try:
        if not body.isascii():
            body.decode()  # skipped members must be UTF-8, too (RFC 8259, section 8.1)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body: {error}") from None
    return decoded_part(decoder, body)


def decoded_part(decoder: "msgspec.json.Decoder[T]", body: bytes | msgspec.Raw) -> T:
    """As `decoded`, for a part of a body."""
    try:
        return decoder.decode(body)
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text, _, path = str(error).partition(" - at `$")
        param = ".".join(filter(None, (path.removesuffix("`").removeprefix("."), missing_field(text))))
        raise InvalidRequest(f"{param or 'the body'}: {text}", param=param or None) from None


def schema_text(raw: msgspec.Raw, param: str, *, nullable: bool = True) -> bytes | None:
    """The JSON text of a schema, unchanged; None if it is null or absent. Raises `InvalidRequest` for other types.

    Schemas are not decoded with their request: see `tokenfall.simulator.structured_output`.
    """
    text = bytes(raw)
    if text.startswith(b"{"):
        return text
    if not text or (nullable and text == b"null"):
        return None
    accepted = "`object | null`" if nullable else "`object`"
    raise InvalidRequest(f"{param}: Expected {accepted}, got `{_type_of(text)}`", param=param)


def _type_of(text: bytes) -> str:
    """The type of a JSON text that is not an object, as msgspec names it."""
    known = {b'"': "str", b"[": "array", b"t": "bool", b"f": "bool", b"n": "null"}
    return known.get(text[:1]) or ("float" if set(text) & set(b".eE") else "int")


def missing_field(text: str) -> str:
    """The name of the missing field in a msgspec error message, "" for other errors."""
    _, separator, name = text.partition("missing required field `")
    return name.rstrip("`") if separator else ""
