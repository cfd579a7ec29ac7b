"""A request as passed to the application, and the exception for requests that the HTTP server refuses."""

from tokenfall.http.percent import unquoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Refusal(Exception):
    """A malformed or oversized request. The server sends `status` with `detail` and closes the connection."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Request:
    """One request. Headers, query and body are emptied once its stream starts or its response ends; the fields that
    the access log needs remain.

    `headers` has lower-case names; the values of a repeated header are joined by ", " (RFC 9110, section 5.3).
    `client` is the peer's address without port. `started_s` is monotonic. The application sets `route` and `id`.
    """

    __slots__ = (
        "body", "client", "headers", "http_minor", "id", "keep_alive", "method", "on_drop", "path", "query_string",
        "response_headers", "route", "started_s",
    )  # fmt: skip

    def __init__(self, method: str, target: bytes, *, headers: dict[bytes, bytes], http_minor: int) -> None:
        path, _, query = target.partition(b"?")
        self.method = method
        if b"%" in path:
            self.path = unquoted(path.decode("ascii"))
            headers[_RAW_PATH] = path
        else:
            self.path = path.decode("ascii")
        self.query_string = query
        self.headers = headers
        self.http_minor = http_minor
        self.body = b""
        self.on_drop: Callable[[], None] | None = None
        """Called once when the content is dropped."""
        self.keep_alive = True
        self.client = ""
        self.started_s = 0.0
        self.route = ""
        self.id = ""
        self.response_headers = b""

    def copy_head(self) -> "Request":
        """A new request with the same head, for the cache of parsed heads."""
        copy = Request.__new__(Request)
        copy.method = self.method
        copy.path = self.path
        copy.query_string = self.query_string
        copy.headers = self.headers
        copy.http_minor = self.http_minor
        copy.keep_alive = self.keep_alive
        copy.body = copy.response_headers = b""
        copy.client = copy.id = copy.route = ""
        copy.on_drop = None
        copy.started_s = 0.0
        return copy

    @property
    def target(self) -> str:
        """Path and query as the client sent them."""
        path = self.headers.get(_RAW_PATH)
        target = self.path if path is None else path.decode("ascii")
        return f"{target}?{self.query_string.decode('ascii')}" if self.query_string else target

    def header(self, name: bytes) -> str | None:
        """A header's value by its lower-case name, None if absent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def query(self) -> list[tuple[str, str]]:
        """The query's pairs in order, decoded, including blank values."""
        text = self.query_string.decode("ascii")
        pairs = (part.partition("=") for part in text.split("&") if part)
        if "%" in text or "+" in text:
            return [(_decoded(name), _decoded(value)) for name, _, value in pairs]
        return [(name, value) for name, _, value in pairs]

    def drop_content(self) -> None:
        """Release headers, query and body; replace the path by the route, if one matched."""
        self.headers = _NO_HEADERS
        self.body = self.query_string = b""
        if self.route:
            self.path = self.route
        if self.on_drop is not None:
            self.on_drop()
            self.on_drop = None


def placeholder_request(client: str, now_s: float) -> Request:
    """A placeholder, for logs, for a request that could not be parsed."""
    request = Request("-", b"-", headers=_NO_HEADERS, http_minor=1)
    request.client = client
    request.started_s = now_s
    return request


def _decoded(text: str) -> str:
    """A decoded name or value of a query, in which a plus sign is a space."""
    return unquoted(text.replace("+", " "))


_RAW_PATH = b":path"
"""Key in `headers` of a percent-encoded path as received; no client can send a header of this name."""
_NO_HEADERS: dict[bytes, bytes] = {}
