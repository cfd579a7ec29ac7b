"""Ollama's `context` for relayed requests of `POST /api/generate`. Pure.

In Ollama, a context is the token ids of the conversation so far, which a client sends back to continue it. The upstream
reports no token ids, so here a context is the messages as JSON, with three bytes in each number: typed clients read
numbers of 32 bits. A context of another server cannot be decoded, and is ignored.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from tokenfall.events import Finished
from tokenfall.messages import Message
from tokenfall.wire.dialect import (
    MAX_ITEMS,
    ContentBlock,
    Dialect,
    Encoder,
    ModelResponse,
    ParsedRequest,
    ResponseMeta,
    ResponseTiming,
)
from tokenfall.wire.json_lines import one_line
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.ollama.document import response_document
from tokenfall.wire.ollama.request import OllamaOptions, decode_generate_with_context
from tokenfall.wire.ollama.stream import LineEncoder

MAX_CONTEXT = 65_536
"""Limit of numbers in a context: a request may have 100,000 values."""

MAX_TEXT_BYTES = 3 * MAX_CONTEXT
"""Maximum size of the JSON text in a context."""


class _TextMessage(Struct, array_like=True):
    role: Literal["system", "user", "assistant"]
    content: str


class _Conversation(Struct):
    tokenfall: Annotated[list[_TextMessage], Meta(max_length=MAX_ITEMS)]


_encode = msgspec.json.encode
_conversation = msgspec.json.Decoder(_Conversation)


def encode_context(messages: Sequence[Message]) -> tuple[int, ...] | None:
    """A context that holds the roles and texts of `messages`; None if it would be too large."""
    text = _encode(_Conversation([_TextMessage(each.role, each.content) for each in messages]))  # type: ignore[arg-type] # a completion has no tools
    if len(text) > MAX_TEXT_BYTES:
        return None
    count = -(-len(text) // 3)
    packed = bytearray(4 * count)
    text = text.ljust(3 * count)  # with spaces, which a JSON text may end with
    for place in range(3):
        packed[place::4] = text[place::3]
    return struct.unpack(f"<{count}I", packed)


def decode_context(context: Sequence[int]) -> tuple[Message, ...]:
    """The messages of a context; empty if `encode_context` did not create it."""
    if len(context) > MAX_CONTEXT:
        return ()
    try:
        packed = struct.pack(f"<{len(context)}I", *context)
    except struct.error:  # a number that is negative or too large
        return ()
    text = bytearray(3 * len(context))
    for place in range(3):
        text[place::3] = packed[place::4]
    try:
        messages = _conversation.decode(text).tokenfall
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()
    return tuple(Message(each.role, each.content) for each in messages)


class _ContextEncoder(LineEncoder):
    """Adds the context to the last line. Buffers the text of the response for it, up to the size of a context."""

    def __init__(self, parsed: ParsedRequest, meta: ResponseMeta) -> None:
        super().__init__(parsed, meta)
        self._messages = parsed.request.messages
        self._is_text = True
        self._text = bytearray()

    def open(self, block: ContentBlock) -> bytes:
        self._is_text = block.kind == "text"
        return super().open(block)

    def frame_template(self) -> tuple[bytes, bytes] | None:
        return None if self._is_text else super().frame_template()

    def token(self, text: str) -> bytes:
        if not self._is_text:
            return super().token(text)
        self._add(text)
        template = super().frame_template()
        return super().token(text) if template is None else one_line(_encode(text)).join(template)

    def token_with_logprobs(self, text: str, logprobs: bytes) -> bytes:
        self._add(text)
        return super().token_with_logprobs(text, logprobs)

    def _add(self, text: str) -> None:
        if len(self._text) <= MAX_TEXT_BYTES:
            self._text += text.encode(errors="replace")

    def final_members(self, finished: Finished, timing: ResponseTiming) -> dict[str, Any]:
        reason, *durations = super().final_members(finished, timing).items()
        context = _context(self._messages, text=self._text.decode())
        return dict((reason, *([] if context is UNSET else [("context", context)]), *durations))


def _context(messages: Sequence[Message], *, text: str) -> msgspec.Raw | UnsetType:
    """The context of `messages` and the response `text`, encoded; unset if it would be too large."""
    context = encode_context((*messages, Message("assistant", text)))
    return UNSET if context is None else msgspec.Raw(_encode(context))


def with_context(dialect: Dialect) -> Dialect:
    """The dialect of `/api/generate`, given as `dialect`, with a context in relayed responses."""

    def for_upstream(parsed: ParsedRequest) -> ParsedRequest:
        parsed = dialect.for_upstream(parsed)
        messages = _joined(decode_context(parsed.options.context), parsed.request.messages)
        return replace(parsed, request=replace(parsed.request, messages=messages))

    def encoder(parsed: ParsedRequest, meta: ResponseMeta) -> Encoder:
        return _ContextEncoder(parsed, meta) if _has_context(parsed) else dialect.encoder(parsed, meta)

    def encode_response(parsed: ParsedRequest, response: ModelResponse) -> Iterator[bytes]:
        document = response_document(parsed, response)
        if _has_context(parsed):
            document = replace(document, context=_context(parsed.request.messages, text=response.choices[0].text))
        return json_pieces(document)

    return replace(
        dialect,
        decode=decode_generate_with_context,
        for_upstream=for_upstream,
        encoder=encoder,
        encode_response=encode_response,
    )


def _has_context(parsed: ParsedRequest) -> bool:
    options: OllamaOptions = parsed.options
    return not options.raw


def _joined(earlier: tuple[Message, ...], new: tuple[Message, ...]) -> tuple[Message, ...]:
    """A conversation and its continuation; a new system message replaces the old one."""
    system = tuple(each for each in new if each.role == "system")
    if system:
        earlier = tuple(each for each in earlier if each.role != "system")
    return (*system, *earlier, *new[len(system) :])
