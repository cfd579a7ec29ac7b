"""What every provider's dialect gives: one shape for six of them. Pure.

A dialect is a `Dialect`: functions that read its request and write its answers. `tokenfall.wire.dialects` has the table
of them. Callers: `tokenfall.api.providers`, which knows none of them by name.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.events import Finished, FinishReason
from tokenfall.messages import ChatRequest, ToolCall
from tokenfall.wire.api_error import ApiError, LimitState, no_headers


class ParsedRequest(Struct, frozen=True, kw_only=True):
    """A request of any dialect.

    `input` is what only its own dialect reads back: fields that shape the answer but not what is said
    (`stream_options`, `logprobs`). `max_tokens` of `request` is `UNBOUNDED` where the caller did not bound the answer.
    """

    request: ChatRequest
    stream: bool
    input: Any = None


UNBOUNDED = 2**31


class ResponseMeta(Struct, frozen=True):
    """What names one answer. `number` is 24 hexadecimal digits, to which a dialect puts its own prefix.

    `created_s` is Unix time; `model` is the model as the caller wrote it. `prompt_tokens` is what the request counts,
    0 where that is only known at the end.
    """

    number: str
    created_s: float
    model: str
    prompt_tokens: int = 0


class ContentBlock(Struct, frozen=True):
    """A stretch of one kind within an answer: text, thoughts, or one tool call. `choice` counts answers from 0."""

    kind: Literal["text", "thought", "call"]
    choice: int = 0
    call: ToolCall | None = None
    """Of a call: its id and name; `arguments` is empty, they are what the section's tokens say."""
    index: int = 0
    """Of a call: which of this answer's calls, from 0."""


class Timing(Struct, frozen=True):
    """How long an answer took, in seconds, for dialects that say so."""

    total_s: float = 0.0
    first_token_s: float = 0.0


class Encoder(Protocol):
    """Writes one streamed answer.

    It is asked in this order: for each section `open`, then its tokens; for each choice `finish`; at last `end`. An
    answer that breaks ends with the dialect's `error_frame` instead, at any time.
    """

    def open(self, block: ContentBlock) -> bytes:
        """The frames that end the section before and begin this one; b"" where there are none."""
        ...

    def frame_template(self) -> tuple[bytes, bytes] | None:
        """What stands before and after the JSON string of a token of the open section: a frame is these and that.

        None where a token's frame must be written by `token`.
        """
        ...

    def token(self, text: str) -> bytes:
        """The frame of a token of the open section; b"" where the dialect says nothing until `finish`."""
        ...

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        """The frames that end one choice; b"" where there are none."""
        ...

    def end(self, finished: Finished, timing: Timing) -> bytes:
        """The frames that end the whole, usage among them. Never empty."""
        ...


class Choice(Struct, frozen=True, kw_only=True):
    """One whole answer. `tokens` is `text` in its tokens, for dialects that tell of each (`logprobs`)."""

    text: str
    reason: FinishReason
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()
    tokens: Sequence[str] = ()


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer: one choice, or as many as `n` asked for."""

    meta: ResponseMeta
    choices: Sequence[Choice]
    finished: Finished
    timing: Timing


def no_answer(_asked: ParsedRequest, _identity: ResponseMeta) -> bytes | None:
    """Of a dialect in which all requests are for the model."""
    return None


class ErrorFrame(Protocol):
    """Writes the last frame of a stream that breaks."""

    def __call__(self, api_error: ApiError, frames: int = 0, /) -> bytes:
        """The frame; `frames` are the numbered ones before it."""
        ...


def as_asked(asked: ParsedRequest) -> ParsedRequest:
    """Of a dialect in which an upstream can answer all that the simulator can."""
    return asked


def no_numbers(_encoder: Encoder) -> int:
    """Of a dialect whose frames have no numbers."""
    return 0


class Dialect(Struct, frozen=True, kw_only=True):
    """One dialect's functions. `decode` raises `InvalidRequest` with the field at fault as its `param`.

    `keepalive` is the stream's heartbeat, b"" where the format has none. `immediate_response` answers what needs no
    model to be asked, None for what does. `whole` gives the whole response in pieces, and raises `InvalidRequest` where
    it would be too large. `error` is the body of an answer that is none, `error_frame` the last frame of a stream that
    breaks, after so many numbered frames; `frame_count` says how many an encoder has written. `for_upstream` leaves out
    of a request what only the simulator answers.
    """

    name: str
    stream_type: str
    keepalive: bytes
    decode: Callable[[bytes], ParsedRequest]
    encoder: Callable[[ParsedRequest, ResponseMeta], Encoder]
    whole: Callable[[ParsedRequest, Answer], Iterator[bytes]]
    error: Callable[[ApiError], bytes]
    error_frame: ErrorFrame
    limits: Callable[[LimitState], tuple[tuple[str, str], ...]] = no_headers
    immediate_response: Callable[[ParsedRequest, ResponseMeta], bytes | None] = no_answer
    for_upstream: Callable[[ParsedRequest], ParsedRequest] = as_asked
    frame_count: Callable[[Encoder], int] = no_numbers


T = TypeVar("T")

RawSchema = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]
NullableSchema = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": ["object", "null"]})]
"""A field that holds a JSON schema: its text, for `schema_text`."""


def no_schema() -> msgspec.Raw:
    """The text of a schema that did not come."""
    return msgspec.Raw()


MAX_ITEMS = 2_048
"""Of an array whose items are read one by one (messages, items of an input, images)."""

MAX_TOOLS = 1_024
MAX_STOPS = 64

MAX_STRINGS = 32_768
MAX_CONTAINERS = 32_768
MAX_VALUES = 100_000
"""Of a JSON body: strings with the keys among them, objects and arrays, and values of all kinds."""


def check_json(body: bytes) -> None:
    """Raises `InvalidRequest` where a body has more values than are read in some milliseconds.

    Of what is not JSON it says nothing. It counts what may be a value, and only where that is too much what is one.
    """
    if (
        _how_many(b'"', body) <= 2 * MAX_STRINGS
        and _how_many(b"{[", body) <= MAX_CONTAINERS
        and _how_many(b",", body) < MAX_VALUES
    ):
        return
    without_escapes = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if _how_many(b'"', without_escapes) > 2 * MAX_STRINGS:
        raise InvalidRequest(f"the body has more than {MAX_STRINGS} strings, the keys of objects among them")
    outside = b"".join(without_escapes.split(b'"')[::2])
    if _how_many(b"{[", outside) > MAX_CONTAINERS:
        raise InvalidRequest(f"the body has more than {MAX_CONTAINERS} objects and arrays")
    if _how_many(b",", outside) >= MAX_VALUES:
        raise InvalidRequest(f"the body has more than {MAX_VALUES} values")


def _how_many(characters: bytes, text: bytes) -> int:
    """How many of these `text` has; `bytes.count` takes ten times as long where it has many."""
    return len(text) - len(text.translate(None, characters))


def decoded(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """The body of a request by msgspec's decoder. Raises `InvalidRequest` naming the field and what it takes."""
    check_json(body)
    try:
        if not body.isascii():
            body.decode()  # members that are not decoded have to be UTF-8 as well (RFC 8259, section 8.1)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body: {error}") from None
    return decoded_part(decoder, body)


def decoded_part(decoder: "msgspec.json.Decoder[T]", body: bytes | msgspec.Raw) -> T:
    """The same for a part of a body that was checked already."""
    try:
        return decoder.decode(body)
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text, _, path = str(error).partition(" - at `$")
        param = ".".join(filter(None, (path.removesuffix("`").removeprefix("."), missing_field(text))))
        raise InvalidRequest(f"{param or 'the body'}: {text}", param=param or None) from None


def schema_text(raw: msgspec.Raw, param: str, *, nullable: bool = True) -> bytes | None:
    """The JSON text of a schema as it came, None for null and for none. Raises `InvalidRequest` for another type.

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
    """The type of a JSON text other than an object, in msgspec's words."""
    known = {b'"': "str", b"[": "array", b"t": "bool", b"f": "bool", b"n": "null"}
    return known.get(text[:1]) or ("float" if set(text) & set(b".eE") else "int")


def missing_field(text: str) -> str:
    """The field that msgspec's `text` says is missing, "" where it says something else."""
    _, separator, rest = text.partition("missing required field `")
    return rest.rstrip("`") if separator else ""
