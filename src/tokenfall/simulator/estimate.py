"""Estimates the tokens of a prompt and of a response for an upstream that does not report its counts. Pure.

No tokenizer is used: one token is about four bytes of UTF-8 in English, code and JSON, and three quarters of a
character in Chinese and Japanese. The estimate is meant to be between a third and three times the upstream's count.
"""

from msgspec.structs import replace

from tokenfall.events import OutputEvent, ReasoningDelta, ToolCallDelta, Usage
from tokenfall.messages import ChatRequest, Message
from tokenfall.utf8 import utf8_size

BYTES_PER_TOKEN = 4
MAX_BYTES_OF_ONE_TOKEN = 8
"""If the pieces of a response have at most this mean size, each is one token; otherwise, they have several tokens."""
TOKENS_PER_IMAGE = 800
"""Providers count between 85 and 1,600 tokens, by the size of the image, which is not examined here."""


def estimated_tokens(request: ChatRequest) -> int:
    """The whole prompt: messages, calls, images and tools."""
    size = sum(1 + _message_bytes(message) // BYTES_PER_TOKEN for message in request.messages)
    return size + tokens_besides(request)


def tokens_besides(request: ChatRequest) -> int:
    """Tokens other than the text of messages: images and tools."""
    images = sum(len(message.images) for message in request.messages)
    tools = sum(utf8_size(tool.name) + utf8_size(tool.description) + len(tool.parameters) for tool in request.tools)
    return TOKENS_PER_IMAGE * images + -(-tools // BYTES_PER_TOKEN)


class ResponseEstimate:
    """Estimates the tokens of one response from the pieces that the upstream sent, in constant memory."""

    __slots__ = ("_calls", "_text", "_thought")

    def __init__(self) -> None:
        self._text = _Pieces()
        self._thought = _Pieces()
        self._calls = _Pieces()

    def add(self, event: OutputEvent) -> None:
        """Count one piece: text, reasoning, or the name or arguments of a tool call."""
        if isinstance(event, ReasoningDelta):
            self._thought.add(event.text)
        elif isinstance(event, ToolCallDelta):
            self._calls.add(event.name)
            self._calls.add(event.arguments)
        else:
            self._text.add(event.text)

    def usage(self, reported: Usage | None, *, prompt_tokens: int) -> Usage:
        """`reported`, with an estimate in place of each count that is 0. `prompt_tokens` is that of the prompt.

        No prompt has 0 tokens: a provider that reports 0 has not counted it.
        """
        usage = Usage(0, 0) if reported is None else reported
        if not usage.prompt_tokens:
            usage = replace(usage, prompt_tokens=prompt_tokens)
        if usage.completion_tokens:
            return usage
        thought = self._thought.tokens()
        output = self._text.tokens() + self._calls.tokens()
        return replace(usage, completion_tokens=output + thought, reasoning_tokens=thought)


class _Pieces:
    """The number and the size of some pieces of text."""

    __slots__ = ("_count", "_size_bytes")

    def __init__(self) -> None:
        self._count = 0
        self._size_bytes = 0

    def add(self, text: str) -> None:
        if text:
            self._count += 1
            self._size_bytes += utf8_size(text)

    def tokens(self) -> int:
        if self._size_bytes <= MAX_BYTES_OF_ONE_TOKEN * self._count:
            return self._count
        return -(-self._size_bytes // BYTES_PER_TOKEN)


def _message_bytes(message: Message) -> int:
    calls = sum(utf8_size(call.name) + utf8_size(call.arguments) for call in message.tool_calls)
    return utf8_size(message.content) + utf8_size(message.thought) + calls
