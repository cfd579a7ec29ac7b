"""Uses every feature of a server that may import a module. Part of the image build.

The build does this twice: with a server whose files are recorded, to determine the files of the image, and with the
server in the finished file system, to check that no file is missing.
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

PROMPT = "Hello, Grüße, 日本 😀"
SCENARIO = '[{"when": {"last": {"pattern": "Gr[üß]{2}e"}}, "say": "Hello"}]'
MESSAGES = [{"role": "user", "content": PROMPT}]
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


class Case(NamedTuple):
    """A request and its expected statuses; 0 if the server breaks the connection."""

    method: str
    path: str
    body: Any = None
    statuses: tuple[int, ...] = (200,)
    headers: tuple[tuple[str, str], ...] = ()


def _chats() -> Iterator[Case]:
    for stream in (True, False):
        chat = {"model": f"sim:{SIM}", "messages": MESSAGES, "stream": stream}
        yield Case("POST", "/chat", {"messages": MESSAGES, "stream": stream, "conversation": "c"})
        for path in ("/v1/chat/completions", "/openai/v1/chat/completions"):
            yield Case("POST", path, chat)
            yield Case("POST", path, {**chat, "tools": TOOLS, "tool_choice": "required"})
            yield Case("POST", path, {**chat, "response_format": STRICT})
            yield Case("POST", path, {**chat, "logprobs": True, "stop": ["x"], "seed": 7})
        yield Case("POST", "/v1/completions", {"model": "sim", "prompt": PROMPT, "stream": stream, "max_tokens": 3})
        yield Case("POST", "/v1/responses", {"model": f"sim:{SIM}", "input": PROMPT, "stream": stream})
        yield Case("POST", "/v1/messages", {**chat, "max_tokens": 5}, headers=(("anthropic-version", "2023-06-01"),))
        yield Case("POST", "/api/chat", chat)
        yield Case("POST", "/api/chat", {**chat, "format": SCHEMA})
        yield Case("POST", "/api/generate", {"model": f"sim:{SIM}", "prompt": PROMPT, "stream": stream})


def _documents() -> Iterator[Case]:
    for path in ("/health", "/livez", "/readyz", "/version", "/metrics", "/openapi.json", "/web", "/board", "/sim"):
        yield Case("GET", path)
    yield Case("GET", "/board/history")
    yield Case("GET", "/", statuses=(307,))
    for name in ("app.js", "style.css", "dashboard.js", "icon.svg"):
        yield Case("GET", f"/web/{name}", headers=(("accept-encoding", "gzip"),))
    for path in ("/v1/models", "/v1/models/sim", "/openai/v1/models", "/api/tags", "/api/ps", "/api/version"):
        yield Case("GET", path)
    yield Case("POST", "/v1/embeddings", {"model": "sim", "input": PROMPT, "encoding_format": "base64"})
    yield Case("POST", "/v1/messages/count_tokens", {"model": "sim", "messages": MESSAGES})
    yield Case("POST", "/api/embed", {"model": "sim", "input": PROMPT})
    yield Case("POST", "/api/show", {"model": "sim"})
    yield Case("GET", "/chat/defaults")
    yield Case("GET", "/history?conversation=c")
    yield Case("PATCH", "/conversations/c", {"title": "T"}, statuses=(200, 204))
    yield Case("GET", "/conversations")
    yield Case("DELETE", "/conversations/c", statuses=(204,))


def _simulations() -> Iterator[Case]:
    yield Case("PATCH", "/sim", {"journal": True})
    for path in ("/stream-sse", "/stream-ndjson", "/stream-loop", "/api/data"):
        yield Case("GET", f"{path}?{SIM.replace(',', '&')}")
    for fault in FAULTS:
        yield Case("GET", f"/stream-sse?{SIM.replace(',', '&')}&fault={fault}", statuses=(200, 0))
    for more in ("ttft=2ms~0.5", "text=words", "prefill=1us", "speed=2", "seed=1"):
        yield Case("GET", f"/stream-sse?{SIM.replace(',', '&')}&{more}")
    yield Case("GET", "/stream-sse?status=429x1", statuses=(429,))
    yield Case("PATCH", "/sim/gates/g", {"tokens": 9})
    yield Case("GET", f"/stream-sse?{SIM.replace(',', '&')}&gate=g@2")
    for path in ("/sim/gates", "/sim/requests"):
        yield Case("GET", path)
    yield Case("PUT", "/sim", {"sim": SIM})
    yield Case("DELETE", "/sim", statuses=(200, 204))


def _mistakes() -> Iterator[Case]:
    yield Case("GET", "/nowhere", statuses=(404,))
    yield Case("PUT", "/health", statuses=(405,))
    yield Case("GET", "/stream-sse?gap=x", statuses=(400,))
    for path in ("/chat", "/v1/chat/completions", "/v1/messages", "/api/chat"):
        yield Case("POST", path, {"messages": 1}, statuses=(400, 422))
    yield Case("OPTIONS", "/chat", statuses=(204,), headers=(("origin", "http://localhost:1"),))


def simulator() -> list[Case]:
    """The requests that every image must serve."""
    return [*_simulations(), *_chats(), *_documents(), *_mistakes()]


def check(port: int, case: Case) -> None:
    """Send a request and read its response. Raises AssertionError on another status or an internal error."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    body = None if case.body is None else json.dumps(case.body)
    headers = {"content-type": "application/json", **dict(case.headers)} if body else dict(case.headers)
    with closing(connection):
        try:
            connection.request(case.method, case.path, body, headers)
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, HTTPException) as error:  # broken by a configured fault
            status, text = 0, repr(error).encode()
    if status not in case.statuses or b'{"error":{"code":"internal_error"' in text:
        raise AssertionError(f"{case.method} {case.path}: {status}, expected one of {case.statuses}: {text[:300]!r}")


@contextmanager
def served(command: Sequence[str], **environment: str) -> Iterator[int]:
    """The port of a server that runs until the end of the block. SIGTERM must end it with status 0."""
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
    """The first line of the greeting, which has the address."""
    return process.stdout.readline() if process.stdout else ""


def exercise(command: Sequence[str], folder: Path, *, path_inside: str) -> None:
    """Run a server and all requests of `simulator`; also the commands, a host name and a scenario file.

    `folder` is a writable directory, `path_inside` its path in the server's file system.
    """
    with served(command) as port:
        for case in simulator():
            check(port, case)
        subprocess.run([*command, "health"], env={**os.environ, "PORT": str(port)}, check=True)
    with served(command, HOST="localhost", API_KEY="sha256:" + "0" * 64, SIM="profile=groq-70b") as keyed:
        check(keyed, Case("GET", "/stream-sse", statuses=(401,)))
    (folder / "turns.json").write_text(SCENARIO, encoding="utf-8")
    with served(command, SIM=f"script={path_inside}/turns.json") as scripted:
        check(scripted, Case("POST", "/chat", {"messages": MESSAGES}))
        check(scripted, Case("POST", "/chat", {"messages": [{"role": "user", "content": "No"}]}, statuses=(404,)))
    for words in (["--help"], ["serve", "--help"], ["--version"]):
        subprocess.run([*command, *words], stdout=subprocess.DEVNULL, check=True)
    refused = subprocess.run([*command, "serve", "--port", "x"], stderr=subprocess.PIPE, text=True, check=False)
    if "PORT: got 'x'" not in refused.stderr:
        raise AssertionError(f"unexpected message for an invalid flag: {refused.stderr}")
