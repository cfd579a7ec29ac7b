"""Estimates the tokens of a prompt for an upstream, before the upstream reports its count. Pure.

No tokenizer is used: one token is about four bytes of UTF-8 in English, code and JSON, and three quarters of a
character in Chinese and Japanese. The estimate is meant to be between a third and three times the upstream's count.
"""

from tokenfall.messages import ChatRequest, Message

BYTES_PER_TOKEN = 4
TOKENS_PER_IMAGE = 800
"""Providers count between 85 and 1,600 tokens, by the size of the image, which is not examined here."""


def estimated_tokens(request: ChatRequest) -> int:
    """The whole prompt: messages, calls, images and tools."""
    size = sum(1 + _message_bytes(message) // BYTES_PER_TOKEN for message in request.messages)
    return size + tokens_besides(request)


def tokens_besides(request: ChatRequest) -> int:
    """Tokens other than the text of messages: images and tools."""
    images = sum(len(message.images) for message in request.messages)
    tools = sum(_bytes(tool.name) + _bytes(tool.description) + len(tool.parameters) for tool in request.tools)
    return TOKENS_PER_IMAGE * images + -(-tools // BYTES_PER_TOKEN)


def _message_bytes(message: Message) -> int:
    calls = sum(_bytes(call.name) + _bytes(call.arguments) for call in message.tool_calls)
    return _bytes(message.content) + _bytes(message.thought) + calls


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
