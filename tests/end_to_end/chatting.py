"""Requests and responses of a chat client."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.end_to_end.client import Client, ClientResponse, Head, fetch, request

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


def chat(
    content: str, *, model: str | None = "sim:gap=1ms,tokens=3", headers: dict[str, str] | None = None, **body: Any
) -> bytes:
    """A request to `POST /chat` with one user's message."""
    document: dict[str, Any] = {"messages": [{"role": "user", "content": content}], **body}
    if model is not None:
        document["model"] = model
    data = json.dumps(document).encode()
    return request("/chat", method="POST", body=data, Content_Type="application/json", **(headers or {}))


def response_text(frames: bytes) -> str:
    """The text of a stream's content frames, whatever follows them."""
    lines = [line[6:] for line in frames.split(b"\n") if line.startswith(b'data: {"content":')]
    return "".join(json.loads(line)["content"] for line in lines)


def error_of(frames: bytes) -> dict[str, Any]:
    """The error that ends a stream; the stream must not look whole."""
    assert b"[DONE]" not in frames
    *_, last, empty = frames.split(b"\n\n")
    assert empty == b""
    event, data = last.split(b"\n")
    assert event == b"event: error"
    error: dict[str, Any] = json.loads(data.removeprefix(b"data: "))["error"]
    return error


async def history(port: int, query: str = "", **headers: str) -> list[dict[str, Any]]:
    response = await fetch(port, request(f"/history{query}", **headers))
    assert response.status == 200
    messages: list[dict[str, Any]] = json.loads(response.body)
    return messages


async def start_stream(port: int, data: bytes) -> Client:
    """A client whose stream has begun; it stores what it read."""
    client = await Client.connect(port)
    await client.send(data)
    client.buffered = await client.receive()
    return client


class Stream:
    """A stream under way: its turn, and the client that reads it."""

    def __init__(self, client: Client, head: Head) -> None:
        self.client = client
        self.head = head
        self.turn = head.headers.get("x-turn-id", "")

    async def frames(self) -> list[bytes]:
        """The rest of it, chunk by chunk; a heartbeat is no part of it."""
        return [chunk for chunk in await self.client.chunks() if chunk != PING]

    async def frame(self) -> bytes:
        return await self.client.chunk()


@asynccontextmanager
async def streaming(port: int, data: bytes) -> AsyncIterator[Stream]:
    """The response to `data` once its head is there."""
    async with await Client.connect(port) as client:
        await client.send(data)
        head = await client.head()
        assert head.status == 200, await client.receive()
        yield Stream(client, head)


def resume(turn: str, after: int | str | None = None, *, method: str = "GET", **headers: str) -> bytes:
    """A request for the rest of a turn."""
    if after is not None:
        headers["Last_Event_ID"] = str(after)
    return request(f"/chat/turns/{turn}", method=method, **headers)


def stop(turn: str, **headers: str) -> bytes:
    """A request for a turn to end."""
    return request(f"/chat/turns/{turn}/stop", method="POST", **headers)


async def resumed(port: int, turn: str, after: int | str | None = None, **headers: str) -> list[bytes]:
    """All frames of a turn after an event, chunk by chunk."""
    async with streaming(port, resume(turn, after, **headers)) as stream:
        assert stream.turn == turn
        return await stream.frames()


async def whole_frames(port: int, data: bytes) -> tuple[str, list[bytes]]:
    """A turn and all of its frames."""
    async with streaming(port, data) as stream:
        return stream.turn, await stream.frames()


def code_of(response: ClientResponse) -> str:
    """The code of an error that is a status."""
    assert response.status >= 400
    return str(json.loads(response.body)["code"])
