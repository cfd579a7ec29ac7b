"""CORS headers of responses and preflights. Called by `tokenfall.api.app`. Source: the Fetch standard, section 3.2."""

from __future__ import annotations

from tokenfall.api.guard import is_loopback_origin
from tokenfall.http.encoding import header_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.request import Request


_EXPOSED = "X-Conversation-Id, X-Turn-Id, X-Model, X-Request-Id, Link, Retry-After, RateLimit, RateLimit-Policy"
_ANY = header_lines((("access-control-allow-origin", "*"), ("access-control-expose-headers", _EXPOSED)))
_VARY = header_lines((("vary", "Origin"),))
_ALLOWED = "Authorization, X-API-Key, Content-Type, X-Sim, Idempotency-Key, Last-Event-ID"
_MAX_AGE = ("access-control-max-age", "86400")


class CORS:
    """The policy. Without `origins`, every origin is allowed, or only loopback origins if `loopback_only`."""

    def __init__(self, origins: tuple[str, ...], *, loopback_only: bool) -> None:
        self._origins = frozenset(origins)
        self._any = "*" in self._origins or (not origins and not loopback_only)

    def lines(self, request: Request) -> bytes:
        """Header lines for the response to `request`, which has an Origin header."""
        if self._any:
            return _ANY
        origin = request.header(b"origin") or ""
        if not self._allows(origin):
            return _VARY
        return _VARY + header_lines(
            (("access-control-allow-origin", origin), ("access-control-expose-headers", _EXPOSED))
        )

    def preflight(self, request: Request, methods: str) -> bytes:
        """Additional header lines for the response to a preflight; `methods` are the allowed ones.

        All headers that an allowed origin requests are allowed: the providers' SDKs send many of their own, and no
        request header gives a page access that it would not have without it. So is access to a private network, which
        browsers request for a server on the machine or in the network of their user.
        """
        if not (self._any or self._allows(request.header(b"origin") or "")):
            return b""
        requested = request.header(b"access-control-request-headers")
        allowed = f"{_ALLOWED}, {requested}" if requested else _ALLOWED
        lines = [("access-control-allow-methods", methods), ("access-control-allow-headers", allowed), _MAX_AGE]
        if request.header(b"access-control-request-private-network") == "true":
            lines.append(("access-control-allow-private-network", "true"))
        return header_lines(lines) + header_lines((("vary", "Access-Control-Request-Headers"),))

    def _allows(self, origin: str) -> bool:
        return origin in self._origins if self._origins else is_loopback_origin(origin)
