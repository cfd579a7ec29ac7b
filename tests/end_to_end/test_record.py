"""`tokenfall record` as a process between a raw client and a scripted upstream."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tokenfall.recording.recordings import RecordedExchange, RecordedResponse, Recording

from tests.end_to_end import upstream
from tests.end_to_end.client import PATIENCE_S, Client, fetch, request
from tests.end_to_end.process import SOURCES
from tests.end_to_end.upstream import DONE, FINISH, delta, event

CANARIES = [f"canary-{number}-of-ten-secrets" for number in range(10)]
CHAT = "/v1/chat/completions"


class Recorder:
    """A real `tokenfall record` on a free port."""

    def __init__(self, folder: Path, url: str, *options: str, **environment: str) -> None:
        self.file = folder / "r.jsonl"
        command = [sys.executable, "-m", "tokenfall", "record", "--upstream", url, "--out", "r.jsonl", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, *options],
            cwd=folder,
            env={"PATH": os.defpath, "PYTHONPATH": os.fspath(SOURCES), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline().decode()
        assert first.startswith("Tokenfall records on http://127.0.0.1:"), first
        self.port = int(first.split()[3].rpartition(":")[2])

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Stop it; return the exit status and the output."""
        self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, (out + errors).decode()

    def exchanges(self) -> list[RecordedExchange]:
        """Stop it, check for status 0, and return the recorded exchanges."""
        status, output = self.end()
        exchanges = list(Recording.load(str(self.file)).exchanges)
        assert (status, output) == (0, f"{len(exchanges)} exchanges written, 0 lost\n")
        return exchanges


Record = Callable[..., Recorder]


def response_of(exchange: RecordedExchange) -> RecordedResponse:
    assert exchange.answer is not None
    return exchange.answer


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    started: list[Recorder] = []

    def start(url: str, *options: str, **environment: str) -> Recorder:
        started.append(Recorder(tmp_path, url, *options, **environment))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def chat_request(text: str = "Hi", path: str = CHAT, **headers: str) -> bytes:
    document = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
    return with_loopback_host(request(path, method="POST", body=json.dumps(document), **headers))


def with_loopback_host(data: bytes, host: bytes = b"127.0.0.1") -> bytes:
    """Replace the Host header by one that the recorder accepts."""
    return data.replace(b"Host: test", b"Host: " + host)


async def test_a_stream_passes_unchanged_and_is_replayed_with_the_same_bytes(record: Record) -> None:
    whole = b"".join((delta("H"), event('{"é":1}'.encode()), FINISH, DONE))
    cut = whole.index("é".encode()) + 1  # inside a character
    chunk_received = asyncio.Event()

    async def script(exchange: upstream.Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(b": hello\r\n\r\n", whole[:cut])
        await chunk_received.wait()
        await exchange.send_chunks(whole[cut:])
        await exchange.send_last_chunk()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        async with await Client.connect(recorder.port) as client:
            await client.send(chat_request())
            head = await client.head()
            body = b""
            while not body.endswith(whole[:cut]):
                body += await client.chunk()
            chunk_received.set()
            body += b"".join(await client.chunks())
        (kept,) = recorder.exchanges()

    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
    assert body == b": hello\r\n\r\n" + whole
    found = Recording([kept]).find(chat_request().partition(b"\r\n\r\n")[2], CHAT)
    assert found is not None
    frames = list(response_of(found).frames())
    assert b"".join(payload for _, payload in frames) == body
    assert len(frames) > 1
    assert all(gap_s >= 0 for gap_s, _ in frames)
    assert 0 < response_of(found).took_s() < PATIENCE_S
    assert (response_of(found).status, response_of(found).streamed, found.interrupted) == (200, True, None)
    assert provider.exchanges[0].head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/responses", "/openai/v1/embeddings", "/v1/messages"])
async def test_errors_and_non_streaming_responses_pass_unchanged_on_any_path(record: Record, path: str) -> None:
    async def script(exchange: upstream.Exchange) -> None:
        headers = b"Content-Type: application/json\r\nRetry-After: 7\r\nX-RateLimit-Limit: 5\r\n"
        await exchange.respond(429, b'{"error": "slow"}', headers=headers)

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        response = await fetch(recorder.port, chat_request(path=path))
        (kept,) = recorder.exchanges()

    bare = path.removeprefix("/openai").removeprefix("/v1")
    assert provider.exchanges[0].head.startswith(b"POST /v1%b HTTP/1.1" % bare.encode())
    assert (response.status, response.headers["retry-after"], response.body) == (429, "7", b'{"error": "slow"}')
    answer = response_of(kept)
    assert (answer.status, answer.body, answer.streamed) == (429, b'{"error": "slow"}', False)
    assert answer.headers == {"content-type": "application/json", "retry-after": "7", "x-ratelimit-limit": "5"}


async def test_recording_contains_no_secrets(record: Record) -> None:
    """The upstream repeats all secrets, split across reads."""
    document = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": f"my key is {CANARIES[1]}"}],
        "api_key": CANARIES[5],
        "tools": [{"auth": {"access_token": CANARIES[6], "api_keys": [CANARIES[7]]}}],
        "input": "sk-" + CANARIES[8],
    }
    data = request(
        f"{CHAT}?api-key={CANARIES[9]}",
        method="POST",
        body=json.dumps(document),
        Authorization=f"Bearer {CANARIES[1]}",
        X_Api_Key=CANARIES[2],
        Cookie=f"session={CANARIES[3]}",
    )
    chunk_received = asyncio.Event()

    async def script(exchange: upstream.Exchange) -> None:
        content = delta(" ".join((CANARIES[0], CANARIES[1], CANARIES[2], CANARIES[3], CANARIES[4])))
        field = delta(json.dumps({"api_key": CANARIES[5]}), password=CANARIES[6])
        at = content.index(CANARIES[1].encode()) + 9
        await exchange.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
            b"Set-Cookie: s=%b; Path=/\r\nX-Request-Id: %b\r\n\r\n" % (CANARIES[4].encode(), CANARIES[0].encode())
        )
        await exchange.send_chunks(content[:at])
        await chunk_received.wait()
        await exchange.send_chunks(content[at:], field, DONE)
        await exchange.send_last_chunk()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url, "--key-env", "A_KEY", A_KEY=CANARIES[0])
        async with await Client.connect(recorder.port) as client:
            await client.send(with_loopback_host(data))
            await client.head()
            first = await client.chunk()
            chunk_received.set()
            response = first + b"".join(await client.chunks())
        (kept,) = recorder.exchanges()

    assert provider.exchanges[0].headers["authorization"] == f"Bearer {CANARIES[0]}"
    sent = provider.exchanges[0].head.decode()
    assert [canary for canary in CANARIES[1:4] if canary in sent] == [], "the client's keys were forwarded"
    assert first.endswith(CANARIES[1][:9].encode()), "no secret is split by a read"
    assert response.count(b"canary") == 7
    content = recorder.file.read_text(encoding="utf-8")
    assert [canary for canary in CANARIES if canary in content or canary[:8] in content] == []
    assert len(response_of(kept).body) == len(response)
    assert stat.S_IMODE(recorder.file.stat().st_mode) == 0o600


async def test_clients_key_is_forwarded_without_a_configured_key(record: Record) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url)
        await fetch(recorder.port, chat_request(Authorization="Bearer my-own-key", Anthropic_Version="2023-06-01"))
        (kept,) = recorder.exchanges()

    assert provider.exchanges[0].headers["authorization"] == "Bearer my-own-key"
    assert kept.request.headers["anthropic-version"] == "2023-06-01"


async def test_anthropic_key_is_sent_in_x_api_key(record: Record) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url, "--key-env", "A_KEY", A_KEY="a-key-of-anthropic")
        await fetch(recorder.port, chat_request(path="/v1/messages", Anthropic_Version="2023-06-01"))

    assert provider.exchanges[0].headers["x-api-key"] == "a-key-of-anthropic"
    assert "authorization" not in provider.exchanges[0].headers


@pytest.mark.parametrize(
    "data",
    [
        chat_request(Origin="https://evil.example"),
        chat_request(Origin="null"),
        with_loopback_host(request(CHAT, method="POST", body="{}"), b"evil.example"),
    ],
)
async def test_requests_from_other_origins_or_hosts_are_403(record: Record, data: bytes) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url, "--key-env", "A_KEY", A_KEY="a-key-of-a-provider")
        assert (await fetch(recorder.port, data)).status == 403
        assert provider.exchanges == []
        assert (await fetch(recorder.port, chat_request(Origin="http://localhost:5173"))).status == 200


async def test_absolute_target_is_sent_to_the_configured_upstream(record: Record) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url)
        response = await fetch(recorder.port, chat_request(path="http://elsewhere.example/v1/chat%2Fcompletions?a=%41"))

    assert response.status == 200
    assert provider.exchanges[0].head.startswith(b"POST /v1/chat%2Fcompletions?a=%41 HTTP/1.1\r\n")


async def test_broken_upstream_response_breaks_the_relayed_one_and_is_recorded(record: Record) -> None:
    async def script(exchange: upstream.Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(delta("Hel"))
        exchange.writer.close()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        with pytest.raises((EOFError, ConnectionError)):
            await fetch(recorder.port, chat_request())
        (kept,) = recorder.exchanges()

    assert (kept.interrupted, response_of(kept).body) == ("upstream", delta("Hel"))


async def test_client_disconnect_ends_the_upstream_request_and_is_recorded(record: Record) -> None:
    upstream_closed = asyncio.Event()

    async def script(exchange: upstream.Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(delta("Hel"))
        await exchange.wait_closed()
        upstream_closed.set()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        async with await Client.connect(recorder.port) as client:
            await client.send(chat_request())
            await client.until(b"Hel")
        async with asyncio.timeout(PATIENCE_S):
            await upstream_closed.wait()
        (kept,) = recorder.exchanges()

    assert (kept.interrupted, response_of(kept).body) == ("client", delta("Hel"))


async def test_exchange_in_progress_at_shutdown_is_recorded_as_interrupted(record: Record) -> None:
    async def script(exchange: upstream.Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(delta("Hel"))
        await exchange.wait_closed()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        async with await Client.connect(recorder.port) as client:
            await client.send(chat_request())
            await client.until(b"Hel")
            (kept,) = recorder.exchanges()

    assert (kept.interrupted, response_of(kept).body) == ("relay", delta("Hel"))


async def test_killed_recorder_leaves_complete_lines(record: Record) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url)
        for number in range(3):
            await fetch(recorder.port, chat_request(str(number)))
        async with await Client.connect(recorder.port) as client:
            await client.send(chat_request("3"))
            await client.until(b"[DONE]")
            recorder.end(signal.SIGKILL)

    assert len(Recording.load(str(recorder.file)).exchanges) in (3, 4)


async def test_unreachable_upstream_is_502_and_recorded(record: Record) -> None:
    async with upstream.scripted() as provider:
        url = provider.url
    recorder = record(url)
    response = await fetch(recorder.port, chat_request())
    (kept,) = recorder.exchanges()

    assert response.status == 502
    assert "cannot be reached" in json.loads(response.body)["error"]["message"]
    assert (kept.answer, kept.interrupted) == (None, "upstream")


async def test_recording_can_be_fitted(record: Record, tmp_path: Path) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url)
        await fetch(recorder.port, chat_request())
        provider.script = upstream.respond_with(b"a", b"b", b"c")
        await fetch(recorder.port, chat_request())
        recorder.exchanges()
    table = fit(tmp_path)

    assert table.splitlines()[2].split()[:2] == ["gap", "2"]
    assert (tmp_path / "p.json").is_file()


def fit(folder: Path) -> str:
    """Return the output of `tokenfall fit`."""
    fitted = subprocess.run(
        [sys.executable, "-m", "tokenfall", "fit", "r.jsonl", "--out", "p.json"],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": os.fspath(SOURCES)},
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return fitted.stdout.decode()
