"""Requests over a limit or with unsupported features are refused, exactly at the limit and before they are stored."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.end_to_end.client import Client, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

MAX_TARGET = 8_192
MAX_HEAD = 16_384
MAX_HEADERS = 100
MAX_BODY = 1_048_576


async def status_of(port: int, data: bytes, *, split_at: int | None = None) -> int:
    """Return the status of `data`; check that a refusal closes the connection and that others keep it usable."""
    async with await Client.connect(port) as client:
        if split_at is not None:
            await client.send(data[:split_at])
            data = data[split_at:]
        await client.send(data)
        response = await client.read_response()
        if response.headers.get("connection") == "close":
            assert await client.wait_closed() == "closed"
        else:
            assert (await client.fetch(request("/health"))).status == 200
        return response.status


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("size", "status"), [(MAX_TARGET - 1, 404), (MAX_TARGET, 404), (MAX_TARGET + 1, 414)])
async def test_target_size_is_limited(port: int, size: int, status: int, split: bool) -> None:
    data = request("/" + "a" * (size - 1))
    assert await status_of(port, data, split_at=len(data) - 30 if split else None) == status


async def test_an_endless_target_is_refused_before_its_end(port: int) -> None:
    async with await Client.connect(port) as client:
        await client.send(b"GET /" + b"a" * 10 * MAX_TARGET)
        assert (await client.read_response()).status == 414


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("size", "status"), [(MAX_HEAD - 1, 200), (MAX_HEAD, 200), (MAX_HEAD + 1, 431)])
async def test_head_size_is_limited(port: int, size: int, status: int, split: bool) -> None:
    data = request("/health", X="")
    data = data[:-4] + b"a" * (size - len(data)) + b"\r\n\r\n"
    assert len(data) == size
    assert await status_of(port, data, split_at=len(data) - 2 if split else None) == status


async def test_an_endless_head_is_refused_before_its_end(port: int) -> None:
    async with await Client.connect(port) as client:
        await client.send(request("/health", X="a" * 10 * MAX_HEAD)[:-2])
        assert (await client.read_response()).status == 431


@pytest.mark.parametrize(("count", "status"), [(MAX_HEADERS, 200), (MAX_HEADERS + 1, 431)])
async def test_number_of_header_fields_is_limited(port: int, count: int, status: int) -> None:
    fields = {f"X{number}": "" for number in range(count - 1)}  # plus Host
    assert await status_of(port, request("/health", **fields)) == status


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY - 1, 400), (MAX_BODY, 400), (MAX_BODY + 1, 413)])
async def test_declared_body_size_is_limited(port: int, size: int, status: int) -> None:
    assert await status_of(port, request("/chat", method="POST", body=b" " * size)) == status


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY - 1, 400), (MAX_BODY, 400), (MAX_BODY + 1, 413)])
async def test_chunked_body_size_is_limited(port: int, size: int, status: int) -> None:
    head = request("/chat", method="POST", Transfer_Encoding="chunked")
    first, second = size // 2, size - size // 2
    body = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (first, b" " * first, second, b" " * second)
    assert await status_of(port, head + body) == status


@pytest.mark.parametrize("length", [MAX_BODY + 1, 10 * MAX_BODY, 10**17])
async def test_a_length_too_large_is_refused_before_its_body(port: int, length: int) -> None:
    async with await Client.connect(port) as client:
        await client.send(request("/chat", method="POST", Content_Length=str(length), Expect="100-continue"))
        response = await client.read_response()
        assert (response.status, response.headers["connection"]) == (413, "close")


async def test_a_chunk_too_large_is_refused_before_its_data(port: int) -> None:
    async with await Client.connect(port) as client:
        await client.send(request("/chat", method="POST", Transfer_Encoding="chunked") + b"%x\r\n" % (MAX_BODY + 1))
        assert (await client.read_response()).status == 413


async def test_chunk_extensions_and_trailers_are_bounded(port: int) -> None:
    head = request("/chat", method="POST", Transfer_Encoding="chunked")
    assert await status_of(port, head + b"1;" + b"e" * 100 + b"\r\n \r\n0\r\nA: b\r\n\r\n") == 400
    assert await status_of(port, head + b"1;" + b"e" * 300 + b"\r\n \r\n0\r\n\r\n") == 413
    assert await status_of(port, head + b"1;" + b"e" * 100_000) == 413
    assert await status_of(port, head + b"0\r\n" + b"A: b\r\n" * 2_000 + b"\r\n") == 431
    assert await status_of(port, head + b"0\r\nA: " + b"b" * 10_000) == 431


async def test_hundred_thousand_chunks_of_one_byte_take_no_memory(shared: ServerProcess) -> None:
    before = shared.resident_bytes()
    head = request("/chat", method="POST", Transfer_Encoding="chunked")
    assert await status_of(shared.port, head + b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n") == 400
    assert shared.resident_bytes() - before < 4 * MAX_BODY


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/health", Expect="a-miracle"), 417),
        (request("/chat", method="POST", Transfer_Encoding="gzip, chunked"), 501),
        (request("/chat", method="POST", Transfer_Encoding="gzip"), 400),  # RFC 9112, section 6.3: chunked is not last
        (request("/health").replace(b"HTTP/1.1", b"HTTP/2.0"), 505),
    ],
)
async def test_unsupported_requests_have_their_own_status(port: int, data: bytes, status: int) -> None:
    assert await status_of(port, data) == status


async def test_incomplete_bodies_of_many_connections_are_bounded(serve: Serve) -> None:
    server = serve(REQUEST_MEMORY="200000")
    large = request("/api/data", method="POST", Content_Length="60000") + b" " * 40_000
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await Client.connect(server.port)) for _ in range(3)]
        for client in clients:
            await client.send(large)
        refused = {asyncio.create_task(client.read_response()) for client in clients}
        (done,), waiting = await asyncio.wait(refused, return_when=asyncio.FIRST_COMPLETED)
        response = done.result()
        assert response.status == 503
        assert response.headers["retry-after"] == "1"
        assert b"overloaded" in response.body
        async with await Client.connect(server.port) as another:
            small = request("/api/data", method="POST", Content_Length="16000") + b" " * 15_000
            await another.send(small)
            await another.send(b" " * 1_000)
            assert (await another.read_response()).status == 405
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with await Client.connect(server.port) as later:
        assert (await later.fetch(large + b" " * 20_000)).status == 405


async def test_refused_client_that_still_sends_gets_the_response_and_no_reset(port: int) -> None:
    async with await Client.connect(port) as client:
        await client.send(request("/chat", method="POST", Content_Length=str(2 * MAX_BODY)))
        for _ in range(8):
            await client.send(b" " * 65_536)
        assert (await client.read_response()).status == 413


@pytest.mark.parametrize(
    "data",
    [
        request("/health", Expect="a-miracle"),
        request("/chat", method="POST", Content_Length=str(2 * MAX_BODY)),
        b"nonsense\r\n\r\n",
        request("/" + "a" * 10_000),
    ],
)
async def test_refusal_of_a_request_is_a_problem_document(port: int, data: bytes) -> None:
    async with await Client.connect(port) as client:
        response = await client.fetch(data)
        assert response.headers["content-type"] == "application/problem+json"
        assert b'"code":"' in response.body
        assert response.headers["date"]
