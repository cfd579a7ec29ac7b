"""The chat page and the dashboard: the files of `tokenfall/web`, read at the first request and cached.

They contain no secrets and are served without an API key; the pages prompt for one if the API requires it. A file may
be stored compressed, as `NAME.gz`: the container images do that.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from os import listdir, path
from zlib import compressobj, decompress

from tokenfall.errors import NotFound
from tokenfall.http.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.request import Request


COMPRESSED = ".gz"
WEB = path.join(path.dirname(path.dirname(__file__)), "web")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGES = {"/web": "index.html", "/board": "dashboard.html"}
"""The file of each page, by path."""

ASSETS = TYPES.keys() - {".html"}
"""Types of the files served below `/web/`; the pages themselves have other paths."""

_GZIP = 31
"""zlib's `wbits` value for the gzip format with a window of 32 KiB."""

_COMMENT = re.compile(rb"^[ \t]*/\*.*?\*/[ \t]*$", re.MULTILINE | re.DOTALL)
"""A comment of a script, on lines of its own. Such comments are a fifth of the source."""

_LINE_COMMENT = re.compile(
    rb"""^((?:[^'"`/\n]|'[^'\\\n]*'|"[^"\\\n]*"|`[^`\\$\n]*`)*+)//[^\n]*$""",
    re.MULTILINE,
)
"""A comment up to the end of its line. The code before it is read token by token, so no string is cut."""

_COMMENT_AFTER_SLASH = re.compile(rb"(?:^|[ \t]+)// [^\n'\"`]*$", re.MULTILINE)
"""The same after code that `_LINE_COMMENT` does not read: a division, a regular expression, an escape or a template.
What has a quote may be the rest of a string, so it stays."""

_STYLE_COMMENT = re.compile(rb"""("[^"\n]*"|'[^'\n]*')|[ \t]*/\*.*?\*/""", re.DOTALL)
_MARKUP_COMMENT = re.compile(rb"[ \t]*<!--.*?-->", re.DOTALL)
_INDENT = re.compile(rb"^[ \t]+", re.MULTILINE)

_REFUSED = re.compile(r"q=0(\.0*)?")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("cache-control", "no-cache"),
    ("content-security-policy", _POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("vary", "accept-encoding"),
    ("x-content-type-options", "nosniff"),
)


class Page:
    """The handlers of the pages and their assets."""

    def __init__(self) -> None:
        names = sorted(name.removesuffix(COMPRESSED) for name in listdir(WEB))
        assets = {f"/web/{name}": name for name in names if path.splitext(name)[1] in ASSETS}
        self.files = PAGES | assets
        """File names by path."""

    def redirect(self, request: Request) -> Response:
        """`GET /`, `/web/` and `/board/`: redirects to the page; a relative URL preserves a proxy's path prefix."""
        page = request.path.strip("/")
        query = f"?{request.query_string.decode('ascii')}" if page and request.query_string else ""
        return Response(307, headers=(("location", f"../{page}{query}" if page else "web"),))

    def serve(self, request: Request) -> Response:
        """A page or `/web/{file}`; 304 if the browser has the current version. Raises `NotFound`."""
        name = self.files.get(request.path)
        if name is None:
            raise NotFound("there is no such file")
        tag, response = _read(path.join(WEB, name), takes_gzip(request.header(b"accept-encoding") or ""))
        if tag in (request.header(b"if-none-match") or ""):
            return Response(304, headers=(*_HEADERS, ("etag", tag)))
        return response


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header accepts gzip by name; RFC 9110, section 12.5.3."""
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in {"gzip", "x-gzip"}:
            return not _REFUSED.fullmatch(weight.strip())
    return False


def without_comments(name: str, content: bytes) -> bytes:
    """A file of the pages as it is sent: without comments and indentation, with the same line numbers.

    No script has a template or a string of several lines, whose indentation would be text.
    """
    if name.endswith(".js"):
        content = _COMMENT.sub(_line_ends, content)
        content = _LINE_COMMENT.sub(lambda line: line[1].rstrip(b" \t"), content)
        content = _COMMENT_AFTER_SLASH.sub(b"", content)
    elif name.endswith(".css"):
        content = _STYLE_COMMENT.sub(lambda found: found[1] or _line_ends(found), content)
    elif name.endswith(".html"):
        content = _MARKUP_COMMENT.sub(_line_ends, content)
    return _INDENT.sub(b"", content)


def _line_ends(comment: re.Match[bytes]) -> bytes:
    return b"\n" * comment[0].count(b"\n")


def _content(place: str) -> bytes:
    try:
        with open(place, "rb") as file:
            return file.read()
    except FileNotFoundError:
        with open(place + COMPRESSED, "rb") as file:
            return decompress(file.read(), _GZIP)


@cache
def _read(place: str, gzipped: bool) -> tuple[str, Response]:
    """The entity tag of a file, and the response that serves it."""
    body = without_comments(place, _content(place))
    tag = f'"{sha256(body).hexdigest()[:20]}{"-gzip" if gzipped else ""}"'
    headers = [*_HEADERS, ("etag", tag)]
    if gzipped:
        packer = compressobj(9, wbits=_GZIP)
        body = packer.compress(body) + packer.flush()
        headers.append(("content-encoding", "gzip"))
    return tag, Response(200, body, content_type=TYPES[path.splitext(place)[1]], headers=headers)
