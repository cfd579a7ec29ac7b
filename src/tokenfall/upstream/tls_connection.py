"""An upstream connection over TLS: decrypts what it receives and encrypts what it sends.

Imported by the dialer only if the upstream's address is `https`. The HTTP exchange is the base class's.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from tokenfall.upstream.connection import CLOSED, Owner, UpstreamConnection

if TYPE_CHECKING:
    from tokenfall.reactor.loop import Reactor
    from tokenfall.upstream.tls import TLSLayer


class TLSConnection(UpstreamConnection):
    """`tls` is the connection's TLS layer after the handshake."""

    __slots__ = ("_tls",)

    def __init__(self, reactor: Reactor, fd: int, *, owner: Owner, tls: TLSLayer) -> None:
        super().__init__(reactor, fd, owner=owner)
        self._tls = tls

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        return self._tls.session

    def encoded(self, request: bytes) -> bytes:
        return self._tls.encrypt(request)

    def abandon(self) -> None:
        if self._state != CLOSED:
            self.write(self._tls.close())
        super().abandon()

    def data_received(self, data: bytes) -> None:
        try:
            for plaintext in self._tls.decrypt(data):
                if not plaintext:
                    self._server_closed()
                    return
                UpstreamConnection.data_received(self, plaintext)  # `super()` would create two objects per token
                if self._state == CLOSED:
                    return
            if unsent := self._tls.unsent():
                self.write(unsent)
        except ssl.SSLError:
            self._break_off()

    def eof_received(self) -> bool:
        self._break_off()  # a FIN without close_notify may be a truncation attack
        return False

    def _responded(self) -> None:
        self._tls.release_buffers()  # session tickets usually arrive before the first response
        self._owner.connection_responded(self)
