"""Access checks: API keys, and the Origin and Host headers on servers without keys. Called before each handler."""

from __future__ import annotations

from tokenfall.api.addresses import TrustedProxies, bucket_of
from tokenfall.callers import Caller
from tokenfall.errors import OriginNotAllowed, Unauthorized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.request import Request


ANONYMOUS = ""
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Keys:
    """The accepted API keys, each given as plain text or `sha256:<hex>`. Only the digests are stored."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def owner(self, request: Request) -> str:
        """The fingerprint of the request's key; `ANONYMOUS` if no keys are configured. Raises `Unauthorized`.

        The key is compared with all digests, each in constant time, also after a match.
        """
        if not self._digests:
            return ANONYMOUS
        from hashlib import sha256  # noqa: PLC0415 - loads OpenSSL, needed only with keys
        from hmac import compare_digest  # noqa: PLC0415

        key = _key_of(request)
        digest = sha256(key).digest()
        known = 0
        for candidate in self._digests:
            known |= compare_digest(candidate, digest)
        if not known:
            problem = "this API key is not known" if key else "an API key is needed"
            raise Unauthorized(f"{problem}; send it as Authorization: Bearer or X-API-Key")
        return digest.hex()[:32]


class Callers:
    """Identifies the caller of a request: the API key if keys are configured, else the address as for rate limits."""

    def __init__(self, keys: Keys, proxies: TrustedProxies) -> None:
        self.keys = keys
        self._proxies = proxies

    def of(self, request: Request) -> Caller:
        """Raises `Unauthorized`."""
        owner = self.keys.owner(request)
        return Caller(owner) if owner else Caller(address=self.address(request))

    def named(self, request: Request) -> str:
        """The name of the caller; the address also for a request with a missing or unknown key."""
        try:
            return self.of(request).name
        except Unauthorized:
            return self.address(request)

    def address(self, request: Request) -> str:
        """The client's address, as a key of the rate limiter."""
        forwarded_for = request.header(b"x-forwarded-for") or ""
        return bucket_of(self._proxies.client(request.client, forwarded_for))


def _digest(key: str) -> bytes:
    if key.startswith("sha256:"):
        return bytes.fromhex(key.removeprefix("sha256:"))
    from hashlib import sha256  # noqa: PLC0415 - loads OpenSSL, needed only with keys

    return sha256(key.encode()).digest()


def _key_of(request: Request) -> bytes:
    scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and token:
        return token.strip()
    return request.headers.get(b"x-api-key", b"")


class LoopbackGuard:
    """Rejects origins and hosts other than loopback; used with an upstream if no API keys are configured.

    Without this check, a web page of another origin could use the upstream's account, directly or by DNS rebinding.
    `check_host` is false if the operator serves other host names.
    """

    def __init__(self, origins: tuple[str, ...], *, check_host: bool) -> None:
        self._origins = frozenset(origins)
        self._check_host = check_host

    def check(self, request: Request) -> None:
        """Raises `OriginNotAllowed`."""
        origin = request.header(b"origin")
        if origin is not None and not _is_trusted(origin, self._origins):
            raise OriginNotAllowed("without API_KEY, only pages of this machine may use the upstream")
        if self._check_host and not _is_loopback_host(request.header(b"host") or ""):
            raise OriginNotAllowed("without API_KEY, the Host header must name this machine")


class CrossSiteGuard:
    """Protects conversations and settings from pages of other sites if no API keys are configured.

    Allowed are pages of this server, loopback origins and `origins`.
    """

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origins)

    def check(self, request: Request) -> None:
        """Raises `OriginNotAllowed`."""
        origin = request.header(b"origin")
        if origin is None or _is_trusted(origin, self._origins):
            return
        if origin.partition("://")[2] != request.header(b"host"):
            raise OriginNotAllowed(
                "pages of other sites have no access; set API_KEY, or add the origin to CORS_ORIGINS"
            )


def _is_trusted(origin: str, origins: frozenset[str]) -> bool:
    """Loopback origins, and those that the operator configured, including *."""
    return is_loopback_origin(origin) or origin in origins or "*" in origins


def is_loopback_origin(origin: str) -> bool:
    """Whether the origin is http or https on a loopback host."""
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and _is_loopback_host(host)


def _is_loopback_host(host: str) -> bool:
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    name, port = (host, "") if end < 0 else (host[:end], host[end:])
    return name.lower() in _LOOPBACK and (port in {"", ":"} or (port.startswith(":") and port[1:].isdecimal()))
