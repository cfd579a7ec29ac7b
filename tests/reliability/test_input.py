"""Hostile documents, texts, addresses and origins, in large numbers, sent to a real process. (P1, P2, L1 to L3, B1)"""

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable
from itertools import cycle, islice
from random import Random

import anthropic._streaming
import groq._streaming
import openai._streaming
import pytest

from tokenfall.limits.memory import MemoryLimiter

from tests.end_to_end.chatting import chat
from tests.end_to_end.client import Client, ClientResponse, fetch, metric_becomes, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.upstream import DONE, FINISH, Exchange, delta, scripted
from tests.reliability.rows import Tally

MAX_CPU_S, MAX_ATTEMPTS = 0.010, 3
"""The CPU time limit for rejecting a document. A slower request is repeated and the lowest value is used, because other
load on the machine only increases it.
"""

# P1

ROUTES = (
    "/chat",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/messages",
    "/api/chat",
    "/api/generate",
    "/api/embed",
)
MESSAGES = b'"messages":[{"role":"user","content":"a"}]'


NUMBERS = {
    "/chat": b'"max_tokens":%b',
    "/v1/embeddings": b'"dimensions":%b',
    "/api/chat": b'"options":{"num_predict":%b}',
    "/api/generate": b'"options":{"num_predict":%b}',
    "/api/embed": b'"dimensions":%b',
}
"""A number field of a route, if it is not `max_tokens` (or `max_output_tokens` of `/v1/responses`)."""


def documents(route: str) -> list[bytes]:
    """Bodies that are invalid or rejected JSON, each in a request that is otherwise valid."""
    whole = b'{"model":"sim","prompt":"a","input":"a",' + (b"" if route == "/v1/responses" else MESSAGES + b",")
    number = NUMBERS.get(route, b'"max_output_tokens":%b' if route == "/v1/responses" else b'"max_tokens":%b')
    maximum = b'"max_tokens":5' if route == "/v1/messages" else b'"y":1'
    prefix = whole + maximum
    return [
        prefix + b',"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        prefix + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        prefix + b',"temperature":NaN}',
        prefix + b',"x":NaN}',
        prefix + b',"x":1e999}',
        prefix + b',"x":[-' + b"9" * 5_000 + b"]}",
        prefix + b',"model":"sim"}',
        prefix + b',"x":1,"y":[{"z":1,"\\u007a":1}]}',
        prefix + b',"x":"' + b"a" * 500_000 + b'","x":1}',
        prefix + b',"temperature":Infinity}',
        prefix + b',"x":-Infinity}',
        prefix.replace(b'"sim"', b"9" * 5_000) + b"}",
        whole + number % (b"9" * 5_000) + b"}",
        whole + number % (b"-" + b"9" * 5_000) + b"}",
        prefix.replace(b'"a"', b'"\\ud800"') + b"}",
        prefix + b',"x":"\\ud800"}',
        prefix + b',"\\udfff":1}',
        prefix.decode().encode("utf-16") + "}".encode("utf-16-le"),
        prefix.decode().encode("utf-32") + "}".encode("utf-32-le"),
        prefix + b"}\x00",
        prefix + b"\x00}",
        prefix.replace(b'"a"', b'"a\x00"') + b"}",
        prefix.replace(b'"a"', b'"\xff"') + b"}",
        prefix.replace(b'"a"', b'"\xed\xa0\x80"') + b"}",
        prefix.replace(b'"a"', b'"a\x01"') + b"}",
        b"",
        b" ",
        b"null",
        b"[]",
        b'"a"',
        b"{" * 500_000,
        b"\xef\xbb\xbf" + prefix + b"}" + b",",
        prefix,
    ]


def cpu_s(pid: int) -> float:
    """The CPU time used by a process, in seconds."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)


@pytest.mark.row("documents")
async def test_invalid_document_is_refused_quickly_and_not_stored(serve: Serve, tally: Tally) -> None:
    server = serve()
    cases = [(route, document) for route in ROUTES for document in documents(route)]
    most_s = 0.0
    async with await Client.connect(server.port) as client:

        async def used_s(route: str, document: bytes) -> float:
            """Send a document, which must be rejected; return the CPU time used."""
            before_s = cpu_s(server.process.pid)
            answer = await client.fetch(request(route, method="POST", body=document, Content_Type="application/json"))
            after_s = cpu_s(server.process.pid)
            assert answer.status == 400, (route, document[:80], document[-80:], answer.body[:200])
            assert b"message" in answer.body or b'"code":"' in answer.body or b'"error":"' in answer.body
            return after_s - before_s

        for route in ROUTES:  # import what is loaded at first use
            await client.fetch(request(route, method="POST", body=b"{}"))
        for _, (route, document) in zip(tally.rounds(), cycle(cases), strict=False):
            least_s = await used_s(route, document)
            for _ in range(MAX_ATTEMPTS - 1 if least_s > MAX_CPU_S else 0):
                least_s = min(least_s, await used_s(route, document))
            assert least_s <= MAX_CPU_S, (route, document[:80])
            most_s = max(most_s, least_s)
        listed = await client.fetch(request("/conversations"))
    assert json.loads(listed.body) == []
    tally.passed(
        f"{len(cases)} documents and routes: 400 each, nothing stored; a request used at most "
        f"{most_s * 1e3:.0f} ms of CPU time"
    )


# P2

ALPHABET = (
    *"ab \t\n\r\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\ufeff\\\"'<>&{}[]:,é漢😀\ud83d\u200d",
    "data:", "event: error", "\n\n", "\r\n\r\n", "[DONE]", "id: 7", ": ping", "retry: 1",
)  # fmt: skip
TEXTS_PER_TURN = 500
PARSERS: dict[str, Callable[[], object]] = {
    "openai": openai._streaming.SSEDecoder,
    "anthropic": anthropic._streaming.SSEDecoder,
    "groq": groq._streaming.SSEDecoder,
}


def random_text(random: Random) -> str:
    text = "".join(random.choice(ALPHABET) for _ in range(random.randrange(1, 12)))
    return text.encode("utf-8", "ignore").decode()  # without lone surrogates


def parse_with(parser: object, frames: bytes) -> list[str]:
    """The contents of the frames of `POST /chat`, parsed by another project's SSE parser."""
    events = parser.iter_bytes(iter([frames]))  # type: ignore[attr-defined]
    datas = [event.data for event in events]
    assert datas[-1] == "[DONE]"
    return [document["content"] for document in map(json.loads, datas[:-1]) if "content" in document]


@pytest.mark.row("texts")
async def test_any_text_is_unchanged_by_other_sse_parsers(serve: Serve, tally: Tally, random: Random) -> None:
    texts: list[str] = []

    async def script(exchange: Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(b"".join(map(delta, texts)), FINISH, DONE)
        await exchange.send_last_chunk()

    async with scripted() as upstream:
        upstream.script = script
        server = serve(UPSTREAM_URL=upstream.url, UPSTREAM_API_KEY="up", API_KEY="key")
        for number in range(0, tally.required, TEXTS_PER_TURN):
            texts[:] = [text for text in (random_text(random) for _ in range(TEXTS_PER_TURN)) if text]
            ask = chat("x", model=None, conversation=f"c{number % 10}", headers={"X_API_Key": "key"})
            answer = await fetch(server.port, ask)
            for name, parser in PARSERS.items():
                assert "".join(parse_with(parser(), answer.body)) == "".join(texts), name
            tally.attempts += TEXTS_PER_TURN
    tally.passed("identical results in the parsers of the clients of OpenAI, Anthropic and Groq")


# L1, L2, L3

TABLE_BYTES = 4 * 2**20
"""The memory limit of the limiter's table, for any number of clients."""


def forwarded(address: str) -> bytes:
    return request("/conversations", X_Forwarded_For=address)


async def statuses(port: int, datas: list[bytes], *, at_once: int = 500) -> list[int]:
    """Pipeline requests on one connection; return the status of each response."""
    found = []
    async with await Client.connect(port) as client:
        for start in range(0, len(datas), at_once):
            some = datas[start : start + at_once]
            _, answers = await asyncio.gather(client.send(b"".join(some)), read(client, len(some)))
            found += [answer.status for answer in answers]
    return found


async def read(client: Client, count: int) -> list[ClientResponse]:
    return [await client.read_response() for _ in range(count)]


def in_one_64(number: int) -> str:
    return f"2001:db8::{number >> 16:x}:{number & 0xFFFF:x}"


@pytest.mark.row("strangers")
async def test_trusted_proxy_sets_the_address_and_a_64_is_one_client(serve: Serve, tally: Tally) -> None:
    limits = {"RATE_LIMIT_RPS": "0.001", "RATE_LIMIT_BURST": "5"}
    third = tally.required // 3
    stranger, trusted = serve(**limits), serve(TRUSTED_PROXIES="127.0.0.1", **limits)
    unknown = await statuses(stranger.port, [forwarded(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(third)])
    one_64 = await statuses(trusted.port, [forwarded(in_one_64(number)) for number in range(third)])
    mapped = await statuses(
        trusted.port, [forwarded(f"{'::ffff:' if number % 2 else ''}192.0.2.7") for number in range(third)]
    )
    for found in (unknown, one_64, mapped):
        assert found == [200] * 5 + [429] * (len(found) - 5)
    tally.passed(
        "5 requests of each kind passed, which is the burst: each kind counted as one client",
        count=tally.required // 3 * 3 + 2,
    )


@pytest.mark.row("addresses")
async def test_many_addresses_use_fixed_memory_and_do_not_evict_a_client(serve: Serve, tally: Tally) -> None:
    server = serve(TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_RPS="0.001", RATE_LIMIT_BURST="2")
    limited_client = [forwarded("192.0.2.1")] * 3
    assert await statuses(server.port, limited_client) == [200, 200, 429]
    addresses = [f"{11 + (n >> 24)}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(tally.required)]
    half = len(addresses) // 2
    await statuses(server.port, [forwarded(address) for address in addresses[:half]])
    before = server.resident_bytes()
    found = await statuses(server.port, [forwarded(address) for address in addresses[half:]])
    grown = server.resident_bytes() - before
    assert set(found) <= {200, 429}
    assert grown < 2 * 1024 * 1024
    assert await statuses(server.port, limited_client) == [429] * 3, "the client over its limit was not evicted"
    many = 10 * tally.required
    table = await table_bytes(many)
    assert table < TABLE_BYTES
    tally.attempts = len(addresses)
    tally.passed(
        f"the second half grew the process by {max(0, grown) / 2**20:.1f} MiB; "
        "the client over its limit was still refused; "
        f"{many:,} addresses need {table / 2**20:.1f} MiB in the limiter"
    )


async def table_bytes(count: int) -> int:
    """The memory of a limiter after one request from each of `count` clients."""
    tracemalloc.start()
    try:
        limiter = MemoryLimiter(0.001, 2, now=lambda: 1.0)
        for number in range(count):
            await limiter.take(f"{number:x}")
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.row("exact")
async def test_client_never_exceeds_burst_and_rate(serve: Serve, tally: Tally) -> None:
    rate, burst = 50.0, 20
    server = serve(RATE_LIMIT_RPS=str(rate), RATE_LIMIT_BURST=str(burst))
    passed: list[tuple[float, float]] = []
    refused = 0
    until_s = time.monotonic() + tally.required

    async def ask() -> None:
        nonlocal refused
        async with await Client.connect(server.port) as client:
            while time.monotonic() < until_s:
                sent_s = time.monotonic()
                status = (await client.fetch(request("/conversations"))).status
                if status == 200:
                    passed.append((sent_s, time.monotonic()))
                refused += status == 429
                await asyncio.sleep(0.001)

    await asyncio.gather(*(ask() for _ in range(8)))
    passed.sort()
    for first, (sent_s, _) in enumerate(passed):
        for last in islice(range(first, len(passed)), burst, None, 25):
            within_s = passed[last][1] - sent_s  # an upper bound of the time between the two decisions
            assert last - first + 1 <= burst + rate * within_s, (first, last)
    assert refused > len(passed)
    tally.attempts = tally.required
    tally.passed(f"{len(passed)} passed, {refused} got 429; at no time more than {burst} + {rate:g} per second")


# B1

PAGES = (
    "https://page.example",
    "null",
    "http://test.example",
    "http://127.0.0.1.page.example",
    "http://localhost.page",
)
REBOUND = ("page.example", "page.example:8080", "127.0.0.1.page.example", "localhost.page.example", "[::1].page")
PRIVATE = (
    ("/history", "GET"),
    ("/history", "DELETE"),
    ("/conversations", "GET"),
    ("/conversations/a", "DELETE"),
    ("/sim", "GET"),
    ("/sim", "DELETE"),
    ("/sim/requests", "GET"),
)
FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")


def cross_origin_requests() -> list[tuple[bytes, bool]]:
    """Requests that a page of another site can make a browser send; True if they are refused only with an upstream."""
    requests = [(request(path, method=method, Origin=page), False) for path, method in PRIVATE for page in PAGES]
    body = chat("x", conversation="planted")
    for host in REBOUND:
        requests.append((body.replace(b"Host: test", b"Host: " + host.encode()), True))
        requests += [
            (request(path, method=method).replace(b"Host: test", b"Host: " + host.encode()), True)
            for path, method in PRIVATE[:4]
        ]
    for form in FORMS:
        for page in PAGES:
            plain = body.replace(b"Content-Type: application/json", b"Content-Type: " + form.encode())
            requests.append((plain.replace(b"\r\n", b"\r\nOrigin: " + page.encode() + b"\r\n", 1), True))
    return requests


@pytest.mark.row("origins")
async def test_cross_origin_requests_to_private_routes_are_403_without_a_key(serve: Serve, tally: Tally) -> None:
    async with scripted() as upstream:
        plain, guarded = serve(), serve(UPSTREAM_URL=upstream.url)
        cases = cross_origin_requests()
        async with await Client.connect(plain.port) as one, await Client.connect(guarded.port) as other:
            for number, (data, needs_upstream) in zip(tally.rounds(), cycle(cases), strict=False):
                client = other if needs_upstream or number % 2 else one
                answer = await client.fetch(data)
                assert answer.status == 403, (data, answer.body)
        assert upstream.exchanges == []
        await metric_becomes(plain.port, "tokenfall_connections", 1)
    tally.passed(f"{len(cases)} requests: 403 each; no request reached the upstream")
