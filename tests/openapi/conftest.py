"""Real servers for the OpenAPI tests, one process per pytest worker."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import check_clean_exit
from tests.end_to_end.process import ServerProcess

SIM = "gap=1ms,tokens=3"
KEY = "a-key"


@pytest.fixture(scope="session")
def open_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server without keys."""
    yield from _served(tmp_path_factory, {})


@pytest.fixture(scope="session")
def keyed_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that requires `KEY`."""
    yield from _served(tmp_path_factory, {"API_KEY": KEY})


def _served(folders: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[str]:
    server = ServerProcess(folders.mktemp("openapi"), environment={"SIM": SIM, **environment})
    yield f"http://127.0.0.1:{server.port}"
    check_clean_exit(server)
