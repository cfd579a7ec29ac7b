"""Decodes the bodies of `POST /api/chat` and `POST /api/generate`. Pure.

Source: Ollama's Go types (`api.ChatRequest`, `api.GenerateRequest`, `api.Options`) and the error messages of its
handlers. A null field is treated as absent. Fields that are not listed are accepted and ignored; so are `suffix`,
`template`, and all options but seven.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest, Message, Tool
from tokenfall.wire.dialect import (
    MAX_ITEMS,
    MAX_STOPS,
    MAX_TOOLS,
    UNBOUNDED,
    NullableSchema,
    ParsedRequest,
    decoded,
    decoded_part,
    no_schema,
    schema_text,
)
from tokenfall.wire.ollama.messages import Images, RawChatMessage, images, messages

MAX_NAME = 200
_LEVELS = ("high", "medium", "low", "max")
_INT64 = 2**63
MAX_DURATION = 200
"""Limit for `keep_alive`, in characters."""

_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d++(?:\.\d*+)?|\.\d++)(?:ns|us|µs|μs|ms|s|m|h))++)", re.ASCII)
_NUMBER = re.compile(r"[-+]?\d++", re.ASCII)


class _Body(Struct, kw_only=True):
    """The members common to both requests."""

    model: str | None = None
    stream: bool | None = None
    format: msgspec.Raw = msgspec.field(default_factory=no_schema)
    options: dict[str, Any] | None = None
    think: bool | str | None = None
    keep_alive: float | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class _Function(Struct):
    name: str | None = None
    description: str | None = None
    parameters: NullableSchema = msgspec.field(default_factory=no_schema)


class _Tool(Struct):
    function: _Function | None = None


class OllamaChatBody(_Body, kw_only=True):
    messages: Annotated[list[RawChatMessage], Meta(max_length=MAX_ITEMS)] | None = None
    tools: Annotated[list[_Tool], Meta(max_length=MAX_TOOLS)] | None = None


class OllamaGenerateBody(_Body, kw_only=True):
    prompt: str | None = None
    system: str | None = None
    images: Images = None
    raw: bool | None = None
    template: str | None = None
    context: list[int] | None = None


class OllamaOptions(Struct, frozen=True, kw_only=True):
    """Response options.

    `load`: the request has no messages or prompt. It loads the model, or unloads it with `unload`, and the response is
    `load_response`, streaming or not. Its `ChatRequest` may have no message.

    `context` is not decoded. The response to a `raw` request has none.
    """

    generate: bool
    load: bool = False
    unload: bool = False
    logprobs: bool = False
    top_logprobs: int = 0
    context: tuple[int, ...] = ()
    raw: bool = False


_chat = msgspec.json.Decoder(OllamaChatBody)
_text = msgspec.json.Decoder(str)
_generate = msgspec.json.Decoder(OllamaGenerateBody)
B = TypeVar("B", bound=_Body)


def decode_chat(body: bytes) -> ParsedRequest:
    """Decode a request to `/api/chat`. Raises `InvalidRequest` with the invalid field."""
    read = _read(_chat, body)
    tools = tuple(_functions(read.tools or ()))
    request = replace(_request(read, messages(read.messages or ())), tools=tools)
    return _parsed(read, request, generate=False, load=not read.messages)


def decode_generate(body: bytes) -> ParsedRequest:
    """Decode a request to `/api/generate`, without its context. Raises `InvalidRequest` with the invalid field."""
    parsed = decode_generate_with_context(body)
    return replace(parsed, options=replace(parsed.options, context=()))  # it may be large


def decode_generate_with_context(body: bytes) -> ParsedRequest:
    """Decode a request to `/api/generate`. Raises `InvalidRequest` with the invalid field."""
    read = _read(_generate, body)
    if read.raw and (read.template or read.system or read.context):
        raise InvalidRequest("raw mode does not support template, system, or context", param="raw")
    context = [Message("system", read.system)] if read.system else []
    if read.prompt:
        context.append(Message("user", read.prompt, images=images(read.images, "images")))
    parsed = _parsed(read, _request(read, tuple(context)), generate=True, load=not read.prompt)
    options = replace(parsed.options, context=tuple(read.context or ()), raw=bool(read.raw))
    return replace(parsed, options=options)


def model_name(name: str | None) -> str:
    """The model's name. Raises `InvalidRequest`."""
    if not name:
        raise InvalidRequest("model is required", param="model")
    if len(name) > MAX_NAME:
        raise InvalidRequest("invalid model name", param="model")
    return name


def _read(decoder: "msgspec.json.Decoder[B]", body: bytes) -> B:
    if not body.strip():
        raise InvalidRequest("missing request body")
    read = decoded(decoder, body)
    if not 0 <= (read.top_logprobs or 0) <= 20:
        raise InvalidRequest("top_logprobs must be between 0 and 20", param="top_logprobs")
    if isinstance(read.think, str) and read.think not in _LEVELS:
        raise InvalidRequest(
            f'invalid think value: "{read.think[:40]}" (must be "high", "medium", "low", "max", true, or false)',
            param="think",
        )
    return read


def _parsed(read: _Body, request: ChatRequest, *, generate: bool, load: bool) -> ParsedRequest:
    options = OllamaOptions(
        generate=generate,
        load=load,
        unload=_unloads_at_once(read.keep_alive) and load,
        logprobs=bool(read.logprobs),
        top_logprobs=read.top_logprobs or 0,
    )
    return ParsedRequest(request=request, stream=read.stream is not False, options=options)


def _request(read: _Body, context: tuple[Message, ...]) -> ChatRequest:
    options = read.options or {}
    bound, seed = _integer(options, "num_predict") or 0, _integer(options, "seed")
    schema, json_object = _form(read)
    return ChatRequest(
        messages=context,
        model=model_name(read.model),
        max_tokens=min(bound, UNBOUNDED) if bound > 0 else UNBOUNDED,  # -1, -2 and 0: no limit
        temperature=_number(options, "temperature"),
        top_p=_number(options, "top_p"),
        seed=None if seed == -1 else seed,  # -1: random
        stop=_stops(options.get("stop")),
        schema=schema,
        json_object=json_object,
        reasoning=bool(read.think),
        effort={"low": "low", "medium": "medium", "high": "high", "max": "high"}.get(str(read.think), ""),
        disables_reasoning=read.think is False,
        presence_penalty=_number(options, "presence_penalty"),
        frequency_penalty=_number(options, "frequency_penalty"),
    )


def _functions(tools: Sequence[_Tool]) -> Iterator[Tool]:
    for number, tool in enumerate(tools):
        function = tool.function or _Function()
        parameters = schema_text(function.parameters, f"tools[{number}].function.parameters")
        if function.name:
            yield Tool(function.name, function.description or "", parameters or b"")


def _form(read: _Body) -> tuple[bytes | None, bool]:
    """The JSON schema in `format`, if it is one, and whether `format` is `json`."""
    text = bytes(read.format)
    if text.startswith(b"{"):
        return text, False
    name = decoded_part(_text, text) if text.startswith(b'"') else None
    if name in ("", "json") or text in (b"", b"null"):
        return None, name == "json"
    shown = msgspec.json.encode("..." if name is None else f'"{name[:40]}"').decode()
    raise InvalidRequest(f'invalid format: {shown}; expected "json" or a valid JSON Schema object', param="format")


def _integer(options: dict[str, Any], name: str) -> int | None:
    """A 64-bit integer; a fraction is truncated, as Go does."""
    value = options.get(name)
    if type(value) not in {int, float, type(None)}:
        raise _type_error(name, "of type integer")
    return None if value is None else max(-_INT64, min(int(value), _INT64 - 1))


def _number(options: dict[str, Any], name: str) -> float | None:
    value = options.get(name)
    if type(value) not in {int, float, type(None)}:
        raise _type_error(name, "of type float32")
    try:
        return None if value is None else float(value)
    except OverflowError:  # an integer of more than 308 digits
        raise _type_error(name, "of type float32") from None


def _stops(given: Any) -> tuple[str, ...]:  # noqa: ANN401 - not validated yet
    """The stop sequences; empty ones are ignored. A single string is accepted, too, which Ollama refuses."""
    texts = [given] if isinstance(given, str) else given or []
    if not isinstance(texts, list):
        raise _type_error("stop", "of type array")
    if len(texts) > MAX_STOPS:
        raise _type_error("stop", f"of at most {MAX_STOPS} strings")
    if not all(isinstance(text, str) for text in texts):
        raise _type_error("stop", "of an array of strings")
    return tuple(text for text in texts if text)


def _type_error(name: str, what: str) -> InvalidRequest:
    return InvalidRequest(f'option "{name}" must be {what}', param=f"options.{name}")


def _unloads_at_once(keep_alive: float | str | None) -> bool:
    """Whether `keep_alive` is 0. It is in seconds, or a Go duration (`5m`, `1h30m`, `-1s`)."""
    if not isinstance(keep_alive, str):
        return keep_alive == 0
    if len(keep_alive) > MAX_DURATION or _DURATION.fullmatch(keep_alive) is None:
        shown = keep_alive[:40]
        problem = "missing unit in" if _NUMBER.fullmatch(shown) else "invalid"
        raise InvalidRequest(f'time: {problem} duration "{shown}"', param="keep_alive")
    return not any(digit in keep_alive for digit in "123456789")
