"""Requests to a server's own controls, over HTTP: the same for a server in a thread and for one in a process."""

import json
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

from tokenfall.testing.hosts import Host

PATIENCE_S = 10.0
"""How long a control may take to answer."""


class ServerGone(ConnectionError):
    """The server under test has ended, or cannot be reached; the message says how it ended."""


class ControlRefused(ValueError):
    """The server does not take what it was told; the message is the server's."""


class Control:
    """Calls; each has a connection of its own, so that any thread may call and none is left open."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def document(self, method: str, path: str, *, body: object = None) -> Any:  # noqa: ANN401 - JSON is anything
        """Of a JSON route: its answer, None where there is none. Raises `ServerGone`, `ControlRefused`."""
        content = self.content(method, path, body=body)
        return json.loads(content) if content else None

    def content(self, method: str, path: str, *, body: object = None) -> bytes:
        """What a route answers. Raises `ServerGone`, `ControlRefused`."""
        told = self._host.exit_reason()
        if told is not None:
            raise ServerGone(f"the Tokenfall server is gone: {told}")
        try:
            status, content = self._ask(method, path, body=None if body is None else json.dumps(body))
        except OSError as error:
            told = self._host.exit_reason() or f"it does not answer: {error}"
            raise ServerGone(f"the Tokenfall server is gone: {told}") from error
        if status >= HTTPStatus.BAD_REQUEST:
            raise ControlRefused(_detail(content) or f"{method} {path}: status {status}")
        return content

    def _ask(self, method: str, path: str, *, body: str | None) -> tuple[int, bytes]:
        address = self._host.address
        headers = {"connection": "close"}
        if address.key is not None:
            headers["authorization"] = f"Bearer {address.key}"
        connection = HTTPConnection(reachable(address.host), address.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                return response.status, response.read()
        except HTTPException as error:
            raise ConnectionError(repr(error)) from error
        finally:
            connection.close()


def reachable(host: str) -> str:
    """An address that a client can connect to, for one that a server listens on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not listened on


def _detail(content: bytes) -> str:
    try:
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        return ""
