"""Where requests go: an origin and a path below it. Pure.

Source: RFC 3986; RFC 9110, section 4.2.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """A base address. `host` is a name or an IP address without brackets, `path` has no slash at its end."""

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
        """`host:port` for a Host header: without the scheme's own port, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """`https://host:port`, as a proxy is asked for it."""
        return f"{self.scheme}://{self.authority}"


def parse_address(url: str) -> Address:
    """Raises ValueError for what is no http or https address; a user, a query or a fragment is not taken."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()  # also checks the lengths of labels
    except ValueError:  # its text may hold a password
        raise ValueError("not an http or https address") from None
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise ValueError("not an http or https address")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("an address without user, query and fragment is taken")
    return Address(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))
