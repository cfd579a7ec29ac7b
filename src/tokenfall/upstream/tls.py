"""TLS without a socket: ciphertext in, plaintext out, and back.

Source: RFC 8446; `ssl.SSLObject` over two `ssl.MemoryBIO`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import suppress

RECORD_BYTES = 16_384
"""The most that one TLS record holds; RFC 8446, section 5.1."""

FED_BYTES = 4_096
"""How much ciphertext is handed over at a time: what a `MemoryBIO` once held, it keeps."""


class UntrustedCertificate(Exception):
    """The server's certificate was refused. The text says why and names no host."""


def client_context() -> ssl.SSLContext:
    """Verifies certificates and host names, TLS 1.2 or newer.

    Trusts the system's authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Raises ValueError when one of
    these names what cannot be read: OpenSSL would ignore it and trust nobody.
    """
    for name, kind, mode in (("SSL_CERT_FILE", "file", os.R_OK), ("SSL_CERT_DIR", "folder", os.R_OK | os.X_OK)):
        path = os.environ.get(name)
        if path and not os.access(path, mode):
            raise ValueError(f"{name}: got {path!r}, which is no readable {kind}")
    context = ssl.create_default_context()
    if file := os.environ.get("SSL_CERT_FILE"):
        _check(file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _check(path: str) -> None:
    """Raises ValueError for a file without a certificate, which OpenSSL ignores."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:
        raise ValueError(f"SSL_CERT_FILE: got {path!r}, which holds no certificate") from None


class TLSLayer:
    """One TLS connection of a client. After `handshake` has returned True, `decrypt` and `encrypt` may be called."""

    __slots__ = ("_incoming", "_outgoing", "_ssl")

    def __init__(self, context: ssl.SSLContext, host: str, *, session: ssl.SSLSession | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=session)

    def receive(self, data: bytes) -> None:
        """Take ciphertext from the server; b"" for the end of the connection."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def handshake(self) -> bool:
        """Go on with the handshake; whether it is complete.

        Raises `UntrustedCertificate`, and ssl.SSLError or OSError for a handshake that failed otherwise.
        """
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLCertVerificationError as error:
            raise UntrustedCertificate(_distrust(error.verify_code)) from None
        return True

    def decrypt(self, data: bytes) -> Iterator[bytes]:
        """The plaintext that `data` completes, record by record; b"" when the server has ended. Raises ssl.SSLError."""
        read, incoming = self._ssl.read, self._incoming
        for start in range(0, len(data), FED_BYTES):
            incoming.write(data[start : start + FED_BYTES])
            while incoming.pending or self._ssl.pending():
                try:
                    plaintext = read(RECORD_BYTES)
                except ssl.SSLWantReadError:
                    break
                yield plaintext
                if not plaintext:
                    return

    def encrypt(self, data: bytes) -> bytes:
        """`data` as ciphertext, with whatever TLS itself has to say."""
        self._ssl.write(data)
        return self._outgoing.read()

    def unsent(self) -> bytes:
        """What TLS itself has to say: handshakes, key updates, alerts."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> bytes:
        """The closing alert. RFC 8446, section 6.1."""
        with suppress(ssl.SSLError):  # it waits for the server's alert, for which nobody waits
            self._ssl.unwrap()
        return self.unsent()

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection can resume; with TLS 1.3 it is there once the server has sent something."""
        return self._ssl.session


_DISTRUST = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is signed by itself",
    19: "it is signed by an authority that is not trusted",
    20: "it is signed by an authority that is not trusted",
    21: "it is signed by an authority that is not trusted",
    62: "it is for another name",
    64: "it is for another address",
}
"""By OpenSSL's X509_V_ERR_ codes."""


def _distrust(code: int) -> str:
    return _DISTRUST.get(code, f"OpenSSL refused it with code {code}")
