"""Fixtures of the browser tests: the browser, servers, pages, and a folder for screenshots.

The tests are plain functions, not coroutines, and take no async fixtures: see chromium.py.
"""

import os
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tokenfall.api.page import WEB

from tests.browser.bundle import bundled_pages
from tests.browser.chromium import Chromium, started
from tests.browser.pages import Pages
from tests.end_to_end.conftest import Serve, servers
from tests.end_to_end.preloaded import Preloaded
from tests.end_to_end.process import preload

Artefact = Callable[[str], Path]

ROOT = Path(__file__).parents[2]
_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    with started() as chromium:
        yield chromium


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Browser]:
    """The Chromium of the worker, usable until the end of the test."""
    with chromium.turn() as browser:
        yield browser


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    """One process per worker from which all servers are forked, because startup is not tested here."""
    parent = preload()
    yield parent
    parent.close()


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages with the modules of each in one file."""
    return bundled_pages(Path(WEB), tmp_path_factory.mktemp("bundled") / "web")


@pytest.fixture
def web(bundled: Path) -> Path | None:
    """The folder of the pages that `serve` serves. A test module that needs the single files overrides it with None."""
    return bundled


@pytest.fixture
def serve(tmp_path: Path, preloaded: Preloaded, web: Path | None) -> Iterator[Serve]:
    """Starts servers for one test: `serve(SIM="gap=5ms")`. Each must exit with status 0 and without logged errors."""
    preloaded.web = web
    yield from servers(tmp_path, preloaded)


@pytest.fixture
def artefact() -> Artefact:
    """The path for a screenshot or another output file: `page.screenshot(path=artefact("dark.png"))`."""
    folder = Path(os.environ.get("TOKENFALL_ARTIFACTS") or ROOT / "artifacts" / "screenshots")

    def path(name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    return path


@pytest.fixture
def open_page(
    browser: Browser, artefact: Artefact, serve: Serve, request: pytest.FixtureRequest
) -> Iterator[Pages]:  # after `serve`, so that pages are closed before their servers end
    """Opens pages: `page = open_page(serve(SIM="gap=5ms"), viewport=(360, 640), color_scheme="dark")`."""
    test = re.sub(r"[^\w.-]+", "-", request.node.nodeid.rpartition("/")[2])
    for old in artefact("").glob(f"failed-{test}-[0-9]*"):
        old.unlink()
    pages = Pages(
        browser,
        save=lambda name: artefact(f"failed-{test}-{name}"),
        failed=lambda: request.node.stash.get(_FAILED, False),
    )
    yield pages
    pages.close()
