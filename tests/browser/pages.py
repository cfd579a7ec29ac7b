"""Opens pages and collects browser errors, called complaints. A complaint that the test does not expect fails the test.

A complaint has the form `KIND: text (URL)`. The kinds are `console` (an error in the console), `page` (an uncaught
exception), `policy` (a violation of the Content-Security-Policy), `host` (a request to another host, which fails) and
`crash`.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page

from tests.browser.chromium import STEP_TIMEOUT_MS
from tests.end_to_end.process import ServerProcess

HERE = {"127.0.0.1", "localhost"}
WITHOUT_HOST = {"about", "blob", "data"}
EVIDENCE_TIMEOUT_MS = 3_000


class Pages:
    """Opens pages. At the end, there must be no unexpected complaint and no expected one may be missing.

    `save` returns the path for a file name. If the test has `failed`, or fails because of a complaint, a screenshot and
    the HTML of each open page are saved.
    """

    def __init__(self, browser: Browser, *, save: Callable[[str], Path], failed: Callable[[], bool]) -> None:
        self.complaints: list[str] = []
        """The complaints so far. A round trip to the page, such as `page.title()`, processes pending events first."""
        self._browser = browser
        self._save = save
        self._failed = failed
        self._contexts: list[BrowserContext] = []
        self._expected: list[str] = []
        self._allowed: list[str] = []

    def __call__(
        self,
        server: ServerProcess | str,
        path: str = "/web?conversation=default",
        *,
        viewport: tuple[int, int] = (1280, 800),
        **options: Any,
    ) -> Page:
        """Open a page in a new context with empty storage. Other pages of the context are monitored, too.

        `server` may be a base URL without a trailing slash, such as a proxy's. `options` are those of Playwright's
        `new_context`: color_scheme, reduced_motion, bypass_csp, has_touch and so on.
        """
        width, height = viewport
        context = self._browser.new_context(viewport={"width": width, "height": height}, **options)
        self._contexts.append(context)
        context.set_default_timeout(STEP_TIMEOUT_MS)
        context.on("console", self._on_console)
        context.on("weberror", lambda thrown: self._add("page", thrown.error.message, _origin(thrown.error)))
        context.on("request", lambda request: self._on_address(request.url))
        context.on("page", self._on_page)
        page = context.new_page()
        root = server if isinstance(server, str) else f"http://127.0.0.1:{server.port}"
        page.goto(f"{root}{path}")
        return page

    def expect(self, *patterns: str) -> None:
        """Each pattern (`re.search`) must match a complaint by the end; matching complaints do not fail the test."""
        self._expected += patterns

    def allow(self, *patterns: str) -> None:
        """Complaints that match one of these patterns may occur and do not fail the test."""
        self._allowed += patterns

    def unexpected(self) -> list[str]:
        known = [*self._expected, *self._allowed]
        return [
            complaint for complaint in self.complaints if not any(re.search(pattern, complaint) for pattern in known)
        ]

    def missing(self) -> list[str]:
        """The expected patterns that match no complaint."""
        return [
            pattern
            for pattern in self._expected
            if not any(re.search(pattern, complaint) for complaint in self.complaints)
        ]

    def close(self) -> None:
        """Close all pages. Raises AssertionError for unexpected and for missing complaints."""
        __tracebackhide__ = True
        pages = [page for context in self._contexts for page in context.pages if not page.is_closed()]
        failed = self._failed()
        if not failed:  # after a failure the page may hang, and the test's timeout may be used up
            self._process_events(pages)
        wrong = [f"unexpected: {complaint}" for complaint in self.unexpected()]
        wrong += [f"expected, but missing: {pattern}" for pattern in self.missing()]
        if wrong or failed:
            for number, page in enumerate(pages, 1):
                self._save_evidence(page, number)
        for context in self._contexts:
            with suppress(Error):
                context.close()
        if wrong:
            raise AssertionError("\n".join(wrong))

    @staticmethod
    def _process_events(pages: list[Page]) -> None:
        for page in pages:
            with suppress(Error):
                page.evaluate("0")  # events sent before this reply have been processed

    def _on_page(self, page: Page) -> None:
        page.on("crash", lambda gone: self._add("crash", "the page crashed", gone.url))
        page.on("websocket", lambda socket: self._on_address(socket.url))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "assert"}:
            forbidden = "Content Security Policy" in message.text
            self._add("policy" if forbidden else "console", message.text, message.location["url"])

    def _on_address(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme not in WITHOUT_HOST and address.hostname not in HERE:
            self._add("host", url, "")

    def _add(self, kind: str, text: str, url: str) -> None:
        self.complaints.append(f"{kind}: {text} ({url})" if url else f"{kind}: {text}")

    def _save_evidence(self, page: Page, number: int) -> None:
        """Save a screenshot and the HTML. If the screenshot fails, the HTML is skipped, because it has no timeout."""
        with suppress(Error):
            page.screenshot(path=self._save(f"{number}.png"), timeout=EVIDENCE_TIMEOUT_MS)
            self._save(f"{number}.html").write_text(page.content(), encoding="utf-8", errors="backslashreplace")


def _origin(error: Error) -> str:
    """The first line of the stack trace, if there is one."""
    return next((line.strip() for line in (error.stack or "").splitlines() if line.strip().startswith("at ")), "")
