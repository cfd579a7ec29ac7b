"""Server memory per connection is bounded when clients send large requests and read nothing."""

import asyncio
import re
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.doubles.hostile_requests import MOST, Make, chat, embed, post, prompt, responses, user
from tests.end_to_end.client import Client
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

CLIENTS = 16
HELD_BYTES = 262_144
"""Limit per connection, without kernel buffers."""

MALLOC_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Makes the allocator return freed memory, so that RSS does not include what parsing needed."""

CHECKS, PAUSE_S = 600, 0.05
IDLE_CHECKS = 10
"""After this number of checks without CPU use, the server has handled all input."""

REQUESTS: dict[str, Make] = {
    "embeddings": lambda: embed(input=["hi"] * 2_048, dimensions=4_096),
    "embeddings in base64": lambda: embed(input=["hi"] * 2_048, dimensions=4_096, encoding_format="base64"),
    "embeddings of long texts": lambda: embed(input=["a" * 100_000] * 9, dimensions=4_096),
    "Ollama embeddings": lambda: post("/api/embed", {"model": "sim", "input": ["hi"] * 2_048}),
    "log probabilities": lambda: chat("tokens=6000", logprobs=True, top_logprobs=20, max_tokens=6_000),
    "log probabilities as a stream": lambda: chat(
        "tokens=100000", logprobs=True, top_logprobs=20, max_tokens=100_000, stream=True
    ),
    "words": lambda: chat("text=words,tokens=20000", max_tokens=20_000),
    "a million words": lambda: chat("text=words,tokens=1000000", max_tokens=1_000_000),
    "a million words as a stream": lambda: chat("text=words,tokens=1000000", stream=True, max_tokens=1_000_000),
    "echo of a megabyte": lambda: chat("text=echo", messages=user("a " * (MOST // 2))),
    "echo of a megabyte as a stream": lambda: chat("text=echo", messages=user("a " * (MOST // 2)), stream=True),
    "echo of 32 KiB as a stream": lambda: chat("text=echo", messages=user("a " * 16_000), stream=True),
    **{
        f"a prompt of a megabyte on {path}, whole and late": partial(
            chat, "ttft=300s", path=path, messages=user("a " * (MOST // 2)), stream=False, max_tokens=9
        )
        for path in ("/v1/chat/completions", "/v1/messages", "/api/chat")
    },
    "a long completion, whole and late": lambda: prompt("ttft=300s", prompt="a " * (MOST // 2)),
    "a long response, whole and late": lambda: responses("ttft=300s", input="a " * (MOST // 2)),
    "a long generation, whole and late": lambda: post(
        "/api/generate", {"model": "sim:ttft=300s", "prompt": "a " * (MOST // 2), "stream": False}
    ),
    "a context of Ollama": lambda: post(
        "/api/generate", {"model": "sim:ttft=300s", "prompt": "hi", "context": [1] * 99_000}
    ),
    "a long question, whole, at a gate": lambda: chat("gate=shut", messages=user("a " * (MOST // 2))),
    "a long question, whole, in a queue": lambda: chat("load=1@1,ttft=300s", messages=user("a " * (MOST // 2))),
    "a prompt of a megabyte": lambda: chat("tokens=1000", messages=user("a " * (MOST // 2)), stream=True),
}


def resident_bytes(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1_024


def is_sleeping(server: ServerProcess) -> bool:
    """Return whether all threads of the server sleep, so that none waits for a processor."""
    tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
    return all((task / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "S" for task in tasks)


async def resident_bytes_at_rest(server: ServerProcess) -> int:
    """Return the resident memory once the server is idle."""
    idle_checks, used_s = 0, -1.0
    for _ in range(CHECKS):
        await asyncio.sleep(PAUSE_S)
        now_s = server.processor_s()
        idle_checks, used_s = (idle_checks + 1, used_s) if is_sleeping(server) and now_s == used_s else (0, now_s)
        if idle_checks == IDLE_CHECKS:
            return resident_bytes(server)
    raise AssertionError("the server does not become idle")


async def send_without_reading(server: ServerProcess, clients: AsyncExitStack, data: bytes) -> None:
    """Connect a client, send a request and read nothing."""
    client = await clients.enter_async_context(await Client.connect(server.port, receive_buffer=4_096))
    await client.send(data)


@pytest.mark.parametrize("name", REQUESTS)
async def test_memory_for_a_client_that_does_not_read_is_bounded(serve: Serve, name: str) -> None:
    server = serve(STALL_TIMEOUT="300s", **MALLOC_SETTINGS)
    data = REQUESTS[name]()
    async with AsyncExitStack() as clients:
        for _ in range(2):  # loads modules and fills the allocator
            await send_without_reading(server, clients, data)
        before = await resident_bytes_at_rest(server)
        for _ in range(CLIENTS):
            await send_without_reading(server, clients, data)
        held = (await resident_bytes_at_rest(server) - before) / CLIENTS

        assert held < HELD_BYTES, f"{held / 1024:.0f} KiB a connection"
