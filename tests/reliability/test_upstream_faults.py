"""Upstream timeouts, errors, broken streams and client disconnects, in large numbers, on a real process. (U1 to U4)"""

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest

from tests.end_to_end.chatting import DONE as STREAM_DONE
from tests.end_to_end.chatting import chat, error_of, response_text
from tests.end_to_end.client import PATIENCE_S, Client, ClientResponse, fetch, metric_becomes
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import eventually
from tests.end_to_end.process import ServerProcess
from tests.end_to_end.upstream import DONE, FINISH, SSE_HEAD, Exchange, Script, Upstream, delta, event, scripted
from tests.reliability.rows import Tally
from tests.reliability.unloaded import UnloadedClock

KEY = {"X_API_Key": "key"}
CONCURRENCY = 20


@asynccontextmanager
async def running_relay(serve: Serve, **settings: str) -> AsyncIterator[tuple[ServerProcess, Upstream]]:
    async with scripted() as upstream:
        yield (
            serve(UPSTREAM_URL=upstream.url, UPSTREAM_API_KEY="up", API_KEY="key", UPSTREAM_WARM="0", **settings),
            upstream,
        )


def ask(number: int, *, stream: bool = True) -> bytes:
    return chat(str(number), model=None, conversation=f"c{number}", stream=stream, headers=KEY)


def groups(tally: Tally) -> list[list[int]]:
    """The rounds in groups of `CONCURRENCY`."""
    return list(tally.groups(CONCURRENCY))


def code_of(answer: ClientResponse) -> str:
    """`done`, or the error code of an error response or an error event."""
    if answer.status != 200:
        return str(json.loads(answer.body)["code"])
    return "done" if answer.body.endswith(STREAM_DONE) else str(error_of(answer.body)["code"])


# U1

CONNECT_S, FIRST_S, NEXT_S, TOTAL_S = 0.2, 0.4, 0.3, 1.2
LATE_S = 0.5
"""Tolerance: 250 ms for the coarse slots of the timer wheel, the rest for 20 concurrent clients."""

TIMEOUTS = {
    "UPSTREAM_CONNECT_TIMEOUT": f"{CONNECT_S * 1e3:g}ms",
    "UPSTREAM_FIRST_TOKEN_TIMEOUT": f"{FIRST_S * 1e3:g}ms",
    "UPSTREAM_NEXT_TOKEN_TIMEOUT": f"{NEXT_S * 1e3:g}ms",
    "UPSTREAM_TOTAL_TIMEOUT": f"{TOTAL_S * 1e3:g}ms",
}


@contextmanager
def unresponsive_upstream() -> Iterator[str]:
    """The URL of an upstream whose accept backlog is full, so that connections time out."""
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}/v1"


async def send_nothing(exchange: Exchange) -> None:
    await exchange.wait_closed()


async def send_comments(exchange: Exchange) -> None:
    leaving = asyncio.ensure_future(exchange.wait_closed())
    await exchange.send_head()
    while not leaving.done():
        await exchange.send_chunks(b": ping\n\n")
        await asyncio.wait([leaving], timeout=0.05)


async def send_one_token(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(delta("one"))
    await exchange.wait_closed()


async def send_tokens_endlessly(exchange: Exchange) -> None:
    leaving = asyncio.ensure_future(exchange.wait_closed())
    await exchange.send_head()
    while not leaving.done():
        await exchange.send_chunks(delta("and "))
        await asyncio.wait([leaving], timeout=0.05)


LATE: tuple[tuple[Script, str, float], ...] = (
    (send_nothing, "upstream_first_token_timeout", FIRST_S),
    (send_comments, "upstream_first_token_timeout", FIRST_S),
    (send_one_token, "upstream_next_token_timeout", NEXT_S),
    (send_tokens_endlessly, "upstream_total_timeout", TOTAL_S),
)


@pytest.mark.row("late")
async def test_each_upstream_timeout_has_its_own_error_in_time(serve: Serve, tally: Tally) -> None:
    with unresponsive_upstream() as url:
        unconnected = serve(UPSTREAM_URL=url, API_KEY="key", UPSTREAM_WARM="0", UPSTREAM_RETRIES="0", **TIMEOUTS)
        async with running_relay(serve, **TIMEOUTS) as (server, upstream):
            clock = UnloadedClock(server.process.pid, unconnected.process.pid)
            kinds = [(server, code, after_s) for _, code, after_s in LATE]
            kinds.append((unconnected, "upstream_connect_timeout", CONNECT_S))

            async def script(exchange: Exchange) -> None:
                await LATE[int(exchange.body["messages"][-1]["content"]) % len(kinds)][0](exchange)
                exchange.writer.close()

            async def late_by(number: int) -> float:
                target, expected, after_s = kinds[number % len(kinds)]
                start_s, clock_s = time.monotonic(), clock.now_s()
                assert code_of(await fetch(target.port, ask(number))) == expected
                assert time.monotonic() - start_s >= after_s, "no error before the timeout"
                return clock.now_s() - clock_s - after_s

            upstream.script = script
            late_s = 0.0
            for group in groups(tally):
                late_s = max(late_s, *await asyncio.gather(*map(late_by, group)))
                assert late_s < LATE_S
            await eventually(lambda: upstream.open_connections == 0, lambda: upstream.open_connections)
    tally.passed(
        f"connection, first token, next token and total: the right error each, at most {late_s:.2f} s after "
        "its deadline"
    )


# U2

HTTP_DATE = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True).encode()
REFUSED: tuple[tuple[int, bytes, str, int], ...] = (
    (401, b"", "upstream_key_refused", 1),
    (403, b"", "upstream_key_refused", 1),
    (400, b"", "upstream_refused", 1),
    (404, b"", "upstream_refused", 1),
    (422, b"", "upstream_refused", 1),
    (429, b"", "upstream_rate_limited", 3),
    (429, b"Retry-After: 3600\r\n", "upstream_rate_limited", 1),
    (429, b"Retry-After: " + HTTP_DATE + b"\r\n", "upstream_rate_limited", 1),
    (429, b"Retry-After: soon\r\n", "upstream_rate_limited", 3),
    (500, b"", "upstream_failed", 3),
    (502, b"", "upstream_failed", 3),
    (503, b"Retry-After: 3600\r\n", "upstream_failed", 1),
    (504, b"Retry-After: -1\r\n", "upstream_failed", 3),
    (529, b"", "upstream_failed", 3),
)
"""A status and its headers, the error that a client gets, and the number of upstream requests with two retries."""


@pytest.mark.row("retried")
async def test_refused_requests_are_retried_as_often_as_allowed(serve: Serve, tally: Tally) -> None:
    async with running_relay(serve, UPSTREAM_RETRIES="2") as (server, upstream):
        tries: Counter[int] = Counter()

        async def script(exchange: Exchange) -> None:
            number = int(exchange.body["messages"][-1]["content"])
            tries[number] += 1
            status, headers, *_ = REFUSED[number % len(REFUSED)]
            await exchange.respond(status, b'{"error":{"message":"no"}}', headers=headers)

        upstream.script = script
        for group in groups(tally):
            answers = await asyncio.gather(
                *(fetch(server.port, ask(number, stream=number % 2 == 0)) for number in group)
            )
            for number, answer in zip(group, answers, strict=True):
                status, headers, code, most = REFUSED[number % len(REFUSED)]
                assert code_of(answer) == code, (status, headers)
                assert tries[number] == most, (status, headers)
                if b"3600" in headers:
                    assert answer.headers["retry-after"] == "3600"
    tally.passed(f"{len(REFUSED)} refusals: the right error each; {tries.total()} requests, as many as allowed")


# U3

WHOLE = b"".join(
    b"%x\r\n%b\r\n" % (len(piece), piece)
    for piece in (delta("Hé"), b": c\n\n", delta("llo "), event(b'{"choices":[]}'), delta("漢"), FINISH, DONE)
)
TEXT = "Héllo 漢"
MALFORMED: tuple[tuple[bytes, str], ...] = (
    (event(b"{not json"), "upstream_malformed"),
    (event(b'{"error":{"message":"overloaded"}}'), "upstream_stream_error"),
    (b"event: error\ndata: {}\n\n", "upstream_stream_error"),
    (b"data: " + b"a" * 1_100_000, "upstream_malformed"),
    (b'{"error":{"message":"overloaded"}}', "upstream_stream_error"),
    (event(b"]"), "upstream_malformed"),
)


@pytest.mark.row("broken")
async def test_broken_upstream_stream_does_not_end_with_done(serve: Serve, tally: Tally, random: Random) -> None:
    async with running_relay(serve, UPSTREAM_RETRIES="0") as (server, upstream):
        cuts: dict[int, int] = {}

        async def script(exchange: Exchange) -> None:
            number = int(exchange.body["messages"][-1]["content"])
            if number % 4 == 0:
                await exchange.write(SSE_HEAD)
                await exchange.send_chunks(delta("Hé"), MALFORMED[number // 4 % len(MALFORMED)][0])
                await exchange.wait_closed()
                return
            if number % 4 == 3:
                await exchange.send_head()
                await exchange.send_chunks(delta("Hé"))
                await exchange.send_last_chunk()
                return
            answer = SSE_HEAD + WHOLE
            cuts[number] = at = random.randrange(0, len(answer))
            await exchange.write(answer[:at])
            exchange.reset() if number % 4 == 1 else exchange.writer.close()

        upstream.script = script
        ends: Counter[str] = Counter()
        for group in groups(tally):
            answers = await asyncio.gather(*(fetch(server.port, ask(number)) for number in group))
            for number, answer in zip(group, answers, strict=True):
                code = code_of(answer)
                ends[code] += 1
                text = response_text(answer.body) if answer.status == 200 else ""
                assert TEXT.startswith(text)
                if number % 4 == 0:
                    assert code == MALFORMED[number // 4 % len(MALFORMED)][1]
                elif number % 4 == 3:
                    assert code == "upstream_truncated", "a complete body without [DONE]"
                else:
                    assert code != "done" or cuts[number] >= len(SSE_HEAD) + len(WHOLE) - 2, "success requires [DONE]"
        await metric_becomes(server.port, "tokenfall_streams_in_flight", 0)
    listed = ", ".join(f"{count} {code}" for code, count in ends.most_common())
    tally.passed(f"`[DONE]` only after the upstream's, never text that the upstream did not send: {listed}")


# U4

CLOSED_WITHIN_S = 0.25


@pytest.mark.row("upstream left")
async def test_client_disconnect_closes_the_upstream_connection_within_250_ms(serve: Serve, tally: Tally) -> None:
    async with running_relay(serve) as (server, upstream):
        clock = UnloadedClock(server.process.pid)
        disconnected_s: dict[int, float] = {}
        closed_after_s: dict[int, float] = {}
        started: dict[int, asyncio.Event] = {}
        closed: dict[int, asyncio.Event] = {}

        async def script(exchange: Exchange) -> None:
            number = int(exchange.body["messages"][-1]["content"])
            if number % 3:
                await exchange.send_head()
                await exchange.send_chunks(delta("word"))
            started[number].set()
            await exchange.wait_closed()
            closed_after_s[number] = clock.now_s() - disconnected_s[number]
            closed[number].set()
            exchange.writer.close()

        async def request_and_disconnect(number: int) -> None:
            started[number], closed[number] = asyncio.Event(), asyncio.Event()
            client = await Client.connect(server.port)
            await client.send(ask(number))
            async with asyncio.timeout(PATIENCE_S):
                await started[number].wait()
                if number % 3:
                    await client.until(b"word")
                disconnected_s[number] = clock.now_s()
                client.reset() if number % 2 else client.close()
                await closed[number].wait()

        upstream.script = script
        for group in groups(tally):
            await asyncio.gather(*map(request_and_disconnect, group))
        assert len(closed_after_s) == tally.required
        assert max(closed_after_s.values()) <= CLOSED_WITHIN_S
        assert upstream.open_connections == 0
        await metric_becomes(server.port, "tokenfall_streams_in_flight", 0)
        await metric_becomes(server.port, "tokenfall_connections", 1)
    tally.passed(f"each within {max(closed_after_s.values()) * 1e3:.0f} ms; no connection is left")
