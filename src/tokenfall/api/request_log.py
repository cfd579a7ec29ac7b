"""The log of the simulator's requests, for tests that check them: off by default, bounded, with secrets removed."""

from __future__ import annotations

from time import time

from tokenfall.http.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tokenfall.recording.redaction import Redactor

MAX_REQUESTS = 1_000
MAX_TOTAL_BYTES = 2_500_000
"""Size of all requests together. The JSON response that lists them may be up to six times as large."""

ENTRY_BYTES, HEADER_BYTES = 800, 150
"""Memory of an entry, and of each header, besides its texts."""

MAX_BODY_BYTES = 16_384
_SECRET = (
    b"authorization", b"proxy-authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"x-auth-token", b"cookie",
)  # fmt: skip
_REMOVED = "[removed]"


class RequestLog:
    """The newest requests. API keys of the callers are removed wherever they occur."""

    def __init__(self) -> None:
        self.is_on = False
        self._entries: list[dict[str, Any]] = []
        self._sizes: list[int] = []
        self._bytes = 0

    def add(self, request: Request) -> None:
        """Add a request, if the log is on."""
        if not self.is_on:
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in request.headers.items()
            if not name.startswith(b":")  # added by the HTTP server
        }
        redactor = _redactor(headers)
        path, _, query = redactor.target(f"{request.path}?{request.query_string.decode('latin-1')}").partition("?")
        body = redactor.beginning(request.body, MAX_BODY_BYTES)
        self._entries.append(
            {
                "time": time(),
                "id": request.id,
                "method": request.method,
                "path": path,
                "query": query,
                "headers": {
                    name: _REMOVED if name.encode("latin-1") in _SECRET else redactor.text(value)
                    for name, value in headers.items()
                },
                "body": body.decode("utf-8", "replace"),
                "truncated": len(request.body) > MAX_BODY_BYTES,
            }
        )
        size = ENTRY_BYTES + len(body) + len(path) + len(query)
        size += sum(HEADER_BYTES + len(name) + len(value) for name, value in headers.items())
        self._sizes.append(size)
        self._bytes += size
        while self._bytes > MAX_TOTAL_BYTES or len(self._entries) > MAX_REQUESTS:
            del self._entries[0]
            self._bytes -= self._sizes.pop(0)

    @property
    def size_bytes(self) -> int:
        """Size of all requests."""
        return self._bytes

    def entries(self) -> list[dict[str, Any]]:
        """All requests, oldest first."""
        return list(self._entries)

    def clear(self) -> None:
        self._entries.clear()
        self._sizes.clear()
        self._bytes = 0


def _redactor(headers: dict[str, str]) -> Redactor:
    from tokenfall.recording.redaction import Redactor, keys_in  # noqa: PLC0415 - needed only if the log is on

    redactor = Redactor()
    redactor.learn(keys_in(headers))
    return redactor
