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

from tokenfall.recording.recordings import RecordedExchange, Recording

from tests.end_to_end import upstream
from tests.end_to_end.client import PATIENCE_S, Client, ClientResponse, fetch, request
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
        """Its exit status and all its output."""
        self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, (out + errors).decode()

    def exchanges(self) -> list[RecordedExchange]:
        """What it recorded; it is ended for that, with status 0."""
        status, output = self.end()
        exchanges = list(Recording.load(str(self.file)).exchanges)
        assert (status, output) == (0, f"{len(exchanges)} exchanges written, 0 lost\n")
        return exchanges


Record = Callable[..., Recorder]


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


def asking(sent: str = "Hi", path: str = CHAT, **headers: str) -> bytes:
    document = {"model": "m", "stream": True, "messages": [{"role": "user", "content": sent}]}
    return at_home(request(path, method="POST", body=json.dumps(document), **headers))


def at_home(requested: bytes, host: bytes = b"127.0.0.1") -> bytes:
    """The request under a name by which the relay knows itself."""
    return requested.replace(b"Host: test", b"Host: " + host)


async def ask(port: int, data: bytes) -> ClientResponse:
    return await fetch(port, data)


async def test_a_stream_passes_unchanged_and_is_replayed_with_the_same_bytes(record: Record) -> None:
    whole = b"".join((delta("H"), event('{"é":1}'.encode()), FINISH, DONE))
    cut = whole.index("é".encode()) + 1  # one read ends within a character
    received = asyncio.Event()

    async def script(exchange: upstream.Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(b": hello\r\n\r\n", whole[:cut])
        await received.wait()
        await exchange.send_chunks(whole[cut:])
        await exchange.send_last_chunk()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        async with await Client.connect(recorder.port) as client:
            await client.send(asking())
            head = await client.head()
            body = b""
            while not body.endswith(whole[:cut]):
                body += await client.chunk()
            received.set()
            body += b"".join(await client.chunks())
        (kept,) = recorder.exchanges()

    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
    assert body == b": hello\r\n\r\n" + whole
    found = Recording([kept]).find(asking().partition(b"\r\n\r\n")[2], CHAT)
    assert found is not None
    frames = list(found.frames())
    assert b"".join(payload for _, payload in frames) == body
    assert len(frames) > 1
    assert all(gap_s >= 0 for gap_s, _ in frames)
    assert 0 < found.took_s() < PATIENCE_S
    assert (found.status, found.streamed, found.interrupted) == (200, True, None)
    assert provider.exchanges[0].head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/responses", "/openai/v1/embeddings", "/v1/messages"])
async def test_errors_and_non_streaming_responses_pass_unchanged_on_any_path(record: Record, path: str) -> None:
    async def script(exchange: upstream.Exchange) -> None:
        headers = b"Content-Type: application/json\r\nRetry-After: 7\r\nX-RateLimit-Limit: 5\r\n"
        await exchange.respond(429, b'{"error": "slow"}', headers=headers)

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        answer = await ask(recorder.port, asking(path=path))
        (kept,) = recorder.exchanges()

    bare = path.removeprefix("/openai").removeprefix("/v1")
    assert provider.exchanges[0].head.startswith(b"POST /v1%b HTTP/1.1" % bare.encode())
    assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "7", b'{"error": "slow"}')
    assert (kept.status, kept.body, kept.streamed) == (429, b'{"error": "slow"}', False)
    assert kept.headers == {"content-type": "application/json", "retry-after": "7", "x-ratelimit-limit": "5"}


async def test_ten_secrets_leave_no_trace(record: Record) -> None:
    """The upstream repeats every one of them, split by its reads."""
    document = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": f"my key is {CANARIES[1]}"}],
        "api_key": CANARIES[5],
        "tools": [{"auth": {"access_token": CANARIES[6], "api_keys": [CANARIES[7]]}}],
        "input": "sk-" + CANARIES[8],
    }
    requested = request(
        f"{CHAT}?api-key={CANARIES[9]}",
        method="POST",
        body=json.dumps(document),
        Authorization=f"Bearer {CANARIES[1]}",
        X_Api_Key=CANARIES[2],
        Cookie=f"session={CANARIES[3]}",
    )
    received = asyncio.Event()

    async def script(exchange: upstream.Exchange) -> None:
        result = delta(" ".join((CANARIES[0], CANARIES[1], CANARIES[2], CANARIES[3], CANARIES[4])))
        field = delta(json.dumps({"api_key": CANARIES[5]}), password=CANARIES[6])
        at = result.index(CANARIES[1].encode()) + 9
        await exchange.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
            b"Set-Cookie: s=%b; Path=/\r\nX-Request-Id: %b\r\n\r\n" % (CANARIES[4].encode(), CANARIES[0].encode())
        )
        await exchange.send_chunks(result[:at])
        await received.wait()
        await exchange.send_chunks(result[at:], field, DONE)
        await exchange.send_last_chunk()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url, "--key-env", "A_KEY", A_KEY=CANARIES[0])
        async with await Client.connect(recorder.port) as client:
            await client.send(at_home(requested))
            await client.head()
            first = await client.chunk()
            received.set()
            answer = first + b"".join(await client.chunks())
        (kept,) = recorder.exchanges()

    assert provider.exchanges[0].headers["authorization"] == f"Bearer {CANARIES[0]}"
    sent = provider.exchanges[0].head.decode()
    assert [canary for canary in CANARIES[1:4] if canary in sent] == [], "the client's own keys go nowhere"
    assert first.endswith(CANARIES[1][:9].encode()), "a read cuts a secret in two"
    assert answer.count(b"canary") == 7
    content = recorder.file.read_text(encoding="utf-8")
    assert [canary for canary in CANARIES if canary in content or canary[:8] in content] == []
    assert len(kept.body) == len(answer)
    assert stat.S_IMODE(recorder.file.stat().st_mode) == 0o600


async def test_clients_key_is_forwarded_without_a_configured_key(record: Record) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url)
        await ask(recorder.port, asking(Authorization="Bearer my-own-key", Anthropic_Version="2023-06-01"))
        (kept,) = recorder.exchanges()

    assert provider.exchanges[0].headers["authorization"] == "Bearer my-own-key"
    assert kept.request.headers["anthropic-version"] == "2023-06-01"


async def test_anthropic_gets_the_key_in_its_own_header(record: Record) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url, "--key-env", "A_KEY", A_KEY="a-key-of-anthropic")
        await ask(recorder.port, asking(path="/v1/messages", Anthropic_Version="2023-06-01"))

    assert provider.exchanges[0].headers["x-api-key"] == "a-key-of-anthropic"
    assert "authorization" not in provider.exchanges[0].headers


@pytest.mark.parametrize(
    "strange",
    [
        asking(Origin="https://evil.example"),
        asking(Origin="null"),
        at_home(request(CHAT, method="POST", body="{}"), b"evil.example"),
    ],
)
async def test_a_page_may_not_use_the_key(record: Record, strange: bytes) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url, "--key-env", "A_KEY", A_KEY="a-key-of-a-provider")
        assert (await ask(recorder.port, strange)).status == 403
        assert provider.exchanges == []
        assert (await ask(recorder.port, asking(Origin="http://localhost:5173"))).status == 200


async def test_absolute_target_is_sent_to_the_configured_upstream(record: Record) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url)
        answer = await ask(recorder.port, asking(path="http://elsewhere.example/v1/chat%2Fcompletions?a=%41"))

    assert answer.status == 200
    assert provider.exchanges[0].head.startswith(b"POST /v1/chat%2Fcompletions?a=%41 HTTP/1.1\r\n")


async def test_an_upstream_that_breaks_off_breaks_off_here_and_is_marked(record: Record) -> None:
    async def script(exchange: upstream.Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(delta("Hel"))
        exchange.writer.close()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        with pytest.raises((EOFError, ConnectionError)):
            await ask(recorder.port, asking())
        (kept,) = recorder.exchanges()

    assert (kept.interrupted, kept.broken, kept.body) == ("upstream", True, delta("Hel"))


async def test_client_disconnect_ends_the_upstream_request_and_is_recorded(record: Record) -> None:
    left = asyncio.Event()

    async def script(exchange: upstream.Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(delta("Hel"))
        await exchange.wait_closed()
        left.set()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        async with await Client.connect(recorder.port) as client:
            await client.send(asking())
            await client.until(b"Hel")
        async with asyncio.timeout(PATIENCE_S):
            await left.wait()
        (kept,) = recorder.exchanges()

    assert (kept.interrupted, kept.body) == ("client", delta("Hel"))


async def test_exchange_in_progress_at_shutdown_is_recorded_as_interrupted(record: Record) -> None:
    async def script(exchange: upstream.Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(delta("Hel"))
        await exchange.wait_closed()

    async with upstream.scripted() as provider:
        provider.script = script
        recorder = record(provider.url)
        async with await Client.connect(recorder.port) as client:
            await client.send(asking())
            await client.until(b"Hel")
            (kept,) = recorder.exchanges()

    assert (kept.interrupted, kept.body) == ("relay", delta("Hel"))


async def test_killed_recorder_leaves_complete_lines(record: Record) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url)
        for number in range(3):
            await ask(recorder.port, asking(str(number)))
        async with await Client.connect(recorder.port) as client:
            await client.send(asking("3"))
            await client.until(b"[DONE]")
            recorder.end(signal.SIGKILL)

    assert len(Recording.load(str(recorder.file)).exchanges) in (3, 4)


async def test_unreachable_upstream_is_502_and_recorded(record: Record) -> None:
    async with upstream.scripted() as provider:
        url = provider.url
    recorder = record(url)
    answer = await ask(recorder.port, asking())
    (kept,) = recorder.exchanges()

    assert answer.status == 502
    assert "cannot be reached" in json.loads(answer.body)["error"]["message"]
    assert (kept.answer, kept.interrupted) == (None, "upstream")


async def test_recording_can_be_fitted(record: Record, tmp_path: Path) -> None:
    async with upstream.scripted() as provider:
        recorder = record(provider.url)
        await ask(recorder.port, asking())
        provider.script = upstream.respond_with(b"a", b"b", b"c")
        await ask(recorder.port, asking())
        recorder.exchanges()
    table = fit(tmp_path)

    assert table.splitlines()[2].split()[:2] == ["gap", "2"]
    assert (tmp_path / "p.json").is_file()


def fit(folder: Path) -> str:
    """What a real `tokenfall fit` shows."""
    fitted = subprocess.run(
        [sys.executable, "-m", "tokenfall", "fit", "r.jsonl", "--out", "p.json"],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": os.fspath(SOURCES)},
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return fitted.stdout.decode()
