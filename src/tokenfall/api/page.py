"""The chat page: the files of `tokenfall/web`, read when first asked for and then kept.

The page holds nothing secret, so it is served without a key; it asks for one when the API does.
"""

from hashlib import sha256
from os import listdir, path

from tokenfall.edge.request import Request
from tokenfall.edge.response import Response

WEB = path.join(path.dirname(path.dirname(__file__)), "web")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("cache-control", "no-cache"),
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
)


class Page:
    """The handlers of the page and its assets."""

    def __init__(self) -> None:
        assets = {f"/web/{name}": name for name in sorted(listdir(WEB)) if path.splitext(name)[1] in TYPES}
        self.files = {"/web": "index.html"} | assets
        """Each path that is served, with the name of its file."""
        self._kept: dict[str, tuple[str, Response]] = {}

    def lead(self, request: Request) -> Response:
        """`GET /`: to the page, by a relative address, so that a path prefix of a proxy stays."""
        return Response(307, headers=(("location", "web"),))

    def serve(self, request: Request) -> Response:
        """A file, or 304 when the browser has it."""
        name = self.files[request.path]
        if name not in self._kept:
            with open(path.join(WEB, name), "rb") as file:
                body = file.read()
            tag = f'"{sha256(body).hexdigest()[:20]}"'
            headers = (*_HEADERS, ("etag", tag))
            self._kept[name] = (tag, Response(200, body, content_type=TYPES[path.splitext(name)[1]], headers=headers))
        tag, response = self._kept[name]
        if tag in (request.header(b"if-none-match") or ""):
            return Response(304, headers=(*_HEADERS, ("etag", tag)))
        return response
