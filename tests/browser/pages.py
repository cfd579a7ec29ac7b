"""Pages that are listened to: what a browser complains of fails the test, unless the test said that it would come.

A complaint is one line, `KIND: text (address)`. The kinds are `console` (an error in it), `page` (an exception nobody
caught), `policy` (the Content-Security-Policy forbade it), `host` (a request to another host, which is never sent) and
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
    """Opens pages and closes them, when every complaint must have been expected and every expected one must have come.

    `save` says where a file of such a name goes. When the test has `failed`, or a complaint makes it fail, each open
    page leaves its picture and its HTML there.
    """

    def __init__(self, browser: Browser, *, save: Callable[[str], Path], failed: Callable[[], bool]) -> None:
        self.complaints: list[str] = []
        """What was heard so far; a round trip to the page, such as `page.title()`, lets it hear what is on its way."""
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
        """A new page in a new context: nothing kept, nothing shared. Further pages of `page.context` are heard, too.

        `server` may be a root without a slash at its end, such as a proxy's. `options` go to Playwright's
        `new_context`: color_scheme, reduced_motion, bypass_csp, has_touch and so on.
        """
        width, height = viewport
        context = self._browser.new_context(viewport={"width": width, "height": height}, **options)
        self._contexts.append(context)
        context.set_default_timeout(STEP_TIMEOUT_MS)
        context.on("console", self._on_console)
        context.on("weberror", lambda thrown: self._hear("page", thrown.error.message, _origin(thrown.error)))
        context.on("request", lambda request: self._on_address(request.url))
        context.on("page", self._on_page)
        page = context.new_page()
        root = server if isinstance(server, str) else f"http://127.0.0.1:{server.port}"
        page.goto(f"{root}{path}")
        return page

    def expect(self, *patterns: str) -> None:
        """Each pattern (`re.search`) must match a complaint by the end, and what they match is no fault."""
        self._expected += patterns

    def allow(self, *patterns: str) -> None:
        """What these patterns match may come or not."""
        self._allowed += patterns

    def unexpected(self) -> list[str]:
        known = [*self._expected, *self._allowed]
        return [said for said in self.complaints if not any(re.search(pattern, said) for pattern in known)]

    def missing(self) -> list[str]:
        """The patterns that are expected and that nothing has matched."""
        return [pattern for pattern in self._expected if not any(re.search(pattern, said) for said in self.complaints)]

    def close(self) -> None:
        """Raises AssertionError for what came and was not expected, or did not come and was."""
        __tracebackhide__ = True
        pages = [page for context in self._contexts for page in context.pages if not page.is_closed()]
        failed = self._failed()
        if not failed:  # for then the page may hang, and the test's own limit be used up
            self._hear_out(pages)
        wrong = [f"unexpected: {said}" for said in self.unexpected()]
        wrong += [f"expected, and did not come: {pattern}" for pattern in self.missing()]
        if wrong or failed:
            for number, page in enumerate(pages, 1):
                self._keep_evidence(page, number)
        for context in self._contexts:
            with suppress(Error):
                context.close()
        if wrong:
            raise AssertionError("\n".join(wrong))

    @staticmethod
    def _hear_out(pages: list[Page]) -> None:
        for page in pages:
            with suppress(Error):
                page.evaluate("0")  # what it said before this has been heard after it

    def _on_page(self, page: Page) -> None:
        page.on("crash", lambda gone: self._hear("crash", "the page is gone", gone.url))
        page.on("websocket", lambda socket: self._on_address(socket.url))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "assert"}:
            forbidden = "Content Security Policy" in message.text
            self._hear("policy" if forbidden else "console", message.text, message.location["url"])

    def _on_address(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme not in WITHOUT_HOST and address.hostname not in HERE:
            self._hear("host", url, "")

    def _hear(self, kind: str, text: str, url: str) -> None:
        self.complaints.append(f"{kind}: {text} ({url})" if url else f"{kind}: {text}")

    def _keep_evidence(self, page: Page, number: int) -> None:
        """A page that hangs or has crashed has none to give; it is not asked twice, for its HTML has no time limit."""
        with suppress(Error):
            page.screenshot(path=self._save(f"{number}.png"), timeout=EVIDENCE_TIMEOUT_MS)
            self._save(f"{number}.html").write_text(page.content(), encoding="utf-8", errors="backslashreplace")


def _origin(error: Error) -> str:
    """Where it was thrown, as far as that is known."""
    return next((line.strip() for line in (error.stack or "").splitlines() if line.strip().startswith("at ")), "")
