"""Checks the address of a Redis server before the first connection, without importing the client."""

from os import path
from urllib.parse import SplitResult, parse_qsl, urlsplit

TLS_OPTIONS = frozenset(
    {
        "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname",
        "ssl_ciphers", "ssl_keyfile", "ssl_min_version", "ssl_password",
    }
)  # fmt: skip
OPTIONS = TLS_OPTIONS | {"client_name", "db", "health_check_interval", "password", "username"}
"""Options in the query of a URL that are passed on to redis-py."""

CERT_REQS = ("required", "optional", "none")
_FILES = {
    "ssl_ca_certs": path.isfile,
    "ssl_certfile": path.isfile,
    "ssl_keyfile": path.isfile,
    "ssl_ca_path": path.isdir,
}


def check(url: str) -> None:
    """Raises ValueError, whose message omits the URL, which may contain a password."""
    parts = _parts(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in options.items():
        if name not in OPTIONS:
            raise ValueError(f"unknown option {name[:40]!r} of a Redis URL; takes {', '.join(sorted(OPTIONS))}")
        if name in TLS_OPTIONS and parts.scheme != "rediss":
            raise ValueError(f"{name} is an option of rediss:// only")
        exists = _FILES.get(name)
        if exists is not None and not exists(value):
            raise ValueError(f"{name} names {value[:200]!r}, which does not exist")
    numbers: dict[str, str] = {
        name: options[name] for name in ("health_check_interval", "ssl_min_version") if name in options
    }
    numbers["database"] = options.get("db", parts.path.strip("/") or "0")
    for name, value in numbers.items():
        if not (value.isascii() and value.isdecimal()):
            raise ValueError(f"got the {name} {value[:40]!r} in a Redis URL; takes a number")
    if options.get("ssl_cert_reqs", "required") not in CERT_REQS:
        raise ValueError(f"ssl_cert_reqs takes {', '.join(CERT_REQS)}")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.hostname is not None and parts.port != 0:
            return parts
    except ValueError:  # its text may contain a password
        pass
    raise ValueError("invalid Redis URL; takes redis://[user:password@]host[:port][/database]")
