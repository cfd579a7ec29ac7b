"""Debian's Chromium, driven by Playwright's sync API.

While the sync API is started, its event loop is the running loop of the thread, and asyncio tests on the same worker
could not start a loop. Therefore `turn` sets it as the running loop only during a browser test.
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
"""The timeout of a step; far below the timeout of a test, so that the failing step is reported."""

# Playwright adds --headless (the new mode), --no-sandbox and an empty --user-data-dir.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    # Requests to other hosts fail and are reported as a complaint, see pages.py.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


class Chromium:
    """A started browser and the event loop of Playwright."""

    def __init__(self, playwright: Playwright, path: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.browser: Browser = playwright.chromium.launch(
            executable_path=path, args=FLAGS, chromium_sandbox=False, timeout=START_TIMEOUT_MS
        )

    @contextmanager
    def turn(self) -> Iterator[Browser]:
        """The browser may be used within the block; no other event loop may run in it."""
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
