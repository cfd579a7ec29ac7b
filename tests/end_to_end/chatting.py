"""What a chat's client says and hears."""

import json
from typing import Any

from tests.end_to_end.client import Client, fetch, request

DONE = b"data: [DONE]\n\n"


def chat(
    content: str, *, model: str | None = "sim:gap=1ms,tokens=3", headers: dict[str, str] | None = None, **body: Any
) -> bytes:
    """A request to `POST /chat` with one user's message."""
    document: dict[str, Any] = {"messages": [{"role": "user", "content": content}], **body}
    if model is not None:
        document["model"] = model
    data = json.dumps(document).encode()
    return request("/chat", method="POST", body=data, Content_Type="application/json", **(headers or {}))


def said(frames: bytes) -> str:
    """The text of a stream's content frames, whatever follows them."""
    lines = [line[6:] for line in frames.split(b"\n") if line.startswith(b'data: {"content":')]
    return "".join(json.loads(line)["content"] for line in lines)


def error_of(frames: bytes) -> dict[str, str]:
    """The error that ends a stream; the stream must not look whole."""
    assert b"[DONE]" not in frames
    *_, last, empty = frames.split(b"\n\n")
    assert empty == b""
    event, data = last.split(b"\n")
    assert event == b"event: error"
    error: dict[str, str] = json.loads(data.removeprefix(b"data: "))["error"]
    return error


async def history(port: int, query: str = "", **headers: str) -> list[dict[str, Any]]:
    answer = await fetch(port, request(f"/history{query}", **headers))
    assert answer.status == 200
    messages: list[dict[str, Any]] = json.loads(answer.body)
    return messages


async def begin(port: int, data: bytes) -> Client:
    """A client whose stream has begun; what it read is kept."""
    client = await Client.connect(port)
    await client.send(data)
    client.kept = await client.receive()
    return client
