"""An upstream response truncated at each byte never counts as complete. (U3)"""

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
from tokenfall.metrics.registry import Metrics
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
# `Connection: close`: a kept connection could be closed just when the next request uses it.
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
BEFORE_THE_FIRST_TOKEN: set[type[TokenfallError]] = {UpstreamUnreachable, UpstreamReset, UpstreamTruncated}


class Recorded:
    """The bytes of a response, and the part of the stream in each prefix."""

    def __init__(self, head: bytes, body: Iterable[tuple[bytes, bool]]) -> None:
        self.head = head
        self.data = head
        self._payload: list[int] = []  # for each byte of the body, the number of stream bytes up to it
        seen = 0
        for piece, of_stream in body:
            self.data += piece
            for _ in piece:
                seen += of_stream
                self._payload.append(seen)

    def stream(self, size: int) -> bytes:
        """Return the part of the stream in the first `size` bytes of the response."""
        at = size - len(self.head)
        return STREAM[: self._payload[at - 1]] if at > 0 else b""

    def texts(self, size: int, ending: str) -> list[str]:
        """Return the complete tokens in the first `size` bytes of the response.

        The last one needs no blank line if the body ends after it.
        """
        stream = self.stream(size) + (b"\n" if self.ends_in_order(ending) else b"")
        return list(TOKENS[: max(stream.count(b"\n\n") - 1, 0)])

    def whole(self, size: int, ending: str) -> bool:
        """Return whether the first `size` bytes have the line `data: [DONE]`, which completes the stream.

        The line needs no end if the body ends after it.
        """
        missing = b"\n\n" if self.ends_in_order(ending) else b"\n"
        return len(self.stream(size)) >= len(STREAM) - len(missing)

    def ends_in_order(self, ending: str) -> bool:
        """Return whether the end of the connection is the end of the body."""
        return ending == "fin" and self is FORMS["until closed"]


def chunked() -> Recorded:
    """A chunked response whose chunks split characters, lines and events."""

    def body() -> Iterable[tuple[bytes, bool]]:
        for at in range(0, len(STREAM), 97):
            piece = STREAM[at : at + 97]
            yield from ((b"%x\r\n" % len(piece), False), (piece, True), (b"\r\n", False))
        yield (b"0\r\n\r\n", False)

    return Recorded(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", body())


def until_closed() -> Recorded:
    """A response whose body ends with the connection, as in HTTP/1.0."""
    return Recorded(HEAD + b"\r\n", [(STREAM, True)])


FORMS = {"chunked": chunked(), "until closed": until_closed()}


class TruncatingScript:
    """Plays the script in the model's name: `fin:120` closes after 120 bytes, `packets:120` only pauses there.

    Over TLS, `fin` sends close_notify; `cut` is a FIN without it.
    """

    def __init__(self, recorded: Recorded) -> None:
        self._data = recorded.data
        self._recorded = recorded
        self.texts: dict[str, list[str]] = {}

    async def __call__(self, exchange: Exchange) -> None:
        name = exchange.body["model"]
        ending, _, size_text = name.partition(":")
        size = int(size_text)
        await exchange.write(self._data[:size])
        if ending == "packets":
            await asyncio.sleep(0.001)
            await exchange.write(self._data[size:])
        elif ending == "rst":
            # A RST discards unread bytes: wait until they are received.
            texts = self.texts.setdefault(name, [])
            expected = self._recorded.texts(size, ending)
            await eventually(lambda: texts == expected, lambda: (name, texts, expected))
            await asyncio.sleep(0.001)
            exchange.reset()
        elif ending == "cut":
            exchange.send_fin()
        exchange.writer.close()


@asynccontextmanager
async def truncating_engine(
    recorded: Recorded, metrics: Metrics, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[UpstreamEngine, TruncatingScript]]:
    """An engine without retries; at the end, check that no task, connection, timer or descriptor leaked."""
    tasks = asyncio.all_tasks()
    async with scripted(tls=tls) as upstream:
        script = upstream.script = TruncatingScript(recorded)
        wheel = running_reactor().wheel
        engine = engine_for(upstream.url, metrics=metrics)
        before = descriptors()
        yield engine, script
        await wait_released(upstream, before)
        assert wheel.entries == 0
        await engine.close()
    await eventually(lambda: asyncio.all_tasks() <= tasks, lambda: asyncio.all_tasks() - tasks)


async def wait_released(upstream: Upstream, before: int) -> None:
    await eventually(
        lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
    )
    await eventually(lambda: descriptors() <= before, lambda: f"{descriptors() - before} descriptors leaked")


async def run_each(sizes: Iterable[int], case: Callable[[int], object]) -> int:
    """Run `case` for each size, sixteen at a time; return the number of sizes."""
    remaining = list(sizes)
    count = len(remaining)

    async def work() -> None:
        while remaining:
            await case(remaining.pop())  # type: ignore[misc]

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(work())
    return count


def expected_errors(recorded: Recorded, ending: str, size: int) -> set[type[TokenfallError]]:
    """Return the errors allowed after a truncation."""
    if size < len(recorded.head):
        return {UpstreamUnreachable}
    if ending == "rst" and not recorded.texts(size, ending):
        return BEFORE_THE_FIRST_TOKEN  # the break may precede the reading of the body
    return {UpstreamTruncated} if recorded.ends_in_order(ending) else {UpstreamReset}


@pytest.fixture
def trusted_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A TLS context with a trusted certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", trusted_file(tmp_path))
    return server_context()


@pytest.mark.every_poller
@pytest.mark.parametrize("ending", ["fin", "rst"])
@pytest.mark.parametrize("form", FORMS)
async def test_response_truncated_at_any_byte_is_complete_only_with_its_end(form: str, ending: str) -> None:
    await cut_at_any_byte(FORMS[form], ending)


@pytest.mark.parametrize("form", FORMS)
async def test_tls_response_truncated_at_any_byte_is_complete_only_with_its_end(
    form: str, trusted_tls: ssl.SSLContext
) -> None:
    await cut_at_any_byte(FORMS[form], "fin", "cut", "rst", tls=trusted_tls)


async def cut_at_any_byte(recorded: Recorded, *hows: str, tls: ssl.SSLContext | None = None) -> None:
    """Truncate at each byte once, rotating through the ways to do it."""
    outcomes = {True: 0, False: 0}
    metrics = Metrics()
    async with truncating_engine(recorded, metrics, tls=tls) as (engine, script):

        async def case(size: int) -> None:
            ending = hows[size % len(hows)]
            name = f"{ending}:{size}"
            texts = script.texts.setdefault(name, [])
            request = ChatRequest(messages=(Message("user", "Hi"),), model=name, max_tokens=9)
            end: Finished | TokenfallError
            try:
                end = await engine.reply(request, lambda delta: texts.append(delta.text))
            except TokenfallError as error:
                end = error
            if recorded.whole(size, ending):
                assert end == END, name
            else:
                assert type(end) in expected_errors(recorded, ending, size), (name, end)
            assert texts == recorded.texts(size, ending), name
            outcomes[recorded.whole(size, ending)] += 1

        count = await run_each(range(len(recorded.data) + 1), case)
    assert sum(outcomes.values()) == count == len(recorded.data) + 1
    assert all(outcomes.values())
    failed = sum(metrics.upstream_errors.values())
    assert failed == outcomes[False]


@pytest.mark.every_poller
@pytest.mark.parametrize("form", FORMS)
async def test_response_split_into_two_packets_at_any_byte_is_the_same(form: str) -> None:
    recorded = FORMS[form]
    metrics = Metrics()
    async with truncating_engine(recorded, metrics) as (engine, _):

        async def case(size: int) -> None:
            texts: list[str] = []
            request = ChatRequest(messages=(Message("user", "Hi"),), model=f"packets:{size}", max_tokens=9)
            assert await engine.reply(request, lambda delta: texts.append(delta.text)) == END
            assert texts == list(TOKENS)

        await run_each(range(1, len(recorded.data)), case)
    assert metrics.upstream_errors == {}


@pytest.mark.parametrize("ending", ["fin", "rst"])
@pytest.mark.parametrize("form", FORMS)
async def test_chat_truncated_at_any_byte_reports_the_error(form: str, ending: str) -> None:
    recorded = FORMS[form]
    async with scripted() as upstream:
        async with running(UPSTREAM_URL=upstream.url) as here:
            here.server.app.loopback_guard = None
            engine = here.server.parts.upstream
            assert engine is not None
            engine.retries = None
            script = upstream.script = TruncatingScript(recorded)

            async def case(size: int) -> None:
                name = f"{ending}:{size}"
                expected = recorded.texts(size, ending)
                script.texts[name] = expected  # no event tells when the bytes are relayed
                response = await fetch(here.port, chat("Hi", model=name, conversation=f"c{size}"))
                codes = {kind.code for kind in expected_errors(recorded, ending, size)}
                if recorded.whole(size, ending):
                    assert response.body.endswith(CHAT_DONE), name
                    assert response_text(response.body) == "".join(TOKENS)
                elif response.status == 200:
                    assert error_of(response.body)["code"] in codes | ({"upstream_reset"} if ending == "rst" else set())
                    assert "".join(expected).startswith(response_text(response.body)), name
                    assert ending == "rst" or response_text(response.body) == "".join(expected), name
                else:
                    assert (response.status, not expected or ending == "rst") == (502, True), name
                    assert json.loads(response.body)["code"] in codes | (
                        {"upstream_reset"} if ending == "rst" else set()
                    )

            await run_each(range(len(recorded.data) + 1), case)
            await eventually(lambda: here.resources()["streams"] == 0, here.resources)
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )
