import asyncio
import json
from collections.abc import Awaitable, Iterator
from itertools import repeat

import pytest

from tokenfall.api.documents import (
    MAX_BYTES,
    PART_BYTES,
    add_request_id_header,
    document,
    held,
    joined,
    refusal,
    sliced,
)
from tokenfall.errors import InvalidRequest, ResponseMemoryFull
from tokenfall.http.response import LiveStream, Response
from tokenfall.memory.leases import ResponseMemory
from tokenfall.metrics.registry import Metrics
from tokenfall.slicing.computation import at_once
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.ollama import response as ollama

from tests.doubles.requests import lines_of, request


def test_document_has_json_content_type_and_no_store() -> None:
    response = document(b"{}", status=404)

    assert (response.status, response.body) == (404, b"{}")
    assert lines_of(response.head)[1:3] == ["content-type: application/json", "cache-control: no-store"]


def test_refused_document_is_a_dialect_error_with_the_common_headers() -> None:
    incoming = request()
    incoming.id = "r-1"
    api_error = ApiError(status=429, code="rate_limited", message="later", retry_after_s=1.5)
    response = refusal(incoming, api_error, error=ollama.error)

    assert response.status == 429
    assert json.loads(response.body) == {"error": "later"}
    assert "retry-after: 2" in lines_of(response.head)
    assert incoming.response_headers == b"request-id: r-1\r\n"


def test_request_id_header_is_added_once() -> None:
    incoming = request()
    incoming.id = "r-1"
    add_request_id_header(incoming)
    add_request_id_header(incoming)

    assert incoming.response_headers == b"request-id: r-1\r\n"


def test_chunks_are_joined_in_order_with_one_slice_each() -> None:
    work = joined(iter([b"a", b"b", b"c"]))

    assert [next(work), next(work)] == [None, None]
    assert at_once(work) == b"abc"


def test_too_large_document_is_refused_and_not_produced_further() -> None:
    pieces = repeat(b" " * (MAX_BYTES // 4), 1_000)
    with pytest.raises(InvalidRequest, match="at most 16777216 bytes"):
        at_once(joined(pieces))

    assert len(list(pieces)) == 995


PIECE = b"x" * (PART_BYTES // 4)


class Pieces:
    """Yields this many chunks and counts them as they are produced."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.produced = 0

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self._count):
            self.produced += 1
            yield PIECE


class Reader:
    """A client that reads only when the test calls `take`."""

    def __init__(self) -> None:
        self.sent = b""
        self.room: asyncio.Future[None] | None = None
        self.full = asyncio.Event()

    def __call__(self, frame: bytes, /, *, is_token: bool = True) -> Awaitable[None]:
        assert not is_token
        self.sent += frame
        self.room = asyncio.get_running_loop().create_future()
        self.full.set()
        return self.room

    async def take(self) -> None:
        await self.full.wait()
        self.full.clear()
        assert self.room is not None
        self.room.set_result(None)


async def test_short_document_is_a_complete_response() -> None:
    response = await sliced(iter(Pieces(3)))

    assert isinstance(response, Response)
    assert response.body == 3 * PIECE


async def test_long_document_is_produced_as_the_client_reads_it() -> None:
    pieces, reader = Pieces(10), Reader()
    response = await sliced(iter(pieces))
    assert isinstance(response, LiveStream)
    assert lines_of(response.head.lines)[1:3] == ["content-type: application/json", "cache-control: no-store"]
    running = asyncio.ensure_future(response.run(reader))
    for slices in (1, 2):
        await reader.full.wait()
        assert (len(reader.sent), pieces.produced) == (4 * slices * len(PIECE), 4 * slices)
        await reader.take()
    await reader.take()

    assert await running == b""
    assert reader.sent == 10 * PIECE


async def test_long_document_ending_on_a_slice_is_sent_completely() -> None:
    response = await sliced(iter(Pieces(4)))
    assert isinstance(response, LiveStream)
    sent: list[bytes] = []

    assert await response.run(lambda frame, /, *, is_token=True: sent.append(frame)) == b""
    assert sent == [4 * PIECE]


async def test_failure_in_a_long_document_leaves_it_incomplete() -> None:
    response = await sliced(iter(Pieces(9)))

    assert isinstance(response, LiveStream)
    assert response.breaks
    assert response.failure(ValueError()) == b""


async def test_failure_before_the_first_slice_is_an_error_response() -> None:
    def failing() -> Iterator[bytes]:
        yield PIECE
        raise InvalidRequest("too much")

    with pytest.raises(InvalidRequest):
        await sliced(failing())


# Memory of a document


class Memory:
    """A lease of this many bytes, and the metrics that count it."""

    def __init__(self, size_bytes: int) -> None:
        self.metrics = Metrics()
        self.lease = ResponseMemory(2 * size_bytes, self.metrics).lease("a")
        self.lease.grow(size_bytes)

    @property
    def held_bytes(self) -> int:
        return self.metrics.response_memory_bytes


async def test_memory_of_a_short_document_is_released_at_once() -> None:
    memory = Memory(100)
    with memory.lease as lease:
        await sliced(iter(Pieces(3)), lease=lease)

    assert memory.held_bytes == 0


async def test_memory_of_a_long_document_is_released_when_it_has_ended() -> None:
    memory = Memory(100)
    with memory.lease as lease:
        response = await sliced(iter(Pieces(9)), lease=lease)
    assert isinstance(response, LiveStream)
    assert memory.held_bytes == 100
    assert response.ended is not None
    response.ended()

    assert memory.held_bytes == 0


@pytest.mark.parametrize("size", [0, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
async def test_complete_body_is_sent_in_slices(size: int) -> None:
    memory, body = Memory(10 * PART_BYTES), bytes(range(256)) * (size // 256) + bytes(size % 256)
    with memory.lease as lease:
        response = held(body, lease)
    if isinstance(response, Response):
        assert (response.body, memory.held_bytes) == (body, 0)
        return
    sent: list[bytes] = []
    sent.append(await response.run(lambda frame, /, *, is_token=True: sent.append(frame)))

    assert b"".join(sent) == body
    assert memory.held_bytes == size


async def test_complete_body_that_is_too_large_is_refused() -> None:
    memory = Memory(10)
    with pytest.raises(ResponseMemoryFull), memory.lease as lease:
        held(b"[]" * 6, lease)

    assert memory.held_bytes == 0
