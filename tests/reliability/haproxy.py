"""A real haproxy in front of one server of a test."""

import socket
import subprocess
import time
from pathlib import Path

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
START_S = 10.0


class HAProxy:
    """Listens on `port` when the constructor returns. Connections to the server are shared by clients."""

    def __init__(self, folder: Path, server: int) -> None:
        with socket.socket() as asked:
            asked.bind(("127.0.0.1", 0))
            self.port: int = asked.getsockname()[1]
        configuration = folder / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(port=self.port, server=server), encoding="utf-8")
        self._log = (folder / "haproxy.log").open("wb")
        command: list[str | Path] = ["haproxy", "-db", "-f", configuration]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        until_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=START_S).close()
                return
            except ConnectionRefusedError:
                assert self._process.poll() is None, (folder / "haproxy.log").read_text(encoding="utf-8")
                assert time.monotonic() < until_s
                time.sleep(0.01)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(START_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._log.close()
