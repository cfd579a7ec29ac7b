"""TLS without I/O: converts between ciphertext and plaintext. Called by the dialer and the connection.

Source: RFC 8446; `ssl.SSLObject` over two `ssl.MemoryBIO`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain

RECORD_BYTES = 16_384
"""Maximum plaintext of a TLS record; RFC 8446, section 5.1."""

WRITE_BYTES = 4_096
"""Maximum ciphertext written to the `MemoryBIO` at a time, because its buffer never shrinks."""


class UntrustedCertificate(Exception):
    """The server's certificate was refused. The message has the reason and no host name."""


def client_context() -> ssl.SSLContext:
    """A context for TLS 1.2 or newer that verifies certificates and host names.

    It trusts the system's certificate authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Raises ValueError
    if one of these cannot be read; OpenSSL would ignore it and trust no authority.
    """
    for name, kind, mode in (("SSL_CERT_FILE", "file", os.R_OK), ("SSL_CERT_DIR", "folder", os.R_OK | os.X_OK)):
        path = os.environ.get(name)
        if path and not os.access(path, mode):
            raise ValueError(f"{name}: got {path!r}, which is not a readable {kind}")
    context = ssl.create_default_context()
    if file := os.environ.get("SSL_CERT_FILE"):
        _check(file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _check(path: str) -> None:
    """Raises ValueError for a file without a certificate, which OpenSSL would ignore."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:
        raise ValueError(f"SSL_CERT_FILE: got {path!r}, which contains no certificate") from None


class TLSLayer:
    """The client side of one TLS connection. `decrypt` and `encrypt` may be called once `handshake` returned True."""

    __slots__ = ("_incoming", "_outgoing", "_ssl")

    def __init__(self, context: ssl.SSLContext, host: str, *, session: ssl.SSLSession | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=session)

    def receive(self, data: bytes) -> None:
        """Add ciphertext from the server; b"" at the end of the connection."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def handshake(self) -> bool:
        """Continue the handshake; return whether it is complete.

        Raises `UntrustedCertificate`, and ssl.SSLError or OSError on other failures.
        """
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLCertVerificationError as error:
            raise UntrustedCertificate(_distrust(error.verify_code)) from None
        return True

    def decrypt(self, data: bytes) -> Iterable[bytes]:
        """The plaintext of each complete record; b"" at the server's close_notify. Raises ssl.SSLError."""
        if len(data) > WRITE_BYTES:
            parts = (data[start : start + WRITE_BYTES] for start in range(0, len(data), WRITE_BYTES))
            return chain.from_iterable(map(self.decrypt, parts))
        self._incoming.write(data)
        try:
            plaintext = self._ssl.read(RECORD_BYTES)
        except ssl.SSLWantReadError:
            return ()
        return self._records(plaintext) if self._incoming.pending else (plaintext,)  # usually one record arrives

    def _records(self, plaintext: bytes) -> Iterator[bytes]:
        """Yield `plaintext`, and that of the other complete records that have arrived."""
        yield plaintext
        while plaintext and self._incoming.pending:
            try:
                plaintext = self._ssl.read(RECORD_BYTES)
            except ssl.SSLWantReadError:
                return
            yield plaintext

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt `data`; the result includes pending messages of TLS itself."""
        self._ssl.write(data)
        return self._outgoing.read()

    def unsent(self) -> bytes:
        """Pending messages of TLS itself: handshakes, key updates, alerts."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def release_buffers(self) -> None:
        """Free the write buffer of 16 KiB that OpenSSL allocates to process session tickets and keeps until a write."""
        self._ssl.write(b"")  # sends nothing

    def close(self) -> bytes:
        """The close_notify alert; RFC 8446, section 6.1."""
        with suppress(ssl.SSLError):  # raised because the server's alert has not arrived, which is not awaited
            self._ssl.unwrap()
        return self.unsent()

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session that later connections can resume; with TLS 1.3 only after the server has sent data."""
        return self._ssl.session


_DISTRUST = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "it is signed by an authority that is not trusted",
    20: "it is signed by an authority that is not trusted",
    21: "it is signed by an authority that is not trusted",
    62: "it is for another host name",
    64: "it is for another IP address",
}
"""By OpenSSL's X509_V_ERR_ codes."""


def _distrust(code: int) -> str:
    return _DISTRUST.get(code, f"OpenSSL refused it with code {code}")
