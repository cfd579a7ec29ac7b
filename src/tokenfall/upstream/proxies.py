"""Selects the HTTP proxy of an address from the environment.

`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case, as in curl.
"""

from __future__ import annotations

import os
from base64 import b64encode
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tokenfall.upstream.address import UpstreamAddress


class Proxy(NamedTuple):
    """An HTTP proxy. `authorization` is the value of Proxy-Authorization, a secret; "" without credentials."""

    host: str
    port: int
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host!r}, {self.port})"


def proxy_for(address: UpstreamAddress) -> Proxy | None:
    """The proxy for `address`, None to connect directly. Raises ValueError, without the URL, if it is invalid."""
    if not any(os.environ.get(name) for name in _NAMES):
        return None
    from urllib.request import getproxies_environment  # noqa: PLC0415 - few have a proxy

    found = getproxies_environment()
    url = found.get(address.scheme) or found.get("all")
    exceptions = found.get("no", "").lower().replace(",", " ").split()
    if not url or any(_is_excepted(address, exception) for exception in exceptions):
        return None
    return parse_proxy(url, name=f"{address.scheme}_proxy" if found.get(address.scheme) else "all_proxy")


def _is_excepted(address: UpstreamAddress, exception: str) -> bool:
    """Whether an item of NO_PROXY, in lower case, is `*`, the host, its domain or its network, with no or its port."""
    name, port = exception, ""
    if exception.startswith("["):
        name, _, port = exception[1:].partition("]")
    elif exception.count(":") == 1:
        name, _, port = exception.partition(":")
    if port.strip(":") not in ("", str(address.port)):
        return False
    try:
        return ip_address(address.host) in ip_network(name, strict=False)
    except ValueError:  # one of them is a name
        domain = name.removeprefix("*").strip(".")
        return exception == "*" or (domain != "" and f".{address.host.rstrip('.')}".endswith(f".{domain}"))


def parse_proxy(url: str, *, name: str) -> Proxy:
    """A proxy's address, with or without `http://`, user and password. Raises ValueError."""
    mistake = f"{name.upper()}: takes the address of an HTTP proxy, such as http://proxy.example:3128"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:  # its text may contain the password
        raise ValueError(mistake) from None
    if parts.scheme != "http" or not host:
        raise ValueError(mistake)
    if parts.username is None:
        return Proxy(host, port)
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(host, port, f"Basic {b64encode(credentials.encode()).decode()}")


_NAMES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
