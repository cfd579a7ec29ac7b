"""The base address of an upstream: an origin and a path prefix. Pure.

Source: RFC 3986; RFC 9110, section 4.2.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


class UpstreamAddress(NamedTuple):
    """A base address. `host` is a name or an IP address without brackets, `path` has no trailing slash."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """`host:port` for a Host header: an IPv6 address in brackets, no port if it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """`https://host:port`, as in a request to a proxy."""
        return f"{self.scheme}://{self.authority}"


def parse_address(url: str) -> UpstreamAddress:
    """Raises ValueError if `url` is not an http or https URL, or has a user, a query or a fragment."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()  # also checks the lengths of labels
    except ValueError:  # its text may contain a password
        raise ValueError("not an http or https address") from None
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise ValueError("not an http or https address")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("the address must not have a user, a query or a fragment")
    return UpstreamAddress(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))
