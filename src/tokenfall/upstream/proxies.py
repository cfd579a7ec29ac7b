"""Selects the HTTP proxy of an address from the environment.

`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case, as in curl and the standard library.
"""

from __future__ import annotations

import os
from base64 import b64encode
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
    from urllib.request import (  # type: ignore[attr-defined] # noqa: PLC0415 - typeshed lacks one; few have a proxy
        getproxies_environment,
        proxy_bypass_environment,
    )

    found = getproxies_environment()
    url = found.get(address.scheme) or found.get("all")
    if not url or proxy_bypass_environment(f"{address.host}:{address.port}", found):
        return None
    return parse_proxy(url, name=f"{address.scheme}_proxy" if found.get(address.scheme) else "all_proxy")


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
