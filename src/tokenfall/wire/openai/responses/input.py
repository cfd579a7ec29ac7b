"""Converts the `input` items of `POST /v1/responses` to messages. Pure.

Source: the OpenAI API reference, "Create a model response", `input`. Items of other types (`web_search_call`, for
example) are accepted and ignored.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.messages import Message, Role, ToolCall
from tokenfall.wire.dialect import decoded_part
from tokenfall.wire.openai.responses.item_ids import DIGEST_DIGITS, NUMBER_DIGITS, digest_of

_CALL_KINDS = ("fc", "ctc")
_ITEM_KINDS = ("msg", "rs", *_CALL_KINDS)
_HEXADECIMAL = frozenset("0123456789abcdef")
_OUTPUT_PARTS = ("output_text", "refusal")
_INPUT_PARTS = ("input_text", "input_image", "input_file", "input_audio", *_OUTPUT_PARTS)


class _Kind(Struct):
    type: str | None = None
    id: str | None = None
    role: Raw = msgspec.field(default_factory=Raw)

    def name(self) -> str:
        """The type of the item. Messages and references need not name it."""
        return self.type or ("item_reference" if self.id is not None and not bytes(self.role) else "message")


class _Part(Struct):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None


class MessageItem(Struct):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Part]


class CallItem(Struct):
    call_id: str
    name: str
    arguments: str


class _CustomCall(Struct):
    call_id: str
    name: str
    input: str


class CallOutputItem(Struct):
    call_id: str
    output: str | list[_Part]


_kind_decoder = msgspec.json.Decoder(_Kind)
_message_decoder = msgspec.json.Decoder(MessageItem)
_call_decoder = msgspec.json.Decoder(CallItem)
_custom_decoder = msgspec.json.Decoder(_CustomCall)
_output_decoder = msgspec.json.Decoder(CallOutputItem)


def messages_of(given: str | list[Raw], tools: Iterable[str] = ()) -> list[Message]:
    """The messages of an `input`, oldest first. Raises `InvalidRequest` with the invalid item.

    `tools` are the names of the request's tools, by which references to calls are resolved.
    """
    if isinstance(given, str):
        return [Message("user", given)]
    conversation = _Conversation({digest_of(name): name for name in tools})
    for number, item in enumerate(given):
        place = f"input[{number}]"
        try:
            conversation.add(item, place)
        except InvalidRequest as error:
            if error.param is not None and error.param.startswith("input"):
                raise
            at = f"{place}.{error.param}" if error.param else place
            text = error.message.removeprefix(f"{error.param or 'the body'}: ")
            raise InvalidRequest(f"{at}: {text}", param=at) from None
    conversation.check()
    return conversation.messages


class _Conversation:
    """Builds messages from items in order. Consecutive calls, and an assistant text before them, become one message."""

    def __init__(self, tools: dict[str, str]) -> None:
        """`tools`: the names of the tools by their digests."""
        self.messages: list[Message] = []
        self._tools = tools
        self._called: set[str] = set()
        self._open: dict[str, None] = {}
        self._calls: list[ToolCall] = []
        self._adders: dict[str, Callable[[Raw, str], None]] = {
            "message": self._add_message,
            "function_call": self._add_call,
            "function_call_output": self._add_output,
            "custom_tool_call": self._add_custom_call,
            "custom_tool_call_output": self._add_output,
        }

    def add(self, item: Raw, place: str) -> None:
        kind = decoded_part(_kind_decoder, item)
        name = kind.name()
        if name == "item_reference":
            self._add_referenced(kind.id or "")
            return
        adder = self._adders.get(name)
        if adder is not None:
            adder(item, place)

    def check(self) -> None:
        """Call after the last item. Raises `InvalidRequest` if a call has no output."""
        self._end_calls()
        for call_id in self._open:
            raise InvalidRequest(f"No tool output found for function call {call_id[:80]}.", param="input")

    def _add_message(self, item: Raw, place: str) -> None:
        message = decoded_part(_message_decoder, item)
        self._end_calls()
        role: Role = "system" if message.role == "developer" else message.role
        text, images = _text_and_images(
            message.content, f"{place}.content", allowed=_OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS
        )
        self.messages.append(Message(role, text, images=images))

    def _add_call(self, item: Raw, place: str) -> None:
        call = decoded_part(_call_decoder, item)
        self._begin_call(ToolCall(call.call_id, call.name, call.arguments))

    def _add_referenced(self, item: str) -> None:
        """Resolve an `item_reference`. Content is not stored: only the call is restored, from the item's id."""
        kind, _, suffix = item.partition("_")
        least = NUMBER_DIGITS + (DIGEST_DIGITS if kind in _CALL_KINDS else 0)
        if kind not in _ITEM_KINDS or len(suffix) <= least or not _HEXADECIMAL.issuperset(suffix):
            raise InvalidRequest(f"Item with id '{item[:80]}' not found.", param="input")
        if kind in _CALL_KINDS:
            number, digest = suffix[:-DIGEST_DIGITS], suffix[-DIGEST_DIGITS:]
            self._begin_call(ToolCall(f"call_{number}", self._tools.get(digest, ""), "", custom=kind == "ctc"))

    def _add_custom_call(self, item: Raw, place: str) -> None:
        call = decoded_part(_custom_decoder, item)
        self._begin_call(ToolCall(call.call_id, call.name, call.input, custom=True))

    def _begin_call(self, call: ToolCall) -> None:
        self._called.add(call.id)
        self._open[call.id] = None
        if not self._calls and (not self.messages or self.messages[-1].role != "assistant"):
            self.messages.append(Message("assistant", ""))
        self._calls.append(call)

    def _end_calls(self) -> None:
        """Add the pending consecutive calls to the last message."""
        if self._calls:
            text = self.messages[-1].content
            self.messages[-1] = Message("assistant", text, tool_calls=(*self.messages[-1].tool_calls, *self._calls))
            self._calls = []

    def _add_output(self, item: Raw, place: str) -> None:
        output = decoded_part(_output_decoder, item)
        self._end_calls()
        if output.call_id not in self._called:
            message = f"No tool call found for function call output with call_id {output.call_id[:80]}."
            raise InvalidRequest(message, param="input")
        self._open.pop(output.call_id, None)
        text, images = _text_and_images(output.output, f"{place}.output", allowed=_INPUT_PARTS)
        self.messages.append(Message("tool", text, tool_call_id=output.call_id, images=images))


def _text_and_images(
    content: str | list[_Part], place: str, *, allowed: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """The text of a content, its parts joined, and the URLs of its images. Raises `InvalidRequest` for other types."""
    if isinstance(content, str):
        return content, ()
    for number, part in enumerate(content):
        if part.type not in allowed:
            *others, last = (f"'{each}'" for each in allowed)
            raise InvalidRequest(
                f"Invalid value: '{part.type[:80]}'. Supported values are: {', '.join(others)} and {last}.",
                param=f"{place}[{number}]",
            )
    images = tuple(part.image_url for part in content if part.image_url is not None)
    return "".join(part.refusal if part.type == "refusal" else part.text for part in content), images
