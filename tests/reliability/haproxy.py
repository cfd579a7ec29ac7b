"""haproxy in front of a server under test."""

from pathlib import Path

from tests.reliability.front_proxy import FrontProxy

CONFIGURATION = """\
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    option http-keep-alive
    http-reuse always
listen chat
    bind 127.0.0.1:{port}
    server chat 127.0.0.1:{server}
"""


class HAProxy(FrontProxy):
    """Listens on `port` when the constructor returns. Clients share connections to the server."""

    def __init__(self, folder: Path, server: int) -> None:
        super().__init__()
        configuration = folder / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(port=self.port, server=server), encoding="utf-8")
        self.start(["haproxy", "-db", "-f", configuration], log=folder / "haproxy.log")
