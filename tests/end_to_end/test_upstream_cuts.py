"""An upstream's recorded response truncated at each of its bytes: it never counts as complete. (U3)"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tokenfall.errors import TokenfallError, UpstreamReset, UpstreamTruncated, UpstreamUnreachable
from tokenfall.events import Finished, Usage
from tokenfall.messages import ChatRequest, Message
from tokenfall.metrics import Metrics
from tokenfall.upstream.engine import UpstreamEngine

from tests.doubles.certificates import server_context, trusted_file
from tests.doubles.loops import running_reactor
from tests.doubles.upstreams import engine_for
from tests.end_to_end.chatting import DONE as CHAT_DONE
from tests.end_to_end.chatting import chat, error_of, response_text
from tests.end_to_end.client import fetch
from tests.end_to_end.in_process import descriptors, eventually, running
from tests.end_to_end.upstream import DONE, Exchange, Upstream, event, scripted

TOKENS = ("Hé", "llo ", "🙂", "\n")
STREAM = (
    b": hi\n\n"
    + b"".join(
        event(json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False).encode()) for text in TOKENS
    )
    + event(b'{"model":"up-1","choices":[{"delta":{},"finish_reason":"length"}]}')
    + event(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}')
    + DONE
)
END = Finished("length", "up-1", Usage(3, 4))
# Each connection is closed: one that serves again would meet the next request just when it is closed.
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
BEFORE_THE_FIRST_TOKEN: set[type[TokenfallError]] = {UpstreamUnreachable, UpstreamReset, UpstreamTruncated}


class Recorded:
    """A response as bytes, and how much of the stream is in each prefix of it."""

    def __init__(self, head: bytes, body: Iterable[tuple[bytes, bool]]) -> None:
        self.head = head
        self.data = head
        self._payload: list[int] = []  # for each byte of the body: how many of the stream's bytes came with it
        seen = 0
        for piece, of_stream in body:
            self.data += piece
            for _ in piece:
                seen += of_stream
                self._payload.append(seen)

    def stream(self, size: int) -> bytes:
        """The part of the stream that is in the first `size` bytes of the response."""
        at = size - len(self.head)
        return STREAM[: self._payload[at - 1]] if at > 0 else b""

    def texts(self, size: int) -> list[str]:
        """The tokens that are complete in the first `size` bytes of the response."""
        return list(TOKENS[: max(self.stream(size).count(b"\n\n") - 1, 0)])

    def whole(self, size: int) -> bool:
        return self.stream(size) == STREAM


def chunked() -> Recorded:
    """In chunks that split characters, lines and events."""

    def body() -> Iterable[tuple[bytes, bool]]:
        for at in range(0, len(STREAM), 97):
            piece = STREAM[at : at + 97]
            yield from ((b"%x\r\n" % len(piece), False), (piece, True), (b"\r\n", False))
        yield (b"0\r\n\r\n", False)

    return Recorded(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", body())


def until_closed() -> Recorded:
    """As HTTP/1.0 does it: only the end of the connection ends the body."""
    return Recorded(HEAD + b"\r\n", [(STREAM, True)])


FORMS = {"chunked": chunked(), "until closed": until_closed()}


class Cutting:
    """Plays the script in the model's name: `fin:120` ends after 120 bytes, `packets:120` only pauses there.

    Over TLS `fin` ends in good order, by close_notify; `cut` is a bare FIN.
    """

    def __init__(self, recorded: Recorded) -> None:
        self._data = recorded.data
        self._recorded = recorded
        self.heard: dict[str, list[str]] = {}

    async def __call__(self, exchange: Exchange) -> None:
        name = exchange.body["model"]
        how, _, size_text = name.partition(":")
        size = int(size_text)
        await exchange.write(self._data[:size])
        if how == "packets":
            await asyncio.sleep(0.001)
            await exchange.write(self._data[size:])
        elif how == "rst":
            # A reset may overtake bytes on their way: let them be received first.
            received = self.heard.setdefault(name, [])
            expected = self._recorded.texts(size)
            await eventually(lambda: received == expected, lambda: (name, received, expected))
            await asyncio.sleep(0.001)
            exchange.reset()
        elif how == "cut":
            exchange.send_fin()
        exchange.writer.close()


@asynccontextmanager
async def cutting(
    recorded: Recorded, metrics: Metrics, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[UpstreamEngine, Cutting]]:
    """An engine without retries; afterwards no task, connection, timer or descriptor is left."""
    tasks = asyncio.all_tasks()
    async with scripted(tls=tls) as upstream:
        script = upstream.script = Cutting(recorded)
        wheel = running_reactor().wheel
        engine = engine_for(upstream.url, metrics=metrics)
        before = descriptors()
        yield engine, script
        await rested(upstream, before)
        assert wheel.entries == 0
        await engine.close()
    await eventually(lambda: asyncio.all_tasks() <= tasks, lambda: asyncio.all_tasks() - tasks)


async def rested(upstream: Upstream, before: int) -> None:
    await eventually(
        lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
    )
    await eventually(lambda: descriptors() <= before, lambda: f"{descriptors() - before} descriptors are left")


async def each(sizes: Iterable[int], case: Callable[[int], object]) -> int:
    """Run a case a size, sixteen at a time; how many there were."""
    left = list(sizes)
    count = len(left)

    async def work() -> None:
        while left:
            await case(left.pop())  # type: ignore[misc]

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(work())
    return count


def expected_errors(recorded: Recorded, how: str, size: int) -> set[type[TokenfallError]]:
    """The errors that are allowed after a truncation."""
    if size < len(recorded.head):
        return {UpstreamUnreachable}
    in_order = how == "fin" and recorded is FORMS["until closed"]
    if how == "rst" and not recorded.texts(size):
        return BEFORE_THE_FIRST_TOKEN  # it may come before anybody listens to the body
    return {UpstreamTruncated} if in_order else {UpstreamReset}


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What an upstream with TLS shows, which is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", trusted_file(tmp_path))
    return server_context()


@pytest.mark.every_poller
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("form", FORMS)
async def test_response_truncated_at_any_byte_is_complete_only_with_its_end(form: str, how: str) -> None:
    await cut_at_any_byte(FORMS[form], how)


@pytest.mark.parametrize("form", FORMS)
async def test_tls_response_truncated_at_any_byte_is_complete_only_with_its_end(
    form: str, certified: ssl.SSLContext
) -> None:
    await cut_at_any_byte(FORMS[form], "fin", "cut", "rst", tls=certified)


async def cut_at_any_byte(recorded: Recorded, *hows: str, tls: ssl.SSLContext | None = None) -> None:
    """Cut at each byte once, in one way after the other."""
    outcomes = {True: 0, False: 0}
    metrics = Metrics()
    async with cutting(recorded, metrics, tls=tls) as (engine, script):

        async def case(size: int) -> None:
            how = hows[size % len(hows)]
            name = f"{how}:{size}"
            received = script.heard.setdefault(name, [])
            request = ChatRequest(messages=(Message("user", "Hi"),), model=name, max_tokens=9)
            end: Finished | TokenfallError
            try:
                end = await engine.reply(request, lambda delta: received.append(delta.text))
            except TokenfallError as error:
                end = error
            if recorded.whole(size):
                assert end == END, name
            else:
                assert type(end) in expected_errors(recorded, how, size), (name, end)
            assert received == recorded.texts(size), name
            outcomes[recorded.whole(size)] += 1

        count = await each(range(len(recorded.data) + 1), case)
    assert sum(outcomes.values()) == count == len(recorded.data) + 1
    assert all(outcomes.values())
    failed = sum(metrics.upstream_errors.values())
    assert failed == outcomes[False]


@pytest.mark.every_poller
@pytest.mark.parametrize("form", FORMS)
async def test_response_in_any_two_packets_is_the_same(form: str) -> None:
    recorded = FORMS[form]
    metrics = Metrics()
    async with cutting(recorded, metrics) as (engine, _):

        async def case(size: int) -> None:
            received: list[str] = []
            request = ChatRequest(messages=(Message("user", "Hi"),), model=f"packets:{size}", max_tokens=9)
            assert await engine.reply(request, lambda delta: received.append(delta.text)) == END
            assert received == list(TOKENS)

        await each(range(1, len(recorded.data)), case)
    assert metrics.upstream_errors == {}


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("form", FORMS)
async def test_chat_truncated_at_any_byte_reports_the_error(form: str, how: str) -> None:
    recorded = FORMS[form]
    async with scripted() as upstream:
        async with running(UPSTREAM_URL=upstream.url) as here:
            here.server.app.loopback_guard = None
            engine = here.server.parts.upstream
            assert engine is not None
            engine.retries = None
            script = upstream.script = Cutting(recorded)

            async def case(size: int) -> None:
                name = f"{how}:{size}"
                expected = recorded.texts(size)
                script.heard[name] = expected  # nobody listens inside: time must do
                answer = await fetch(here.port, chat("Hi", model=name, conversation=f"c{size}"))
                codes = {kind.code for kind in expected_errors(recorded, how, size)}
                if recorded.whole(size):
                    assert answer.body.endswith(CHAT_DONE), name
                    assert response_text(answer.body) == "".join(TOKENS)
                elif answer.status == 200:
                    assert error_of(answer.body)["code"] in codes | ({"upstream_reset"} if how == "rst" else set())
                    assert "".join(expected).startswith(response_text(answer.body)), name
                    assert how == "rst" or response_text(answer.body) == "".join(expected), name
                else:
                    assert (answer.status, not expected or how == "rst") == (502, True), name
                    assert json.loads(answer.body)["code"] in codes | ({"upstream_reset"} if how == "rst" else set())

            await each(range(len(recorded.data) + 1), case)
            await eventually(lambda: here.resources()["streams"] == 0, here.resources)
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )
