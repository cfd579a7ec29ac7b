"""`tokenfall health`: checks that the server of this container responds. For HEALTHCHECK and exec probes.

It shares the server's CPU and memory, so it imports only the C module of sockets, and `tokenfall.__main__` imports no
other module for it.
"""

import _socket  # the C module: `socket` imports enum and selectors
import os
import sys

TIMEOUT_S = 5.0
HEALTHY, UNHEALTHY, USAGE_ERROR = 0, 1, 2
"""Exit statuses: Docker expects 0 or 1; 2 is an error on the command line."""
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
MAX_HEAD_BYTES = 64


def health(arguments: "list[str]") -> int:
    """Send a request to HOST and PORT of the environment; return the exit status, with one line on stderr unless 0."""
    if arguments:
        print("usage: tokenfall health  (uses HOST and PORT of the environment)", file=sys.stderr)
        return USAGE_ERROR
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8080"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        print(f"tokenfall: PORT: got {port!r}, takes an integer from 1 to 65535", file=sys.stderr)
        return USAGE_ERROR
    try:
        status = _status({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port))  # noqa: S104 - read
    except OSError as error:  # includes timeouts and unknown host names
        print(f"tokenfall: no response from {host}:{port}: {error}", file=sys.stderr)
        return UNHEALTHY
    if status != b"200":
        shown = status.decode("ascii", "replace") or "nothing"
        print(f"tokenfall: {host}:{port} responded with {shown}, not 200", file=sys.stderr)
        return UNHEALTHY
    return HEALTHY


def _status(host: str, port: int) -> bytes:
    """The status of GET /health, b"" if the response has none. Raises OSError, including TimeoutError."""
    name = host.encode()  # a `str` would be encoded with the idna codec, which takes megabytes
    family, kind, protocol, _, address = _socket.getaddrinfo(name, port, 0, _socket.SOCK_STREAM)[0]
    connection = _socket.socket(family, kind, protocol)
    try:
        connection.settimeout(TIMEOUT_S)
        connection.connect(address)
        connection.sendall(REQUEST)
        head = b""
        while b"\r\n" not in head and len(head) < MAX_HEAD_BYTES:
            piece = connection.recv(MAX_HEAD_BYTES)
            if not piece:
                break
            head += piece
    finally:
        connection.close()
    version, _, after_version = head.partition(b" ")
    return after_version[:3] if version.startswith(b"HTTP/1.") else b""
