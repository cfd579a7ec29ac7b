"""A real nginx with deploy/nginx.conf, in front of servers of a test."""

import re
import socket
import subprocess
import time
from pathlib import Path

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
START_S = 10.0


class Nginx:
    """Listens on `port` when the constructor returns. Only names, ports and folders of its configuration are ours."""

    def __init__(self, folder: Path, servers: list[int]) -> None:
        with socket.socket() as asked:
            asked.bind(("127.0.0.1", 0))
            self.port: int = asked.getsockname()[1]
        text = CONFIGURATION.read_text(encoding="utf-8")
        addresses = "\n".join(f"        server 127.0.0.1:{port};" for port in servers)
        text, upstreams = re.subn(r"^ +server chat:8080;.*$", addresses, text, flags=re.MULTILINE)
        text, listens = re.subn(r"listen 8080;", f"listen 127.0.0.1:{self.port};", text)
        assert (upstreams, listens) == (1, 1), "the configuration is no longer what this knows"
        configuration = folder / "nginx.conf"
        configuration.write_text(text.replace("/tmp/", f"{folder}/"), encoding="utf-8")  # noqa: S108 - its own path
        self._log = (folder / "nginx.log").open("wb")
        command: list[str | Path] = ["nginx", "-p", folder, "-c", configuration, "-g", "daemon off;"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        self._wait_until_it_listens(folder)

    def _wait_until_it_listens(self, folder: Path) -> None:
        until_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=START_S).close()
                return
            except ConnectionRefusedError:
                log = (folder / "nginx.log").read_text(encoding="utf-8")
                assert self._process.poll() is None, log
                assert time.monotonic() < until_s, log
                time.sleep(0.01)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(START_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._log.close()
