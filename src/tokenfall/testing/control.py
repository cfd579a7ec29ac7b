"""HTTP requests to the control API of the server under test, in a thread or a process."""

import json
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

from tokenfall.testing.hosts import Host

TIMEOUT_S = 10.0
"""Timeout of a control request."""


class ServerGone(ConnectionError):
    """The server under test has ended, or cannot be reached; the message has the reason."""


class ControlRefused(ValueError):
    """The server refused a control request; the message is the server's."""


class Control:
    """Control requests. Each uses its own connection, so that any thread may call and none stays open."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def document(self, method: str, path: str, *, body: object = None) -> Any:  # noqa: ANN401 - JSON is anything
        """The JSON response of a route, None without a body. Raises `ServerGone`, `ControlRefused`."""
        content = self.content(method, path, body=body)
        return json.loads(content) if content else None

    def content(self, method: str, path: str, *, body: object = None) -> bytes:
        """The response body of a route. Raises `ServerGone`, `ControlRefused`."""
        reason = self._host.exit_reason()
        if reason is not None:
            raise ServerGone(f"the Tokenfall server is not running: {reason}")
        try:
            status, content = self._request(method, path, body=None if body is None else json.dumps(body))
        except OSError as error:
            reason = self._host.exit_reason() or f"it does not respond: {error}"
            raise ServerGone(f"the Tokenfall server is not running: {reason}") from error
        if status >= HTTPStatus.BAD_REQUEST:
            raise ControlRefused(_detail(content) or f"{method} {path}: status {status}")
        return content

    def _request(self, method: str, path: str, *, body: str | None) -> tuple[int, bytes]:
        address = self._host.address
        headers = {"connection": "close"}
        if address.key is not None:
            headers["authorization"] = f"Bearer {address.key}"
        connection = HTTPConnection(reachable(address.host), address.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                return response.status, response.read()
        except HTTPException as error:
            raise ConnectionError(repr(error)) from error
        finally:
            connection.close()


def reachable(host: str) -> str:
    """The address that a client connects to, for the address that a server listens on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _detail(content: bytes) -> str:
    try:
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        return ""
