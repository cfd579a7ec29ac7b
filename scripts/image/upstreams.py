"""Uses the features of the full image: TLS, SQLite, Redis, workers, YAML, `record`, `fit`. Part of its build."""

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.image.exercise import MESSAGES, Case, check, first_line, served

MODEL = "some/model"
SCENARIO = "- when: {last: {pattern: '(l+)+o'}}\n  say: Hello\n"
"""A YAML file with a pattern that only RE2 accepts."""
CHAT = {"model": MODEL, "messages": MESSAGES, "max_tokens": 3}


def exercise_full(command: Sequence[str], folder: Path, *, path_inside: str) -> None:
    """Use every feature once. `folder` is writable, `path_inside` its path in the server's file system."""
    with served(command) as simulator, _tls(simulator, folder) as port:
        upstream = {"UPSTREAM_URL": f"https://localhost:{port}/v1", "SSL_CERT_FILE": f"{path_inside}/certificate.pem"}
        keyed = {**upstream, "UPSTREAM_API_KEY": "k", "API_KEY": "key", "MODEL": MODEL}
        with served(command, **keyed, HISTORY_URL=f"sqlite:///{path_inside}/chat.db") as relay:
            _chat(relay)
        with served(command, **keyed, HISTORY_URL=f"sqlite:///{path_inside}/chat.db", WORKERS="2") as relay:
            _chat(relay)
        _record(command, upstream, path_inside=path_inside)
        json.loads((folder / "profile.json").read_text(encoding="utf-8"))
    (folder / "turns.yaml").write_text(SCENARIO, encoding="utf-8")
    with served(command, SIM=f"script={path_inside}/turns.yaml") as scripted:
        check(scripted, Case("POST", "/chat", {"messages": MESSAGES}))
    # No Redis listens there. All modules are imported before the connection fails.
    with served(command, REDIS_URL="redis://127.0.0.1:1/0") as without_redis:
        check(without_redis, Case("GET", "/readyz", statuses=(503,)))
        check(without_redis, Case("POST", "/chat", {"messages": MESSAGES}, statuses=(503,)))


def _chat(port: int) -> None:
    key = (("x-api-key", "key"),)
    for stream in (True, False):
        check(port, Case("POST", "/chat", {"messages": MESSAGES, "stream": stream, "model": MODEL}, headers=key))
        for path in ("/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/responses", "/v1/completions"):
            more = {"prompt": "Hello", "input": "Hello"} if path in ("/v1/completions", "/v1/responses") else {}
            check(port, Case("POST", path, {**CHAT, **more, "stream": stream, "max_tokens": 20}, (200, 400, 404), key))
    check(port, Case("GET", "/history", headers=key))
    check(port, Case("GET", "/metrics"))


def _record(command: Sequence[str], upstream: dict[str, str], *, path_inside: str) -> None:
    recording = f"{path_inside}/recording.jsonl"
    words = ["record", "--upstream", upstream["UPSTREAM_URL"], "--out", recording, "--port", "0"]
    process = subprocess.Popen([*command, *words], env={**os.environ, **upstream}, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            port = int(first_line(process).partition(" into ")[0].rpartition(":")[2])
            for _ in range(3):
                check(port, Case("POST", "/chat/completions", {**CHAT, "stream": True, "max_tokens": 20}, (200, 404)))
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()
    fitted = subprocess.run([*command, "fit", recording, "--out", f"{path_inside}/profile.json"], check=False)
    if process.returncode or fitted.returncode:
        raise AssertionError(f"record ended with status {process.returncode}, fit with {fitted.returncode}")


@contextmanager
def _tls(to: int, folder: Path) -> Iterator[int]:
    """The port of a TLS proxy in front of the server at port `to`; its certificate is in `folder`."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject]
    subprocess.run(made, stderr=subprocess.DEVNULL, check=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    Path(certificate).chmod(0o644)
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):  # the listener is closed at the end
            while True:
                client = listener.accept()[0]
                threading.Thread(target=relay, args=(client,), daemon=True).start()

    def relay(client: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(client, server_side=True) as inner,
            socket.create_connection(("127.0.0.1", to)) as outer,
        ):
            back = threading.Thread(target=_pipe, args=(outer, inner), daemon=True)
            back.start()
            _pipe(inner, outer)
            back.join()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield listener.getsockname()[1]


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
