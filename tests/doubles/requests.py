"""Requests as the HTTP server passes them to the application."""

from tokenfall.http.request import Request


def request(
    target: str = "/",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    client: str = "127.0.0.1",
) -> Request:
    """Return a request with lower-case header names, as the head parser creates it."""
    lines = {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
    made = Request(method, target.encode(), headers=lines, http_minor=1)
    made.body = body
    made.client = client
    made.started_s = 1000.0
    return made


def lines_of(head: bytes) -> list[str]:
    """Return the lines of a response head or of added header lines, without line ends."""
    return head.decode("latin-1").removesuffix("\r\n").split("\r\n")
