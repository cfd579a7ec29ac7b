"""nginx with deploy/nginx.conf in front of servers under test."""

import re
from pathlib import Path

from tests.reliability.front_proxy import FrontProxy

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"


class Nginx(FrontProxy):
    """Listens on `port` when the constructor returns. Only ports and folders of the configuration are replaced."""

    def __init__(self, folder: Path, servers: list[int]) -> None:
        super().__init__()
        text = CONFIGURATION.read_text(encoding="utf-8")
        addresses = "\n".join(f"        server 127.0.0.1:{port};" for port in servers)
        text, upstreams = re.subn(r"^ +server chat:8080;.*$", addresses, text, flags=re.MULTILINE)
        text, listens = re.subn(r"listen 8080;", f"listen 127.0.0.1:{self.port};", text)
        assert (upstreams, listens) == (1, 1), "deploy/nginx.conf has changed"
        configuration = folder / "nginx.conf"
        configuration.write_text(text.replace("/tmp/", f"{folder}/"), encoding="utf-8")  # noqa: S108 - its own path
        command: list[str | Path] = ["nginx", "-p", folder, "-c", configuration, "-g", "daemon off;"]
        self.start(command, log=folder / "nginx.log")
