"""The images' servers under their documented resource limits."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.containers.podman import LIMITS, Podman
from tests.end_to_end.chatting import chat, error_of, response_text
from tests.end_to_end.client import Client, fetch, request

MEMORY_BYTES = 20_971_520
STREAMS = 300
TOKENS = 10
WITHIN_S = 60.0
"""Timeout of operations with a tenth of a busy processor."""

ROUTES = (
    "/health", "/livez", "/readyz", "/version", "/metrics", "/openapi.json", "/web", "/board", "/sim", "/v1/models",
    "/api/tags", "/api/data", "/stream-sse?gap=1ms&tokens=3", "/stream-ndjson?gap=1ms&tokens=3",
)  # fmt: skip
QUESTION = {"role": "user", "content": "Grüße, 日本 😀"}
MESSAGE = {"model": "sim:gap=1ms,tokens=3", "max_tokens": 3, "messages": [QUESTION]}


async def fetch_within(port: int, data: bytes) -> tuple[int, bytes]:
    async with await Client.connect(port) as client:
        await client.send(data)
        client.buffered = await client.receive(within_s=WITHIN_S)
        response = await client.read_response()
    return response.status, response.body


async def test_small_image_serves_every_kind_of_route_within_its_limits(podman: Podman, simulator: str) -> None:
    with podman.running(simulator, options=LIMITS, HISTORY_MEMORY="1MiB") as server:
        for path in ROUTES:
            assert (await fetch_within(server.port, request(path)))[0] == 200, path
        for path in ("/chat", "/v1/chat/completions", "/v1/messages", "/api/chat"):
            data = request(path, method="POST", body=json.dumps(MESSAGE), Content_Type="application/json")
            status, body = await fetch_within(server.port, data)
            assert (status, b"error" in body) == (200, False), path
        assert server.stop(grace_s=15) == 0


async def test_hundreds_of_endless_streams_get_their_tokens_within_the_limits(podman: Podman, simulator: str) -> None:
    async def read(port: int) -> None:
        async with await Client.connect(port) as client:
            await client.send(request("/stream-loop?gap=200ms"))
            for _ in range(TOKENS):
                await client.until(b"data: ", within_s=WITHIN_S)

    with podman.running(simulator, options=LIMITS) as server:
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(read(server.port) for _ in range(STREAMS)))
        assert server.peak_bytes <= MEMORY_BYTES
        assert server.check_health()


async def test_hanging_server_is_unhealthy_until_it_continues(podman: Podman, simulator: str) -> None:
    with podman.running(simulator, options=LIMITS) as server:
        assert server.check_health()
        server.signal("STOP")
        assert not server.check_health()
        server.signal("CONT")
        assert server.check_health()


async def test_sigterm_lets_streams_finish(podman: Podman, simulator: str) -> None:
    with podman.running(simulator, options=LIMITS, DRAIN_TIMEOUT="30s") as server:
        async with await Client.connect(server.port) as client:
            await client.send(chat("Hello", model="sim:gap=200ms,tokens=10"))
            client.buffered = await client.until(b"data: ")
            server.signal("TERM")
            body = (await client.read_to_end(within_s=WITHIN_S)).partition(b"\r\n\r\n")[2]
        assert b"data: [DONE]" in body
        assert server.wait() == 0


async def test_stream_that_outlasts_the_drain_gets_a_shutdown_frame_within_the_grace_period(
    podman: Podman, simulator: str
) -> None:
    with podman.running(simulator, options=LIMITS, DRAIN_TIMEOUT="1s") as server:
        async with await Client.connect(server.port) as client:
            await client.send(chat("Hello", model="sim:gap=100ms,tokens=100000"))
            head = await client.head()
            first = await client.chunk()
            server.signal("TERM")
            frames = first + b"".join(await client.chunks())
        assert head.status == 200
        assert response_text(frames)
        assert error_of(frames)["code"] == "shutting_down"
        assert server.wait() == 0


async def test_full_image_stores_conversations_on_its_volume(podman: Podman, full: str) -> None:
    volume = podman("volume", "create")
    on_volume = (f"--volume={volume}:/data", "--memory=128m")
    try:
        for expected in (2, 4):
            with podman.running(full, options=on_volume, HISTORY_URL="sqlite:////data/chat.db") as server:
                assert (await fetch(server.port, chat("Hello", stream=False))).status == 200
                history = json.loads((await fetch(server.port, request("/history"))).body)
                assert len(history) == expected
                assert server.stop(grace_s=15) == 0
    finally:
        podman("volume", "rm", "--force", volume)


async def test_full_image_verifies_an_upstream_certificate_with_debians_authorities(podman: Podman, full: str) -> None:
    upstream = {"UPSTREAM_URL": "https://127.0.0.1:1/v1", "API_KEY": "key", "MODEL": "m"}
    with podman.running(full, options=("--memory=128m",), **upstream) as server:
        loaded = server.execute(
            "/usr/bin/python3.11", "-c", "import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 100)"
        )
        assert loaded.stdout.strip() == "True", loaded.stderr


INVALID_SETTINGS = 2


@pytest.mark.parametrize(
    ("target", "settings", "expected_error"),
    [
        ("simulator", {"HISTORY_URL": "sqlite:////tmp/chat.db"}, "HISTORY_URL: got 'sqlite:////tmp/chat.db', and this"),
        ("simulator", {"REDIS_URL": "redis://127.0.0.1"}, "HISTORY_URL: got redis://, which needs the extra redis"),
        ("simulator", {"UPSTREAM_URL": "http://127.0.0.1:1", "API_KEY": "k"}, "UPSTREAM_URL: an upstream needs TLS"),
        (
            "full",
            {"HISTORY_URL": "sqlite:////chat.db"},
            "HISTORY_URL: got 'sqlite:////chat.db', which is not writable",
        ),
        (
            "full",
            {"UPSTREAM_URL": "https://127.0.0.1:1", "API_KEY": "k", "SSL_CERT_FILE": "/no.pem", "SSL_CERT_DIR": "/no"},
            "UPSTREAM_URL: got 'https://127.0.0.1:1', and there are no CA certificates",
        ),
        ("full", {"PORT": "eighty"}, "PORT: got 'eighty'"),
    ],
)
def test_unsupported_settings_of_the_image_are_refused_by_name(
    podman: Podman, simulator: str, full: str, target: str, settings: dict[str, str], expected_error: str
) -> None:
    image = simulator if target == "simulator" else full
    given = [f"--env={name}={value}" for name, value in settings.items()]

    ended = podman.tried("run", "--rm", "--read-only", "--network=host", *given, image)

    assert (ended.returncode, ended.stdout) == (INVALID_SETTINGS, "")
    assert f"tokenfall: {expected_error}" in ended.stderr


def test_env_file_is_refused_by_the_small_image(podman: Podman, simulator: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("PORT=1\n", encoding="utf-8")
    file.chmod(0o644)
    tmp_path.chmod(0o755)

    ended = podman.tried("run", "--rm", "--network=host", f"--volume={file}:/.env:ro", simulator)

    assert ended.returncode == INVALID_SETTINGS
    assert "tokenfall: .env: cannot be read without python-dotenv; set environment variables" in ended.stderr


def test_command_missing_in_the_small_image_is_reported(podman: Podman, simulator: str) -> None:
    ended = podman.tried("run", "--rm", "--network=host", simulator, "fit", "recording.jsonl")

    assert ended.returncode == INVALID_SETTINGS
    assert "tokenfall: fit: " in ended.stderr
    assert "the full container image (target full) includes it" in ended.stderr
