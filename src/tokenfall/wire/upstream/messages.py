"""Encodes the messages of a request for an OpenAI-compatible upstream. Pure.

Source: the OpenAI API reference, "Create chat completion", `messages`; `reasoning_content` in assistant messages, as
DeepSeek and Moonshot require it. OpenAI's rules are stricter than those of other dialects:

- A tool message has only text, and a call with its id before it: images are moved to a user message after the results.
- Every call has a result before the next other message. Ollama's clients may omit one, or send one without a call.
- A system or assistant message is not empty.
- With `response_format: json_object`, a message contains the word JSON.

Gemini requires the signature of the first call of each message; Google documents a value for calls of another origin.
DeepSeek and Moonshot require the reasoning of earlier turns, which some clients do not keep; a space is accepted.
"""

from collections.abc import Sequence
from hashlib import sha256
from itertools import repeat
from typing import Any

from msgspec.structs import replace

from tokenfall.messages import ChatRequest, Message, ToolCall
from tokenfall.wire.tool_names import extra_of, upstream_id, upstream_name
from tokenfall.wire.upstream.rewrites import CALL_IDS, JSON_WORD, REASONING_CONTENT, REASONING_REQUIRED, SIGNATURE

IMAGE_NOTE = "The result is an image, in the user message that follows."
NO_RESULT = "There is no result."
JSON_NOTE = "Respond in JSON."
_NO_SIGNATURE = {"google": {"thought_signature": "skip_thought_signature_validator"}}
_NO_REASONING = " "
_SHORT_ID = 9

Encoded = Message | dict[str, Any]


def encoded_messages(request: ChatRequest) -> list[Encoded]:
    """All messages, in the form that the upstream accepts."""
    encoder = _MessageEncoder(request.rewrites)
    if JSON_WORD in request.rewrites and request.json_object:
        encoder.encoded.append(Message("system", JSON_NOTE))
    for message in request.messages:
        encoder.add(message)
    encoder.end_results()
    return encoder.encoded


class _MessageEncoder:
    def __init__(self, rewrites: frozenset[str]) -> None:
        self.encoded: list[Encoded] = []
        self._rewrites = rewrites
        self._pending: dict[str, None] = {}
        """Ids of the calls without a result."""
        self._images: list[str] = []
        """Images of the preceding tool results."""

    def add(self, message: Message) -> None:
        if message.role == "tool":
            self.encoded.append(self._result(message))
            return
        if self._pending or self._images:
            self.end_results()
        if message.tool_calls:
            self._pending = dict.fromkeys(call.id for call in message.tool_calls)
        content = message.content.strip() or message.tool_calls or message.images
        if content or message.role == "user" or (message.thought and REASONING_CONTENT not in self._rewrites):
            self.encoded.append(self._message(message))

    def end_results(self) -> None:
        """Add the messages between tool results and another message."""
        for call_id in self._pending:
            self.encoded.append(self._message(Message("tool", NO_RESULT, tool_call_id=call_id)))
        self._pending = {}
        if self._images:
            images, self._images = self._images, []
            self.encoded.append({"role": "user", "content": _parts("", images)})

    def _result(self, message: Message) -> Encoded:
        if message.tool_call_id not in self._pending:
            return self._message(replace(message, role="user", tool_call_id="", content=message.content or NO_RESULT))
        del self._pending[message.tool_call_id]
        if not message.images:
            return self._message(message)
        self._images += message.images
        return self._message(replace(message, content=message.content or IMAGE_NOTE, images=()))

    def _message(self, message: Message) -> Encoded:
        thought = message.thought
        if message.role == "assistant" and REASONING_REQUIRED in self._rewrites:
            thought = thought or _NO_REASONING
        if not (message.tool_calls or message.tool_call_id or message.images or thought):
            return message
        document: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.images:
            document["content"] = _parts(message.content, message.images, places=message.image_places)
        if thought and REASONING_CONTENT not in self._rewrites:
            document["reasoning_content"] = thought
        if message.tool_calls:
            document["content"] = document["content"] or None
            calls = document["tool_calls"] = [self._call(call) for call in message.tool_calls]
            if SIGNATURE in self._rewrites:
                calls[0].setdefault("extra_content", _NO_SIGNATURE)
        if message.tool_call_id:
            document["tool_call_id"] = self._id(message.tool_call_id)
        return document

    def _call(self, call: ToolCall) -> dict[str, Any]:
        function = {"name": upstream_name(call.name), "arguments": call.arguments}
        document = {"id": self._id(call.id), "type": "function", "function": function}
        extra = extra_of(call.id)
        return document if extra is None else {**document, "extra_content": extra}

    def _id(self, call_id: str) -> str:
        """The upstream's id; if it refuses others, nine letters and digits: its own id, or a hash."""
        original = upstream_id(call_id)
        if CALL_IDS not in self._rewrites:
            return original
        if len(original) == _SHORT_ID and original.isascii() and original.isalnum():
            return original
        return sha256(original.encode()).hexdigest()[:_SHORT_ID]


def _parts(text: str, images: Sequence[str], *, places: Sequence[int] = ()) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    start = 0
    for url, place in zip(images, places or repeat(len(text)), strict=False):
        parts += [*_text_parts(text[start:place]), {"type": "image_url", "image_url": {"url": url}}]
        start = place
    return parts + _text_parts(text[start:])


def _text_parts(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text else []
