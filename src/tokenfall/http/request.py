"""A request as the application sees it, and what the edge refuses."""

from tokenfall.http.percent import unquoted


class Refusal(Exception):
    """The edge answers this itself and closes. `status` is an HTTP status, `detail` may be shown to the client."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Request:
    """One request. After its answer has begun, headers, query and body are empty: only what a log needs stays.

    `headers` has lower-case names; a repeated header's values are joined by ", " (RFC 9110, section 5.3).
    `client` is the peer's address without port. `started_s` is monotonic. `route` and `id` are the application's.
    """

    __slots__ = (
        "body", "client", "headers", "http_minor", "id", "keep_alive", "method", "path", "query_string",
        "reply_headers", "route", "started_s",
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
        self.keep_alive = True
        self.client = ""
        self.started_s = 0.0
        self.route = ""
        self.id = ""
        self.reply_headers = b""

    def again(self) -> "Request":
        """A new request with the same head, as a client that repeats itself sends it."""
        twin = Request.__new__(Request)
        twin.method = self.method
        twin.path = self.path
        twin.query_string = self.query_string
        twin.headers = self.headers
        twin.http_minor = self.http_minor
        twin.keep_alive = self.keep_alive
        twin.body = twin.reply_headers = b""
        twin.client = twin.id = twin.route = ""
        twin.started_s = 0.0
        return twin

    @property
    def target(self) -> str:
        """Path and query as the client wrote them."""
        path = self.headers.get(_RAW_PATH)
        target = self.path if path is None else path.decode("ascii")
        return f"{target}?{self.query_string.decode('ascii')}" if self.query_string else target

    def header(self, name: bytes) -> str | None:
        """A header's value by its lower-case name, None when it was not sent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def query(self) -> list[tuple[str, str]]:
        """The query's pairs in their order, decoded; blank values are kept."""
        text = self.query_string.decode("ascii")
        pairs = (part.partition("=") for part in text.split("&") if part)
        if "%" in text or "+" in text:
            return [(_decoded(name), _decoded(value)) for name, _, value in pairs]
        return [(name, value) for name, _, value in pairs]

    def drop_content(self) -> None:
        """Let go of what only the application's decision needed; the path too where a route names it."""
        self.headers = _NOTHING
        self.body = self.query_string = b""
        if self.route:
            self.path = self.route


def unreadable(client: str, now_s: float) -> Request:
    """What stands in logs for a request that could not be read."""
    request = Request("-", b"-", headers=_NOTHING, http_minor=1)
    request.client = client
    request.started_s = now_s
    return request


def _decoded(text: str) -> str:
    """A name or value of a query, in which a space may be a plus sign."""
    return unquoted(text.replace("+", " "))


_RAW_PATH = b":path"
"""Where a path with percent signs is kept as it came, among the headers: no client can send one of this name."""
_NOTHING: dict[bytes, bytes] = {}
