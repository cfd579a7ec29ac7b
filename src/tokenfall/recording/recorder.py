"""The HTTP application of `tokenfall record`: forwards each request unchanged, and records the response with its times.

It must not validate, retry or translate: a recording has to contain the provider's original response.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokenfall import logs
from tokenfall.errors import RequestMemoryFull, TokenfallError
from tokenfall.http.encoding import header_lines
from tokenfall.http.response import LiveStream, Response
from tokenfall.recording.redaction import Redactor
from tokenfall.recording.relaying import ExchangeRelay, end_to_end, named_headers
from tokenfall.recording.signatures import PREFIXES
from tokenfall.recording.writer import RecordingWriter
from tokenfall.upstream import request as upstream

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tokenfall.http.application import Outcome
    from tokenfall.http.request import Request
    from tokenfall.memory.leases import RequestMemory
    from tokenfall.upstream.client import HTTPClient
    from tokenfall.upstream.exchange import UpstreamExchange

MAX_REQUEST_BYTES = 33_554_432
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

_CREDENTIAL_HEADERS = ("authorization", "x-api-key", "cookie")

_log = logs.get("tokenfall")


class Recorder:
    """Implements the HTTP server's `Application`. Uses `key` for the upstream if given, else the client's key."""

    def __init__(
        self, client: HTTPClient, writer: RecordingWriter, *, base_path: str, key: str | None, memory: RequestMemory
    ) -> None:
        """`memory`: of all exchanges, until they are written.

        `client` connects to the upstream's origin; `base_path` is the path of its base URL without a final slash.
        """
        self.stopping = False
        """Set at shutdown: exchanges that end later are recorded as interrupted by the relay, not by the client."""
        self._client = client
        self._base_path = base_path
        self._writer = writer
        self._key = key
        self._memory = memory
        self._redactor = Redactor([key] if key else [])

    def respond(self, request: Request) -> Response | Coroutine[Any, Any, Response | LiveStream]:
        if self._key is not None and not _is_local(request):
            return _error(403, "requests from pages of other origins may not use the key of tokenfall record")
        return self._relay(request)

    async def _relay(self, request: Request) -> Response | LiveStream:
        target = upstream_target(self._base_path, request.target)
        forwarded = upstream.UpstreamRequest(
            request.method, target, headers=header_lines(self._headers(request)), body=request.body or None
        )

        async def send(exchange: UpstreamExchange) -> None:
            await self._client.run(forwarded, exchange, within_s=float("inf"))

        try:
            relay = ExchangeRelay(
                request,
                self._writer,
                send=send,
                redactor=self._redactor,
                is_stopping=lambda: self.stopping,
                lease=self._memory.lease(request.client),
            )
            return await relay.respond()
        except RequestMemoryFull as error:
            return _error(503, error.message)
        except TokenfallError as error:
            return _error(502, error.message)

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        headers = named_headers(request)
        forwarded_headers = [*end_to_end(list(headers.items())), ("accept-encoding", "identity")]
        if self._key is None:
            return forwarded_headers
        forwarded_headers = [(name, value) for name, value in forwarded_headers if name not in _CREDENTIAL_HEADERS]
        if "anthropic-version" in headers:
            return [*forwarded_headers, ("x-api-key", self._key)]
        return [*forwarded_headers, ("authorization", f"Bearer {self._key}")]

    def respond_when_loaded(self, request: Request) -> Response | Coroutine[Any, Any, Response | LiveStream]:
        return self.respond(request)

    def needed_for_refusal(self, request: Request) -> None:
        """Not used: all modules are loaded at startup."""

    def refuse(self, request: Request, status: int, *, detail: str) -> Response:
        return _error(status, detail)

    def caller(self, request: Request) -> str:
        return request.client

    def cut(self, request: Request) -> Response:
        return _error(503, "the server is shutting down")

    def crashed(self, request: Request, error: Exception) -> Response:
        _log.error("cannot relay a request", exc_info=error)
        return _error(500, "internal error, see its log")

    def ended(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
        """Nothing to do: the exchange is in the recording."""


def upstream_target(base_path: str, target: str) -> str:
    """The request target for the upstream: the base path is added, unless the client's target starts with it.

    A version prefix of the client's target (`PREFIXES`) is replaced. Without a base path the target is unchanged.
    """
    if not base_path or target.startswith(f"{base_path}/"):
        return target
    prefix = next((prefix for prefix in PREFIXES if target.startswith(prefix)), "/")
    return f"{base_path}/{target[len(prefix) :]}"


def _is_local(request: Request) -> bool:
    """Whether `Host` and `Origin` are loopback names; false for pages of other origins and for DNS rebinding."""
    origin = request.header(b"origin")
    named = [_host(f"//{request.header(b'host')}"), *([] if origin is None else [_host(origin)])]
    return all(name in LOOPBACK_NAMES for name in named)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _error(status: int, message: str) -> Response:
    document = {"error": {"message": f"tokenfall record: {message}", "type": "relay"}}
    return Response(status, json.dumps(document).encode(), content_type="application/json")
