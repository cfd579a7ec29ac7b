"""Ollama's `context`, embeddings and log probabilities on an OpenAI-compatible upstream."""

import json
from typing import Any

import pytest

from tests.end_to_end.client import ClientResponse, fetch, request
from tests.end_to_end.test_upstream import relaying
from tests.end_to_end.upstream import DONE, FINISH, Exchange, event, respond_with


async def generate(port: int, **fields: Any) -> dict[str, Any]:
    """Return the response of `/api/generate`, or the last line of its stream."""
    body = json.dumps({"model": "up-1", **fields})
    response = await fetch(port, request("/api/generate", method="POST", body=body, Content_Type="application/json"))
    assert response.status == 200, response.body
    last: dict[str, Any] = json.loads(response.body.splitlines()[-1])
    return last


@pytest.mark.parametrize("stream", [True, False])
async def test_returned_context_continues_the_conversation(stream: bool) -> None:
    async with relaying() as (here, upstream):
        first = await generate(here.port, prompt="one", system="Be kind.", stream=stream)
        second = await generate(here.port, prompt="two", context=first["context"], stream=stream)
        await generate(here.port, prompt="three", context=second["context"], stream=stream)
        await generate(here.port, prompt="four", context=[1, 2, 3], stream=stream)

        sent = [[each["content"] for each in exchange.body["messages"]] for exchange in upstream.exchanges]
        assert sent == [
            ["Be kind.", "one"],
            ["Be kind.", "one", "Hello", "two"],
            ["Be kind.", "one", "Hello", "two", "Hello", "three"],
            ["four"],
        ]


async def test_simulator_accepts_any_context_and_returns_none() -> None:
    async with relaying() as (here, upstream):
        last = await generate(here.port, model="sim:gap=0ms,tokens=2", prompt="one", context=[1, 2, 3])

        assert last["done"] is True
        assert "context" not in last
        assert upstream.exchanges == []


async def embed(body: bytes, *, route: str, **fields: Any) -> ClientResponse:
    """Request embeddings from a server whose upstream responds with `body`."""

    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with relaying() as (here, upstream):
        upstream.script = script
        return await fetch(here.port, request(route, method="POST", body=json.dumps({"model": "up-1", **fields})))


VECTORS = b'{"object":"list","data":[{"embedding":[0.10, -2e-3]},{"embedding":[1]}]}'


async def test_embeddings_are_relayed_without_changing_digits() -> None:
    response = await embed(VECTORS, route="/api/embed", input=["a", "b"])

    assert response.status == 200
    assert b'"embeddings":[[0.10, -2e-3],[1]]' in response.body


async def test_embeddings_are_in_the_order_of_the_inputs_with_the_upstreams_count() -> None:
    body = b'{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":77}}'
    relayed = json.loads((await embed(body, route="/api/embed", input=["a", "b"])).body)

    assert (relayed["embeddings"], relayed["prompt_eval_count"]) == ([[1], [2]], 77)


async def test_single_embedding_is_relayed() -> None:
    response = await embed(b'{"data":[{"embedding":[0.10, -2e-3]}]}', route="/api/embeddings", prompt="a")

    assert (response.status, response.body) == (200, b'{"embedding":[0.10, -2e-3]}')


@pytest.mark.parametrize("sent", [2_048, 8])
async def test_dimensions_are_sent_to_the_upstream(sent: int) -> None:
    async def script(exchange: Exchange) -> None:
        body = b'{"data":[{"embedding":[1]}]}'
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with relaying() as (here, upstream):
        upstream.script = script
        body = json.dumps({"model": "up-1", "input": "a", "dimensions": sent})
        await fetch(here.port, request("/api/embed", method="POST", body=body))

        assert json.loads(upstream.exchanges[-1].raw)["dimensions"] == sent


@pytest.mark.parametrize(
    "body", [b'{"data":[{"embedding":"AAAA"}]}', b'{"data":[{}]}', b'{"data":1}', b"<html>", VECTORS]
)
async def test_invalid_embeddings_are_malformed(body: bytes) -> None:
    assert (await embed(body, route="/api/embed", input="a")).status == 502


LOGPROB_CHUNK = (
    b'{"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":{"content":[{"token":"Hi","logprob":-0.5,'
    b'"bytes":[72,105],"top_logprobs":[{"token":"Ho","logprob":-2,"bytes":[72,111]}]}]}}]}'
)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_log_probabilities_are_requested_and_relayed(path: str, stream: bool) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(event(LOGPROB_CHUNK), FINISH, DONE)
        await exchange.send_last_chunk()

    async with relaying() as (here, upstream):
        upstream.script = script
        fields = {"prompt": "x", "messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 1}
        body = json.dumps({"model": "up-1", "stream": stream, **fields})
        response = await fetch(here.port, request(path, method="POST", body=body))
        lines = [json.loads(line) for line in response.body.splitlines()]

        [token] = lines[0]["logprobs"]
        assert (token["token"], token["bytes"], token["top_logprobs"][0]["token"]) == ("Hi", [72, 105], "Ho")
        assert (upstream.exchanges[0].body["logprobs"], upstream.exchanges[0].body["top_logprobs"]) == (True, 1)


async def test_request_is_repeated_without_refused_log_probabilities() -> None:
    async def script(exchange: Exchange) -> None:
        if "logprobs" in exchange.body:
            await exchange.respond(400, b'{"error":{"message":"`logprobs` is not supported with this model"}}')
        else:
            await respond_with(b"Hi")(exchange)

    async with relaying() as (here, upstream):
        upstream.script = script
        last = await generate(here.port, prompt="x", logprobs=True, stream=False)

        assert (last["response"], "logprobs" in last) == ("Hi", False)
        assert len(upstream.exchanges) == 2
