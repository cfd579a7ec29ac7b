"""Chat turns on the simulator."""

import asyncio
import json

import pytest

from tokenfall.simulator.paragraph import WORDS

from tests.end_to_end.chatting import DONE, chat, history, response_text
from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.in_process import eventually, running


async def test_response_arrives_token_by_token_and_is_in_the_history(port: int) -> None:
    async with await Client.connect(port) as client:
        await client.send(chat("Hello?", model="sim:gap=120ms,tokens=3", conversation="by-token"))
        head = await client.head()
        assert head.status == 200
        assert head.headers["content-type"] == "text/event-stream"
        assert head.headers["cache-control"] == "no-cache, no-transform"
        assert head.headers["x-accel-buffering"] == "no"
        assert head.headers["x-conversation-id"] == "by-token"
        frames = [await client.chunk() for _ in range(3)]
        words = [WORDS[0], f" {WORDS[1]}", f" {WORDS[2]}"]
        assert frames == [
            b'id: %d\ndata: {"content":"%b"}\n\n' % (at, word.encode()) for at, word in enumerate(words, 1)
        ]
        assert client.buffered == b"", "the end arrived without its gap"
        assert await client.chunks() == [DONE]
        question, response = await history(port, "?conversation=by-token")
        assert (question["role"], question["content"]) == ("user", "Hello?")
        assert (response["role"], response["content"]) == ("assistant", "".join(words))
        assert response["turn"] == question["turn"] == head.headers["x-turn-id"]
        assert "status" not in response


async def test_each_token_arrives_in_its_own_read(port: int) -> None:
    async with await Client.connect(port) as client:
        await client.send(chat("x", model="sim:gap=120ms,tokens=3"))
        await client.head()
        first, second = await client.receive(), await client.receive()
        assert (first.count(b"data: "), second.count(b"data: ")) == (1, 1)
        assert first.endswith(b"\r\n")


async def test_non_streaming_chat_is_one_document(port: int) -> None:
    data = chat("One two three", stream=False, conversation="whole", model="sim:gap=1ms,tokens=4")
    response = await fetch(port, data)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-conversation-id"] == "whole"
    assert json.loads(response.body) == {
        "content": " ".join(WORDS[:4]),
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        "model": "sim",
        "conversation": "whole",
    }


async def test_max_tokens_ends_the_response_with_reason_length(port: int) -> None:
    response = await fetch(port, chat("x", stream=False, max_tokens=2, model="sim:gap=1ms,tokens=9"))
    document = json.loads(response.body)
    assert (document["finish_reason"], document["usage"]["completion_tokens"]) == ("length", 2)


@pytest.mark.parametrize("disconnect", ["close", "reset"])
async def test_disconnected_chat_is_stored_as_interrupted(port: int, disconnect: str) -> None:
    name = f"disconnect-by-{disconnect}"
    client = await Client.connect(port)
    await client.send(chat("And then?", model="sim:ttft=1ms,gap=50ms,tokens=1000", conversation=name))
    await client.head()
    received_text = response_text(await client.chunk() + await client.chunk())
    client.close() if disconnect == "close" else client.reset()
    async with asyncio.timeout(5):
        while (await fetch(port, request(f"/history?conversation={name}"))).status == 404:
            pass
    question, response = await history(port, f"?conversation={name}")
    assert question["content"] == "And then?"
    assert response["status"] == "interrupted"
    assert response["content"].startswith(received_text)
    assert len(response["content"]) < 500
    listed = json.loads((await fetch(port, request("/conversations"))).body)
    assert {"id": name, "messages": 2}.items() <= next(each for each in listed if each["id"] == name).items()


async def test_disconnect_before_the_first_token_leaves_no_turn() -> None:
    async with running() as here:
        client = await Client.connect(here.port)
        await client.send(chat("x", model="sim:ttft=30s"))
        await eventually(lambda: here.resources()["tasks"] == 1, here.resources)
        client.reset()
        await here.wait_idle()
        assert await history(here.port) == []


async def test_context_grows_and_is_trimmed_to_complete_turns() -> None:
    async with running(CONTEXT_MESSAGES="4") as here:
        counts = []
        for _ in range(5):
            response = await fetch(here.port, chat("one two", stream=False, model="sim:gap=0ms,tokens=3"))
            counts.append(json.loads(response.body)["usage"]["prompt_tokens"])
        assert counts[:3] == [2, 7, 12]
        assert counts[3:] == [12, 12], "the prompt is not the question (2 words) and two earlier turns (5 words each)"


async def test_concurrent_turns_are_stored_completely() -> None:
    async with running() as here:
        requests = [chat(f"question {number}", model="sim:gap=1ms~1,tokens=1..20") for number in range(40)]
        responses = await asyncio.gather(*(fetch(here.port, data) for data in requests))
        messages = await history(here.port)
        assert len(messages) == 80
        for question, reply in zip(messages[::2], messages[1::2], strict=True):
            assert (question["role"], reply["role"]) == ("user", "assistant")
            assert question["turn"] == reply["turn"]
            number = int(question["content"].removeprefix("question "))
            assert reply["content"] == response_text(responses[number].body)


async def test_history_is_cleared_and_bounded() -> None:
    async with running(HISTORY_LIMIT="4") as here:
        for number in range(4):
            await fetch(here.port, chat(f"q{number}", conversation="a"))
        kept = [message["content"] for message in await history(here.port, "?conversation=a")]
        assert [text for text in kept if text.startswith("q")] == ["q2", "q3"]
        assert (await fetch(here.port, request("/history?conversation=a", method="DELETE"))).status == 204
        assert (await fetch(here.port, request("/history?conversation=a"))).status == 404
        assert (await fetch(here.port, request("/history?conversation=a", method="DELETE"))).status == 404
        assert await history(here.port) == [], "the history of the default conversation is not empty"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b'{"messages":[]}', b'{"messages":[{"role":"user"}]}', b'{"messages":"x"}',
        b'{"messages":[{"role":"user","content":""}]}', b'{"messages":[{"role":"robot","content":"x"}]}',
        b'{"messages":[{"role":"system","content":"x"}]}', b"[" * 100_000, b'{"messages":' + b"[" * 100_000,
        b'{"messages":[{"role":"user","content":"\\ud800"}]}', b'{"messages":[{"role":"user","content":"\xff"}]}',
        b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}', b"\xff\xfe{\x00}\x00",
        b'{"messages":[{"role":"user","content":"x"}],"max_tokens":' + b"9" * 5_000 + b"}",
        b'{"messages":[{"role":"user","content":"x"}],"max_tokens":0}',
        b'{"messages":[{"role":"user","content":"x"}]} x',
        b'{"messages":[{"role":"user","content":"x"}],"conversation":"a b"}',
        b'{"messages":[{"role":"user","content":"x"}],"conversation":"a\\n"}',
        b'{"messages":[{"role":"user","content":"x"}],"conversation":"' + b"a" * 65 + b'"}',
    ],
    ids=lambda body: repr(body[:60]),
)  # fmt: skip
async def test_invalid_chat_body_is_400_with_a_code(port: int, body: bytes) -> None:
    response = await fetch(port, request("/chat", method="POST", body=body))
    assert response.status == 400
    assert json.loads(response.body)["code"] == "invalid_request"


async def test_error_before_the_first_token_has_the_response_headers(port: int) -> None:
    data = chat("x", model="sim:gap=x", headers={"X_Request_Id": "mine", "Origin": "https://page.example"})
    response = await fetch(port, data)
    assert response.status == 400
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["access-control-allow-origin"] == "*"
    assert json.loads(response.body)["request_id"] == "mine"


async def test_text_with_line_breaks_and_frames_stays_one_frame(port: int) -> None:
    content = 'a\r\ndata: [DONE]\n\nevent: error\x00 </script>\u2028 "é🙂'
    await fetch(port, chat(content, conversation="breaks"))
    assert (await history(port, "?conversation=breaks"))[0]["content"] == content
