"""The relay behind `tokenfall record`: passes each request on as it is, and keeps what was said and when.

It judges nothing, repeats nothing and translates nothing: a recording of what we made of a response would be worthless.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokenfall import logs
from tokenfall.errors import TokenfallError
from tokenfall.http.response import LiveStream, Response
from tokenfall.recording.keeper import Keeper
from tokenfall.recording.redaction import Redactor
from tokenfall.recording.relaying import Relaying, end_to_end, named_headers
from tokenfall.recording.signatures import PREFIXES
from tokenfall.upstream import request as upstream

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tokenfall.http.application import Outcome
    from tokenfall.http.request import Request
    from tokenfall.upstream.client import HTTPClient
    from tokenfall.upstream.exchange import Exchange

MAX_REQUEST_BYTES = 33_554_432
NAMES_OF_LOOPBACK = ("localhost", "127.0.0.1", "::1")

_OWN = ("authorization", "x-api-key", "cookie")

_log = logs.get("tokenfall")


class Recorder:
    """The application of the edge that relays. With a `key` it asks in its own name, else in that of the client."""

    def __init__(self, client: HTTPClient, keeper: Keeper, *, base_path: str, key: str | None) -> None:
        """`client` asks the upstream's origin; `base_path` is that of its base address, without a slash at its end."""
        self.stopping = False
        """Whether what is cut from now on is cut by the relay's own end."""
        self._client = client
        self._base_path = base_path
        self._keeper = keeper
        self._key = key
        self._redactor = Redactor([key] if key else [])

    def answer(self, request: Request) -> Response | Coroutine[Any, Any, Response | LiveStream]:
        if self._key is not None and not _is_local(request):
            return _told(403, "a page of another origin asks: it may not use the key of tokenfall record")
        return self._relay(request)

    async def _relay(self, request: Request) -> Response | LiveStream:
        target = below(self._base_path, request.target)
        asked = upstream.Request(request.method, target, headers=self._headers(request), body=request.body or None)

        async def ask(exchange: Exchange) -> None:
            await self._client.run(asked, exchange, within_s=float("inf"))

        relaying = Relaying(request, self._keeper, ask=ask, redactor=self._redactor, is_stopping=lambda: self.stopping)
        try:
            return await relaying.answer()
        except TokenfallError as error:
            return _told(502, error.message)

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        headers = named_headers(request)
        passed = [*end_to_end(list(headers.items())), ("accept-encoding", "identity")]
        if self._key is None:
            return passed
        passed = [(name, value) for name, value in passed if name not in _OWN]
        if "anthropic-version" in headers:
            return [*passed, ("x-api-key", self._key)]
        return [*passed, ("authorization", f"Bearer {self._key}")]

    def proceed(self, request: Request) -> Response | Coroutine[Any, Any, Response | LiveStream]:
        return self.answer(request)

    def refusal_needs(self, request: Request) -> None:
        """Everything is loaded at the start."""

    def refuse(self, request: Request, status: int, *, detail: str) -> Response:
        return _told(status, detail)

    def cut(self, request: Request) -> Response:
        return _told(503, "it is about to end")

    def crashed(self, request: Request, error: Exception) -> Response:
        _log.error("a request could not be relayed", exc_info=error)
        return _told(500, "it failed, see its log")

    def ended(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
        """What matters is in the recording."""


def below(base_path: str, target: str) -> str:
    """A target below the base path, whichever part of that the client has added by itself.

    Without a base path the target stays as it is.
    """
    if not base_path or target.startswith(f"{base_path}/"):
        return target
    prefix = next((prefix for prefix in PREFIXES if target.startswith(prefix)), "/")
    return f"{base_path}/{target[len(prefix) :]}"


def _is_local(request: Request) -> bool:
    """Whether no page of another origin asks, be it by its own name or by ours (DNS rebinding)."""
    origin = request.header(b"origin")
    named = [_host(f"//{request.header(b'host')}"), *([] if origin is None else [_host(origin)])]
    return all(name in NAMES_OF_LOOPBACK for name in named)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _told(status: int, message: str) -> Response:
    document = {"error": {"message": f"tokenfall record: {message}", "type": "relay"}}
    return Response(status, json.dumps(document).encode(), content_type="application/json")
