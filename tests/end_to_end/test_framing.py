"""What the routes say on the wire, byte by byte."""

import asyncio
import json
import time
from email.utils import parsedate_to_datetime

import pytest

from tokenfall.simulator.paragraph import PARAGRAPH, WORDS

from tests.end_to_end.client import Client, fetch, request

STREAMS = ("/stream-sse", "/stream-ndjson", "/stream-loop")


def document(word: str, *, finish: bool = False) -> bytes:
    return b'{"content":"%b","finish":%b}' % (word.encode(), b"true" if finish else b"false")


def frames(path: str, count: int) -> list[bytes]:
    """The frames of a stream of `count` tokens, by API.md."""
    words = [WORDS[number % len(WORDS)] for number in range(count)]
    if path == "/stream-loop":
        return [b"data: %b\n\n" % word.encode() for word in words]
    documents = [*(document(f"{word} ") for word in words), document("", finish=True)]
    form = b"data: %b\n\n" if path == "/stream-sse" else b"%b\n"
    return [form % each for each in documents]


@pytest.mark.parametrize("path", STREAMS)
async def test_stream_has_one_chunk_per_token_and_stays_alive(port: int, path: str) -> None:
    async with await Client.connect(port) as client:
        for count in (3, 0, len(WORDS) + 1):  # the second and third on the connection of the first
            await client.send(request(f"{path}?gap=1ms&tokens={count}"))
            head = await client.head()
            assert head.status == 200
            assert head.version == "HTTP/1.1"
            assert head.headers["content-type"] == (
                "application/x-ndjson" if path == "/stream-ndjson" else "text/event-stream"
            )
            assert head.headers["cache-control"] == "no-cache, no-transform"
            assert head.headers["x-accel-buffering"] == "no"
            assert head.headers["transfer-encoding"] == "chunked"
            assert not head.headers.keys() & {"content-length", "content-encoding", "connection"}
            assert await client.chunks() == frames(path, count)
        assert (await client.fetch(request("/health"))).body == b"OK"
        assert client.buffered == b""


@pytest.mark.parametrize("path", STREAMS)
async def test_an_http_1_0_client_gets_no_chunked_coding_and_the_end_is_the_connections(port: int, path: str) -> None:
    async with await Client.connect(port) as client:
        await client.send(b"GET %b?gap=1ms&tokens=3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % path.encode())
        head = await client.head()
        assert "transfer-encoding" not in head.headers
        assert head.headers["connection"] == "close"
        assert await client.read_to_end() == b"".join(frames(path, 3))


@pytest.mark.parametrize("path", STREAMS)
async def test_connection_close_ends_the_connection_after_the_stream(port: int, path: str) -> None:
    async with await Client.connect(port) as client:
        await client.send(request(f"{path}?gap=1ms&tokens=2", Connection="close"))
        answer = await client.read_response()
        assert answer.headers["connection"] == "close"
        assert answer.body == b"".join(frames(path, 2))
        assert await client.wait_closed() == "closed"


@pytest.mark.parametrize("path", STREAMS)
async def test_each_token_arrives_alone(port: int, path: str) -> None:
    expected = frames(path, 4)
    async with await Client.connect(port) as client:
        await client.send(request(f"{path}?gap=120ms&tokens=4"))
        await client.head()
        reads = [await client.receive() for _ in range(4)]
        assert reads[:3] == [b"%x\r\n%b\r\n" % (len(frame), frame) for frame in expected[:3]]


async def test_the_first_byte_of_the_head_does_not_wait_for_the_first_token(port: int) -> None:
    async with await Client.connect(port) as client:
        await client.send(request("/stream-sse?ttft=2s&gap=1ms&tokens=1"))
        begun = time.monotonic()
        await client.head()
        assert time.monotonic() - begun < 1.5
        assert client.buffered == b""


async def test_stream_sends_the_complete_paragraph_by_default(port: int) -> None:
    answer = await fetch(port, request("/stream-ndjson?gap=1ms"))
    documents = [json.loads(line) for line in answer.body.splitlines()]
    assert "".join(each["content"] for each in documents) == PARAGRAPH + " "
    assert [each["finish"] for each in documents] == [False] * len(WORDS) + [True]


async def test_stream_loop_repeats_its_text(port: int) -> None:
    async with await Client.connect(port) as client:
        await client.send(request("/stream-loop?gap=0ms"))
        await client.head()
        sent = [await client.chunk() for _ in range(2 * len(WORDS))]
        assert sent == frames("/stream-loop", 2 * len(WORDS))


async def test_non_streaming_responses_share_a_connection_and_have_length_and_date(port: int) -> None:
    async with await Client.connect(port) as client:
        bodies = set()
        for _ in range(3):
            answer = await client.fetch(request("/api/data"))
            assert answer.status == 200
            assert answer.headers["content-type"] == "application/json"
            assert int(answer.headers["content-length"]) == len(answer.body)
            assert "connection" not in answer.headers
            date = parsedate_to_datetime(answer.headers["date"])
            assert abs(date.timestamp() - time.time()) < 5
            assert answer.headers["date"].endswith(" GMT")
            bodies.add(answer.body)
        (body,) = bodies
        assert json.loads(body)["type"] == "static_response"


@pytest.mark.parametrize("path", ["/stream-sse", "/api/data", "/health", "/web"])
async def test_every_response_has_one_date(port: int, path: str) -> None:
    async with await Client.connect(port) as client:
        await client.send(request(path))
        assert (await client.head()).raw.lower().count(b"\r\ndate: ") == 1


async def test_http_1_0_client_may_keep_the_connection_for_non_streaming_responses(port: int) -> None:
    async with await Client.connect(port) as client:
        for _ in range(2):
            answer = await client.fetch(b"GET /api/data HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert answer.headers["connection"] == "keep-alive"
        assert (await client.fetch(b"GET /api/data HTTP/1.0\r\n\r\n")).headers["connection"] == "close"
        assert await client.wait_closed() == "closed"


async def test_connection_close_does_not_affect_later_requests(port: int) -> None:
    """One parser serves all connections of a process: what it read before must not show."""
    endings = (
        request("/health", Connection="close"),
        b"GET /health HTTP/1.0\r\n\r\n",
        request("/chat", method="POST", body=b"{}", Connection="close"),
        request("/health", Connection="Upgrade", Upgrade="h2c"),
        b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
    )
    for ending in endings:
        await fetch(port, ending)
        assert (await fetch(port, request("/health"))).status == 200, ending


async def test_connection_close_closes(port: int) -> None:
    async with await Client.connect(port) as client:
        answer = await client.fetch(request("/api/data", Connection="Keep-Alive, Close"))
        assert answer.headers["connection"] == "close"
        assert await client.wait_closed() == "closed"


@pytest.mark.parametrize("path", [*STREAMS, "/api/data", "/health", "/web", "/history"])
async def test_head_is_the_head_of_get_without_a_body(port: int, path: str) -> None:
    async with await Client.connect(port) as client:
        target = f"{path}?gap=1ms&tokens=1" if path in STREAMS else path
        got = await client.fetch(request(target))
        head = await client.fetch(request(target, method="HEAD"))
        varying = {"date", "x-request-id"}
        assert head.status == got.status == 200
        assert {k: v for k, v in head.headers.items() if k not in varying} == {
            k: v for k, v in got.headers.items() if k not in varying
        }
        assert (await client.fetch(request("/health"))).body == b"OK", "the HEAD answer had no body"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/stream-sse", "GET, HEAD, OPTIONS"),
        ("/api/data", "GET, HEAD, OPTIONS"),
        ("/chat", "OPTIONS, POST"),
        ("/history", "DELETE, GET, HEAD, OPTIONS"),
    ],
)
async def test_options_lists_the_methods_and_others_are_refused(port: int, path: str, allowed: str) -> None:
    async with await Client.connect(port) as client:
        answer = await client.fetch(request(path, method="OPTIONS"))
        assert (answer.status, answer.headers["allow"]) == (204, allowed)
        assert "content-length" not in answer.headers
        refused = await client.fetch(request(path, method="PUT" if path != "/chat" else "GET"))
        assert (refused.status, refused.headers["allow"]) == (405, allowed)
        assert (await client.fetch(request("*", method="OPTIONS"))).status == 204


async def test_fixed_and_chunked_request_bodies_are_equal(port: int) -> None:
    body = json.dumps(
        {"messages": [{"role": "user", "content": "Hello"}], "stream": False, "model": "sim:gap=1ms,tokens=9"}
    )
    data = body.encode()
    cuts = (1, 2, 3, 40, 41)
    pieces = [data[at:end] for at, end in zip((0, *cuts), (*cuts, None), strict=True)]
    chunked = b"".join(b"%X;extension=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = request("/chat", method="POST", Transfer_Encoding="Chunked")
    async with await Client.connect(port) as client:
        fixed = await client.fetch(request("/chat", method="POST", body=data))
        coded = await client.fetch(head + chunked + b"0\r\nTrailer: dropped\r\n\r\n")
        assert fixed.status == coded.status == 200
        assert json.loads(fixed.body)["content"] == json.loads(coded.body)["content"]
        assert (await client.fetch(request("/health"))).status == 200


async def test_unexpected_body_is_read_and_dropped(port: int) -> None:
    async with await Client.connect(port) as client:
        assert (await client.fetch(request("/health", body=b"GET /nowhere HTTP/1.1\r\n\r\n"))).status == 200
        assert (await client.fetch(request("/version"))).status == 200


async def test_expect_100_continue(port: int) -> None:
    body = b'{"messages":[]}'
    head = request("/chat", method="POST", Expect="100-Continue", Content_Length=str(len(body)))
    async with await Client.connect(port) as client:
        await client.send(head)
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(body)
        assert (await client.read_response()).status == 400
        # No interim response if the body was sent along, in HTTP/1.0, or without a body.
        assert (await client.fetch(head + body)).status == 400
        assert (await client.fetch(request("/health", Expect="100-continue"))).status == 200
        await client.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"))
        await client.send(body)
        assert (await client.read_response()).status == 400


async def test_a_stream_and_its_neighbour_do_not_mix(port: int) -> None:
    async with await Client.connect(port) as one, await Client.connect(port) as two:
        await one.send(request("/stream-sse?gap=2ms&tokens=50"))
        await two.send(request("/stream-ndjson?gap=2ms&tokens=50"))
        first, second = await asyncio.gather(one.read_response(), two.read_response())
        assert first.body == b"".join(frames("/stream-sse", 50))
        assert second.body == b"".join(frames("/stream-ndjson", 50))
