"""The texts of one streamed response, read with each client."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.sdk.prompts import MESSAGES, MODEL, QUESTION

ReadTexts = Callable[[Any], AsyncIterator[str]]


async def openai_chat(client: Any) -> AsyncIterator[str]:
    """Works with Groq's client too."""
    async with await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream:
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


async def openai_responses(client: Any) -> AsyncIterator[str]:
    async with await client.responses.create(model=MODEL, input=QUESTION, stream=True) as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                yield event.delta


async def anthropic_messages(client: Any) -> AsyncIterator[str]:
    async with client.messages.stream(model=MODEL, messages=MESSAGES, max_tokens=1_000_000) as stream:
        async for text in stream.text_stream:
            yield text


async def ollama_chat(client: Any) -> AsyncIterator[str]:
    async for part in await client.chat(model=MODEL, messages=MESSAGES, stream=True):
        if part.done:
            return
        yield part.message.content


async def ollama_generate(client: Any) -> AsyncIterator[str]:
    async for part in await client.generate(model=MODEL, prompt=QUESTION, stream=True):
        if part.done:
            return
        yield part.response
