"""Parses the same bytes with Tokenfall's parser and with h11."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

import h11

from tokenfall.http.bounds import Bounds
from tokenfall.http.head import HeadParser
from tokenfall.http.reader import RequestReader
from tokenfall.http.request import Refusal

BOUNDS = Bounds()


@dataclass(frozen=True)
class ParsedRequest:
    """A complete request."""

    method: str
    path: str
    query: bytes
    body: bytes
    closes: bool = field(compare=False)


@dataclass(frozen=True)
class Reading:
    """The result for the bytes of one connection: the requests, and the status of a refusal (0 for none).

    Without a refusal the parser needs more bytes, or the last request closed the connection.
    """

    requests: tuple[ParsedRequest, ...]
    refused: int
    why: str = ""


def tokenfall_reads(parts: Iterable[bytes], heads: HeadParser) -> Reading:
    """The result of Tokenfall, as in a `Connection`. Calls may share `heads`, as the connections of a process do."""
    reader = RequestReader(heads, BOUNDS)
    parsed: list[ParsedRequest] = []
    try:
        for part in parts:
            reader.feed(part)
            while (request := reader.next()) is not None:
                closes = not request.keep_alive
                parsed.append(ParsedRequest(request.method, request.path, request.query_string, request.body, closes))
                if closes:
                    return Reading(tuple(parsed), 0)
    except Refusal as refusal:
        return Reading(tuple(parsed), refusal.status, refusal.detail)
    return Reading(tuple(parsed), 0)


def h11_reads(data: bytes) -> Reading:
    """The result of h11 in a server."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    parsed: list[ParsedRequest] = []
    try:
        while (request := _next(connection)) is not None:
            parsed.append(request)
            if request.closes:
                break
            connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        return Reading(tuple(parsed), error.error_status_hint, str(error))
    return Reading(tuple(parsed), 0)


def _next(connection: h11.Connection) -> ParsedRequest | None:
    """The next complete request, None if more bytes are needed. Sends a response, so that another can follow."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        match event:
            case h11.Request():
                head = event
            case h11.Data():
                body += event.data
            case h11.EndOfMessage() if head is not None:
                status = 405 if head.method == b"CONNECT" else 200  # h11 would switch protocols after 200
                connection.send(h11.Response(status_code=status, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                path, query = origin_form(head.target)
                closes = connection.our_state is not h11.DONE
                return ParsedRequest(
                    head.method.decode("ascii"), unquote(path.decode("ascii")), query, bytes(body), closes
                )
            case _:
                return None


def origin_form(target: bytes) -> tuple[bytes, bytes]:
    """The path and query of a target in origin or absolute form; RFC 9112, section 3.2.2."""
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.lower() in (b"http", b"https") and not target.startswith(b"/"):
        at = min((rest.find(mark) for mark in (b"/", b"?") if mark in rest), default=len(rest))
        target = rest[at:] if rest[at : at + 1] == b"/" else b"/" + rest[at:]
    path, _, query = target.partition(b"?")
    return path, query
