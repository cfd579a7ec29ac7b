"""Large non-streaming upstream responses are relayed in slices at the speed of the client."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from tests.doubles.hostile_requests import post
from tests.end_to_end.client import Client, fetch
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import eventually
from tests.end_to_end.test_upstream import relaying
from tests.end_to_end.upstream import Exchange, Script, scripted

SIZE = 8_000_000
CLIENTS = 8
HELD_BYTES = 262_144
"""Limit per connection, without kernel buffers."""

MALLOC_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
BODY = b'{"id":"' + b"x" * (SIZE - 9) + b'"}'

CHAT = post("/v1/chat/completions", {"model": "up-1", "messages": []})
RELAYED = {
    "chat": CHAT,
    "completions": post("/v1/completions", {"model": "up-1", "prompt": "Hi"}),
    "responses": post("/v1/responses", {"model": "up-1", "input": "Hi"}),
    "embeddings": post("/v1/embeddings", {"model": "up-1", "input": "Hi"}),
}


def whole(body: bytes = BODY, *, length: int | None = None) -> Script:
    async def script(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (length or len(body))
        await exchange.write(head + body)

    return script


class EndlessBody:
    """Sends an endless body and counts the bytes that the server reads."""

    def __init__(self) -> None:
        self.taken = 0

    async def __call__(self, exchange: Exchange) -> None:
        exchange.writer.transport.set_write_buffer_limits(high=0)
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n[" % SIZE)
        self.taken = 1
        while self.taken < SIZE:
            await exchange.write(b" " * 10_000)
            self.taken += 10_000


@pytest.mark.parametrize("route", RELAYED)
async def test_large_response_arrives_unchanged(route: str) -> None:
    async with relaying() as (here, upstream):
        upstream.script = whole()
        response = await fetch(here.port, RELAYED[route])

        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        assert response.body == BODY


@pytest.mark.parametrize("route", RELAYED)
async def test_client_that_reads_nothing_occupies_at_most_a_few_slices(serve: Serve, route: str) -> None:
    async with scripted() as upstream:
        upstream.script = whole()
        settings = {"UPSTREAM_URL": upstream.url, "UPSTREAM_API_KEY": "k", "API_KEY": "k", "UPSTREAM_WARM": "0"}
        server = serve(**settings, **MALLOC_SETTINGS)
        clients = AsyncExitStack()
        data = RELAYED[route].replace(b"\r\n", b"\r\nAuthorization: Bearer k\r\n", 1)

        async def request_once() -> None:
            client = await clients.enter_async_context(await Client.connect(server.port, receive_buffer=4_096))
            await client.send(data)
            assert (await client.head()).status == 200

        async with clients:
            for _ in range(2):  # loads modules
                await request_once()
            before = server.resident_bytes()
            for _ in range(CLIENTS):
                await request_once()

            assert (server.resident_bytes() - before) / CLIENTS < HELD_BYTES
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )


async def test_slow_client_stops_the_reading_of_its_upstream() -> None:
    async with relaying() as (here, upstream):
        upstream.script = slow = EndlessBody()
        async with await Client.connect(here.port, receive_buffer=4_096) as client:
            await client.send(CHAT)
            assert (await client.head()).status == 200
            taken = -1
            while taken != slow.taken:
                taken = slow.taken
                await asyncio.sleep(0.3)  # longer than any pause of an upstream that is being read

            assert taken < SIZE / 2
        await eventually(lambda: upstream.open_connections == 0, lambda: "the upstream's connection is open")


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        (whole(BODY[:-1], length=len(BODY)), "a body that is cut"),
        (whole(BODY[:-1]), "JSON that is cut"),
    ],
    ids=["body", "json"],
)
async def test_large_response_that_is_incomplete_never_looks_complete(script: Script, cause: str) -> None:
    async with relaying() as (here, upstream):

        async def cut(exchange: Exchange) -> None:
            await script(exchange)
            exchange.writer.close()

        upstream.script = cut
        async with await Client.connect(here.port) as client:
            await client.send(CHAT)
            assert (await client.head()).status == 200
            with pytest.raises((ConnectionError, EOFError)):
                await client.chunks()
        assert sum(here.server.metrics.upstream_errors.values()) == 1, cause


async def test_large_response_of_invalid_json_is_502() -> None:
    async with relaying() as (here, upstream):
        upstream.script = whole(b"<html>" + b"x" * 100_000)
        response = await fetch(here.port, CHAT)

        assert (response.status, json.loads(response.body)["error"]["code"]) == (502, "upstream_malformed")


async def test_client_disconnect_ends_the_upstream_response() -> None:
    async with relaying() as (here, upstream):
        upstream.script = EndlessBody()
        async with await Client.connect(here.port, receive_buffer=4_096) as client:
            await client.send(CHAT)
            await client.head()
        await eventually(lambda: upstream.open_connections == 0, lambda: "the upstream's connection is open")
