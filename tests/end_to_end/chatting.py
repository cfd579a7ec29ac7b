"""Chat requests, and readers of chat responses."""

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
    """Return a request to `POST /chat` with one user message."""
    document: dict[str, Any] = {"messages": [{"role": "user", "content": content}], **body}
    if model is not None:
        document["model"] = model
    data = json.dumps(document).encode()
    return request("/chat", method="POST", body=data, Content_Type="application/json", **(headers or {}))


def response_text(frames: bytes) -> str:
    """Return the joined text of the content frames."""
    lines = [line[6:] for line in frames.split(b"\n") if line.startswith(b'data: {"content":')]
    return "".join(json.loads(line)["content"] for line in lines)


def error_of(frames: bytes) -> dict[str, Any]:
    """Return the error of the stream's last frame, and check that the stream has no `[DONE]`."""
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
    """Send `data` and return the client once the response has begun; the data read stays buffered."""
    client = await Client.connect(port)
    await client.send(data)
    client.buffered = await client.receive()
    return client


class Stream:
    """A streaming response: its head, its turn id, and the client that reads it."""

    def __init__(self, client: Client, head: Head) -> None:
        self.client = client
        self.head = head
        self.turn = head.headers.get("x-turn-id", "")

    async def frames(self) -> list[bytes]:
        """Return the remaining chunks without heartbeats."""
        return [chunk for chunk in await self.client.chunks() if chunk != PING]

    async def frame(self) -> bytes:
        return await self.client.chunk()


@asynccontextmanager
async def streaming(port: int, data: bytes) -> AsyncIterator[Stream]:
    """Send `data` and yield the stream once its head with status 200 is received."""
    async with await Client.connect(port) as client:
        await client.send(data)
        head = await client.head()
        assert head.status == 200, await client.receive()
        yield Stream(client, head)


def resume(turn: str, after: int | str | None = None, *, method: str = "GET", **headers: str) -> bytes:
    """Return a request that resumes a turn after an event."""
    if after is not None:
        headers["Last_Event_ID"] = str(after)
    return request(f"/chat/turns/{turn}", method=method, **headers)


def stop(turn: str, **headers: str) -> bytes:
    """Return a request that stops a turn."""
    return request(f"/chat/turns/{turn}/stop", method="POST", **headers)


async def resumed(port: int, turn: str, after: int | str | None = None, **headers: str) -> list[bytes]:
    """Resume a turn after an event and return all its frames."""
    async with streaming(port, resume(turn, after, **headers)) as stream:
        assert stream.turn == turn
        return await stream.frames()


async def whole_frames(port: int, data: bytes) -> tuple[str, list[bytes]]:
    """Send a chat request and return the turn id and all frames."""
    async with streaming(port, data) as stream:
        return stream.turn, await stream.frames()


def code_of(response: ClientResponse) -> str:
    """Return the code of an error response."""
    assert response.status >= 400
    return str(json.loads(response.body)["code"])
