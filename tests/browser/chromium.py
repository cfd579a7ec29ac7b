"""Debian's Chromium, driven by Playwright's sync API.

The sync API marks its own loop as this thread's running one for as long as it is started, and any asyncio test that
came later on the same worker would be refused a loop. So the mark is lent to one browser test at a time, by `turn`.
"""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

BROWSER = "chromium-headless-shell"
START_TIMEOUT_MS = 20_000
STEP_TIMEOUT_MS = 20_000
"""How long a step of a test may wait; well below a test's own limit, so that it fails where it waits."""

# Playwright adds --headless (the new one), --no-sandbox and an empty --user-data-dir of its own.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    # No other host is ever reached, by name or by number; what wanted to is a complaint, see pages.py.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


class Chromium:
    """A started browser and the loop it is driven on."""

    def __init__(self, playwright: Playwright, path: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.browser: Browser = playwright.chromium.launch(
            executable_path=path, args=FLAGS, chromium_sandbox=False, timeout=START_TIMEOUT_MS
        )

    @contextmanager
    def turn(self) -> Iterator[Browser]:
        """The browser may be driven inside, and no other loop may be run."""
        asyncio._set_running_loop(self.loop)
        try:
            yield self.browser
        finally:
            asyncio._set_running_loop(None)


@contextmanager
def started() -> Iterator[Chromium]:
    path = shutil.which(BROWSER)
    if path is None:
        pytest.fail(f"{BROWSER} is missing: scripts/system-packages test", pytrace=False)
    expect.set_options(timeout=STEP_TIMEOUT_MS)
    playwright = sync_playwright().start()
    loop = asyncio.get_running_loop()
    try:
        chromium = Chromium(playwright, path)
        asyncio._set_running_loop(None)
        yield chromium
        with chromium.turn():
            chromium.browser.close()
    finally:
        asyncio._set_running_loop(loop)
        playwright.stop()
        asyncio._set_running_loop(None)
