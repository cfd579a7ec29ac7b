"""A test certificate authority, and TLS server contexts with certificates issued by it."""

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1")
DAY = timedelta(days=1)


@cache
def authority() -> trustme.CA:
    """Return the CA that tests trust."""
    return trustme.CA()


def trusted_file(folder: Path) -> str:
    """Write the CA certificate into `folder` and return its path, for `SSL_CERT_FILE`."""
    path = folder / "authority.pem"
    authority().cert_pem.write_to_path(path)
    return str(path)


@cache
def server_context(*names: str, from_days: int = -1, to_days: int = 30, is_known: bool = True) -> ssl.SSLContext:
    """Return a server context whose certificate covers `names` and is valid `from_days` to `to_days` from now."""
    issuer = authority() if is_known else trustme.CA()
    now = datetime.now(UTC)
    certificate = issuer.issue_cert(*(names or NAMES), not_before=now + from_days * DAY, not_after=now + to_days * DAY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def context_of_version(version: ssl.TLSVersion) -> ssl.SSLContext:
    """Return a server context that supports exactly one TLS version, also an obsolete one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*NAMES).configure_cert(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = version
        context.maximum_version = version
    return context
