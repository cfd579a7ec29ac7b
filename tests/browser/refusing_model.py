"""An OpenAI-compatible provider that refuses every question, for the tests of the chat page."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class _Refusing(BaseHTTPRequestHandler):
    """Streams `pieces` as `delta.refusal`, then the end."""

    pieces: tuple[str, ...] = ()

    def do_GET(self) -> None:
        models = {"object": "list", "data": [{"id": "up-1", "object": "model", "created": 1, "owned_by": "test"}]}
        self._begin("application/json")
        self.wfile.write(json.dumps(models).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._begin("text/event-stream")
        for piece in self.pieces:
            self._send({"refusal": piece})
        self._send({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def _begin(self, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()

    def _send(self, delta: dict[str, str], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up-1", "choices": [choice]}
        self.wfile.write(b"data: %b\n\n" % json.dumps(chunk).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@contextmanager
def refusing_model(*pieces: str) -> Iterator[str]:
    """Runs the provider in a thread; yields its base address."""
    handler = type("Refusing", (_Refusing,), {"pieces": pieces})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
