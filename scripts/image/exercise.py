"""Uses a server in every way that may import something. For the build of an image.

The build does it twice: with a recorded server, to learn which files the image needs, and with the server in the
finished file system, to see that none is missing there.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

ASKED_FOR = "Hello, Grüße, 日本 😀"
SCENARIO = '[{"when": {"last": {"pattern": "Gr[üß]{2}e"}}, "say": "Hello"}]'
MESSAGES = [{"role": "user", "content": ASKED_FOR}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "pattern": "^[a-z]{3}$"}, "b": {"type": "number", "minimum": 1}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
STRICT = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}}
SIM = "gap=1ms,tokens=5"
FAULTS = ("stall@1:1ms", "drip@1:1ms", "reset@2", "close@2", "nodone@2", "garbage@2", "split@1", "error@2")


class Ask(NamedTuple):
    """A request and the statuses that are right for it; 0 where the server cuts the connection."""

    method: str
    path: str
    body: Any = None
    statuses: tuple[int, ...] = (200,)
    headers: tuple[tuple[str, str], ...] = ()


def _chats() -> Iterator[Ask]:
    for stream in (True, False):
        chat = {"model": f"sim:{SIM}", "messages": MESSAGES, "stream": stream}
        yield Ask("POST", "/chat", {"messages": MESSAGES, "stream": stream, "conversation": "c"})
        for path in ("/v1/chat/completions", "/openai/v1/chat/completions"):
            yield Ask("POST", path, chat)
            yield Ask("POST", path, {**chat, "tools": TOOLS, "tool_choice": "required"})
            yield Ask("POST", path, {**chat, "response_format": STRICT})
            yield Ask("POST", path, {**chat, "logprobs": True, "stop": ["x"], "seed": 7})
        yield Ask("POST", "/v1/completions", {"model": "sim", "prompt": ASKED_FOR, "stream": stream, "max_tokens": 3})
        yield Ask("POST", "/v1/responses", {"model": f"sim:{SIM}", "input": ASKED_FOR, "stream": stream})
        yield Ask("POST", "/v1/messages", {**chat, "max_tokens": 5}, headers=(("anthropic-version", "2023-06-01"),))
        yield Ask("POST", "/api/chat", chat)
        yield Ask("POST", "/api/chat", {**chat, "format": SCHEMA})
        yield Ask("POST", "/api/generate", {"model": f"sim:{SIM}", "prompt": ASKED_FOR, "stream": stream})


def _documents() -> Iterator[Ask]:
    for path in ("/health", "/livez", "/readyz", "/version", "/metrics", "/openapi.json", "/web", "/board", "/sim"):
        yield Ask("GET", path)
    yield Ask("GET", "/board/history")
    yield Ask("GET", "/", statuses=(307,))
    for name in ("app.js", "style.css", "board.js", "icon.svg"):
        yield Ask("GET", f"/web/{name}", headers=(("accept-encoding", "gzip"),))
    for path in ("/v1/models", "/v1/models/sim", "/openai/v1/models", "/api/tags", "/api/ps", "/api/version"):
        yield Ask("GET", path)
    yield Ask("POST", "/v1/embeddings", {"model": "sim", "input": ASKED_FOR, "encoding_format": "base64"})
    yield Ask("POST", "/v1/messages/count_tokens", {"model": "sim", "messages": MESSAGES})
    yield Ask("POST", "/api/embed", {"model": "sim", "input": ASKED_FOR})
    yield Ask("POST", "/api/show", {"model": "sim"})
    yield Ask("GET", "/chat/defaults")
    yield Ask("GET", "/history?conversation=c")
    yield Ask("PATCH", "/conversations/c", {"title": "T"}, statuses=(200, 204))
    yield Ask("GET", "/conversations")
    yield Ask("DELETE", "/conversations/c", statuses=(204,))


def _simulations() -> Iterator[Ask]:
    yield Ask("PATCH", "/sim", {"journal": True})
    for path in ("/stream-sse", "/stream-ndjson", "/stream-loop", "/api/data"):
        yield Ask("GET", f"{path}?{SIM.replace(',', '&')}")
    for fault in FAULTS:
        yield Ask("GET", f"/stream-sse?{SIM.replace(',', '&')}&fault={fault}", statuses=(200, 0))
    for more in ("ttft=2ms~0.5", "text=words", "prefill=1us", "speed=2", "seed=1"):
        yield Ask("GET", f"/stream-sse?{SIM.replace(',', '&')}&{more}")
    yield Ask("GET", "/stream-sse?status=429x1", statuses=(429,))
    yield Ask("PATCH", "/sim/gates/g", {"tokens": 9})
    yield Ask("GET", f"/stream-sse?{SIM.replace(',', '&')}&gate=g@2")
    for path in ("/sim/gates", "/sim/requests"):
        yield Ask("GET", path)
    yield Ask("PUT", "/sim", {"sim": SIM})
    yield Ask("DELETE", "/sim", statuses=(200, 204))


def _mistakes() -> Iterator[Ask]:
    yield Ask("GET", "/nowhere", statuses=(404,))
    yield Ask("PUT", "/health", statuses=(405,))
    yield Ask("GET", "/stream-sse?gap=x", statuses=(400,))
    for path in ("/chat", "/v1/chat/completions", "/v1/messages", "/api/chat"):
        yield Ask("POST", path, {"messages": 1}, statuses=(400, 422))
    yield Ask("OPTIONS", "/chat", statuses=(204,), headers=(("origin", "http://localhost:1"),))


def simulator() -> list[Ask]:
    """What every image answers."""
    return [*_simulations(), *_chats(), *_documents(), *_mistakes()]


def ask(port: int, asked: Ask) -> None:
    """One request; its response is read to the end. Raises AssertionError on another status or an internal error."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    body = None if asked.body is None else json.dumps(asked.body)
    headers = {"content-type": "application/json", **dict(asked.headers)} if body else dict(asked.headers)
    with closing(connection):
        try:
            connection.request(asked.method, asked.path, body, headers)
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, HTTPException) as error:  # cut, as a fault wants it
            status, text = 0, repr(error).encode()
    if status not in asked.statuses or b'{"error":{"code":"internal_error"' in text:
        raise AssertionError(f"{asked.method} {asked.path}: {status}, wanted {asked.statuses}: {text[:300]!r}")


@contextmanager
def served(command: Sequence[str], **environment: str) -> Iterator[int]:
    """A server's port. It must stop with status 0 on SIGTERM."""
    settings = {"PORT": "0", "SIM": "gap=1us", "RATE_LIMIT_RPS": "0", "DRAIN_TIMEOUT": "1s", **environment}
    with TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*command, "serve"], env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            with process:
                try:
                    yield int(first_line(process).rpartition(":")[2])
                finally:
                    process.send_signal(signal.SIGTERM)
                    process.communicate()
            if process.returncode:
                raise AssertionError(f"the server ended with status {process.returncode}")
        except Exception:
            log.seek(0)
            print(log.read()[-5000:])
            raise


def first_line(process: "subprocess.Popen[str]") -> str:
    """What it says when it listens."""
    return process.stdout.readline() if process.stdout else ""


def exercise(command: Sequence[str], folder: Path, *, seen: str) -> None:
    """A server of its own, and all of `simulator` asked of it; its commands; a host by name; a scenario file.

    `folder` is a directory to write in, `seen` the server's own name of it.
    """
    with served(command) as port:
        for asked in simulator():
            ask(port, asked)
        subprocess.run([*command, "health"], env={**os.environ, "PORT": str(port)}, check=True)
    with served(command, HOST="localhost", API_KEY="sha256:" + "0" * 64, SIM="profile=groq-70b") as keyed:
        ask(keyed, Ask("GET", "/stream-sse", statuses=(401,)))
    (folder / "turns.json").write_text(SCENARIO, encoding="utf-8")
    with served(command, SIM=f"script={seen}/turns.json") as scripted:
        ask(scripted, Ask("POST", "/chat", {"messages": MESSAGES}))
        ask(scripted, Ask("POST", "/chat", {"messages": [{"role": "user", "content": "No"}]}, statuses=(404,)))
    for words in (["--help"], ["serve", "--help"], ["--version"]):
        subprocess.run([*command, *words], stdout=subprocess.DEVNULL, check=True)
    refused = subprocess.run([*command, "serve", "--port", "x"], stderr=subprocess.PIPE, text=True, check=False)
    if "PORT: got 'x'" not in refused.stderr:
        raise AssertionError(f"a bad flag: {refused.stderr}")
