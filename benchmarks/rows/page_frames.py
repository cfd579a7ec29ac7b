"""Time between frames of the chat page during a response of 10,000 tokens, compared with the idle page.

The browser is Debian's headless Chromium, driven as in the tests, on the core of the load generator. It draws at most
60 frames per second.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.bench import Bench, Measurement
from benchmarks.measurement import OURS, Goal, NotMeasured, Row, Sample
from tests.browser.chromium import BROWSER, FLAGS
from tests.browser.frames import Frames, frames
from tests.browser.long_answers import LONG

AT_REST = "page at rest"
REST_MS = 5_000
ENDS_WITHIN_MS = 60_000
SMOOTH = Row(
    "page_frames",
    "the chat page: time between frames, 95th percentile, while 10,000 tokens of Markdown arrive in ten seconds",
    "ms",
    target=Goal(1.5, against=AT_REST),
    beyond=Goal(1.1, against=AT_REST),
)
LONGEST = Row("page_longest_frame", "the same, longest time", "ms", target=Goal(100), beyond=Goal(50))


@contextmanager
def _page(bench: Bench) -> Iterator[Page]:
    browser = shutil.which(BROWSER)
    if browser is None:
        raise NotMeasured(f"{BROWSER} is not installed")
    text, gap = LONG["document"]
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        script = f"{folder}/long.json"
        with open(script, "w", encoding="utf-8") as file:
            json.dump([{"say": text}], file)
        with bench.running(bench.tokenfall(SIM=f"script={script},gap={gap}", MAX_TOKENS="20000")) as server:
            chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS, chromium_sandbox=False)
            page = chromium.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"{server.url}/web")
            expect(page.locator("#empty")).to_be_visible()
            yield page
            chromium.close()


def _measured(bench: Bench, act: Callable[[Page], None]) -> Sample:
    with _page(bench) as page:
        with frames(page) as seen:
            act(page)
        if not seen.intervals_ms:
            raise NotMeasured("the browser drew no frames")
    return Sample({SMOOTH.name: seen.quantile_ms(0.95), LONGEST.name: seen.worst_ms}, _raw(seen))


def _raw(seen: Frames) -> dict[str, float | list[float]]:
    return {
        "frames": len(seen.intervals_ms),
        "p50_ms": seen.quantile_ms(0.5),
        "p99_ms": seen.quantile_ms(0.99),
        "over_50_ms": seen.over(50),
        "long_tasks_ms": seen.long_tasks_ms,
    }


def _respond(page: Page) -> None:
    page.locator("#draft").fill("Go on.")
    page.locator("#draft").press("Enter")
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#stop")).to_be_hidden(timeout=ENDS_WITHIN_MS)
    expect(page.locator(".assistant")).to_have_attribute("data-state", "complete")


def _rest(page: Page) -> None:
    page.evaluate("(ms) => new Promise((resolve) => setTimeout(resolve, ms))", REST_MS)


def _tokenfall(bench: Bench) -> Sample:
    return _measured(bench, _respond)


def _at_rest(bench: Bench) -> Sample:
    return _measured(bench, _rest)


MEASUREMENT = Measurement((SMOOTH, LONGEST), {OURS: _tokenfall, AT_REST: _at_rest})
