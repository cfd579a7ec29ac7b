"""Fixtures with the providers' clients, strict and without retries, on simulated and on relayed responses."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from tests.end_to_end.conftest import check_clean_exit, pytest_asyncio_loop_factories, serve
from tests.end_to_end.process import ServerProcess

__all__ = ["pytest_asyncio_loop_factories", "serve"]

QUICK = "gap=100us"
RANDOM_LENGTH = "gap=100us,tokens=3..60"
"""Settings with which the length of a response depends on its seed."""

API_KEY = "the-right-key"


def _clients() -> ModuleType:
    """Import the clients at first use: xdist's controller loads this file, but needs no client."""
    from tests.sdk import clients  # noqa: PLC0415

    return clients


@dataclass(frozen=True)
class SiteUnderTest:
    """A server on `port`; `relayed` says that it relays another server's responses."""

    port: int
    relayed: bool


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Remove keys, addresses and proxies, which clients read from the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.upper().startswith(("OPENAI_", "GROQ_", "ANTHROPIC_", "OLLAMA_")) or name.upper().endswith(
                "_PROXY"
            ):
                patch.delenv(name)
        yield


@contextmanager
def _site(
    factory: pytest.TempPathFactory, *, relayed: bool, sim: str = QUICK, api_key: str | None = None
) -> Iterator[SiteUnderTest]:
    """Run a server with `api_key`; its upstream, if any, has no key."""
    key = {} if api_key is None else {"API_KEY": api_key}
    with _server(factory, {"SIM": sim, **({} if relayed else key)}) as simulating:
        if not relayed:
            yield SiteUnderTest(simulating.port, relayed)
            return
        with _server(factory, {"UPSTREAM_URL": f"http://127.0.0.1:{simulating.port}/v1", **key}) as relaying:
            yield SiteUnderTest(relaying.port, relayed)


@contextmanager
def _server(factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[ServerProcess]:
    server = ServerProcess(factory.mktemp("server"), environment=environment)
    try:
        yield server
    finally:
        check_clean_exit(server)


@pytest.fixture(scope="session", params=[False, True], ids=["simulated", "relayed"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteUnderTest]:
    """A server that accepts any key, shared by the session."""
    with _site(tmp_path_factory, relayed=request.param) as site:
        yield site


@pytest.fixture(scope="session", params=[False, True], ids=["simulated", "relayed"])
def varied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteUnderTest]:
    """A server with responses of varying length."""
    with _site(tmp_path_factory, relayed=request.param, sim=RANDOM_LENGTH) as site:
        yield site


@pytest.fixture(scope="session", params=[False, True], ids=["simulated", "relayed"])
def keyed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteUnderTest]:
    """A server that accepts only `API_KEY`."""
    with _site(tmp_path_factory, relayed=request.param, api_key=API_KEY) as site:
        yield site


@pytest.fixture(scope="session")
def openai(site: SiteUnderTest) -> Iterator[Any]:
    with _clients().openai_client(site.port) as client:
        yield client


@pytest.fixture(scope="session")
def groq(site: SiteUnderTest) -> Iterator[Any]:
    with _clients().groq_client(site.port) as client:
        yield client


@pytest.fixture(scope="session")
def anthropic(site: SiteUnderTest) -> Iterator[Any]:
    with _clients().anthropic_client(site.port) as client:
        yield client


@pytest.fixture(scope="session")
def ollama(site: SiteUnderTest) -> Iterator[Any]:
    with _clients().ollama_client(site.port) as client:
        yield client


@pytest.fixture
async def async_openai(site: SiteUnderTest) -> AsyncIterator[Any]:
    async with _clients().async_client("openai", site.port) as client:
        yield client


@pytest.fixture
async def async_groq(site: SiteUnderTest) -> AsyncIterator[Any]:
    async with _clients().async_client("groq", site.port) as client:
        yield client


@pytest.fixture
async def async_anthropic(site: SiteUnderTest) -> AsyncIterator[Any]:
    async with _clients().async_client("anthropic", site.port) as client:
        yield client


@pytest.fixture
async def async_ollama(site: SiteUnderTest) -> AsyncIterator[Any]:
    async with _clients().async_client("ollama", site.port) as client:
        yield client
