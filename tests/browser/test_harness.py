"""The fixtures of this folder detect each kind of fault: each is planted once."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.axe import axe
from tests.browser.conftest import Artefact
from tests.browser.frames import frames
from tests.browser.pages import Pages
from tests.end_to_end.conftest import Serve

HTML = b"""<!doctype html><html lang="en"><title>Plain</title><link rel="icon" href="data:,">
<main><h1>Plain</h1></main></html>"""

POLICY = "default-src 'none'; connect-src 'self'; style-src 'self'; img-src data:"

PLANTED = {
    "console.error('planted')": "console: planted",
    "console.assert(false, 'planted')": "console: planted",
    "fetch('nothing')": "console: Failed to load resource: .* 404",
    "setTimeout(() => { throw new Error('planted'); })": r"page: planted \(at ",
    "void Promise.reject(new Error('planted'))": "page: planted",
    "document.body.setAttribute('style', 'color: red')": "policy: .*style-src",
    "fetch('https://example.org/planted').catch(() => {})": "policy: .*connect-src",
}


class Plain(BaseHTTPRequestHandler):
    """An empty page with a Content-Security-Policy like that of the real pages."""

    def do_GET(self) -> None:
        found = self.path.partition("?")[0] == "/web"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header(
            "Content-Security-Policy", "default-src 'none'; connect-src 'self'; style-src 'self'; img-src data:"
        )
        self.end_headers()
        self.wfile.write(HTML if found else b"")

    def log_message(self, *_: object) -> None:
        """Suppresses the log of `BaseHTTPRequestHandler`."""


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    """The root URL of a server whose page has only the faults that a test plants."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Plain) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def quiet(browser: Browser, tmp_path: Path) -> Iterator[Pages]:
    """Pages that the test closes itself, to check the failure."""
    pages = Pages(browser, save=lambda name: tmp_path / name, failed=lambda: False)
    yield pages
    with suppress(AssertionError):
        pages.close()


def has_failure(page: Page, pages: Pages) -> bool:
    """Waits for a complaint; False if none comes."""
    for _ in range(200):
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 10))")
        if pages.complaints:
            return True
    return False


def test_page_loads_without_a_complaint(open_page: Pages, serve: Serve, artefact: Artefact) -> None:
    page = open_page(serve(), color_scheme="dark", reduced_motion="reduce", viewport=(360, 640))
    assert page.title()
    query = ["(prefers-color-scheme: dark)", "(prefers-reduced-motion: reduce)", "(width: 360px) and (height: 640px)"]
    assert page.evaluate("(asked) => asked.map((each) => matchMedia(each).matches)", query) == [True] * 3
    path = artefact("harness.png")
    page.screenshot(path=path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("script", PLANTED)
def test_planted_fault_is_reported_and_fails_the_test(quiet: Pages, plain: str, script: str) -> None:
    page = quiet(plain)
    page.evaluate(f"() => {{ {script} }}")
    assert has_failure(page, quiet)
    with pytest.raises(AssertionError, match=f"unexpected: {PLANTED[script]}"):
        quiet.close()


def test_fault_is_reported_without_waiting(quiet: Pages, plain: str) -> None:
    quiet(plain).evaluate("console.error('planted')")
    with pytest.raises(AssertionError, match="unexpected: console: planted"):
        quiet.close()


def test_expected_fault_does_not_fail_the_test(quiet: Pages, plain: str) -> None:
    page = quiet(plain)
    page.evaluate("console.error('planted')")
    page.context.new_page().evaluate("console.error('beside')")
    assert has_failure(page, quiet)
    assert len(quiet.unexpected()) == 2
    quiet.expect(r"^console: planted$")
    quiet.allow("beside", "what does not come")
    quiet.close()


def test_missing_expected_fault_fails_the_test(quiet: Pages, plain: str) -> None:
    quiet(plain)
    quiet.expect("planted")
    with pytest.raises(AssertionError, match="expected, but missing: planted"):
        quiet.close()


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "10.0.0.1:8080"])
def test_no_other_host_is_reached(quiet: Pages, plain: str, host: str) -> None:
    page = quiet(plain, bypass_csp=True)
    query = f"fetch('http://{host}/planted').then(() => 'there', () => 'refused')"
    assert page.evaluate(query) == "refused"
    quiet.expect("ERR_NAME_NOT_RESOLVED")
    with pytest.raises(AssertionError, match=f"^unexpected: host: http://{re.escape(host)}/planted$"):
        quiet.close()


def test_failed_test_saves_a_screenshot_and_the_page(browser: Browser, plain: str, tmp_path: Path) -> None:
    pages = Pages(browser, save=lambda name: tmp_path / name, failed=lambda: True)
    pages(plain).evaluate("document.title = 'as it was'")
    pages.close()
    assert (tmp_path / "1.png").read_bytes().startswith(b"\x89PNG")
    assert "<title>as it was</title>" in (tmp_path / "1.html").read_text(encoding="utf-8")


def test_passed_test_saves_no_files(quiet: Pages, plain: str, tmp_path: Path) -> None:
    quiet(plain)
    quiet.close()
    assert not list(tmp_path.glob("1.*"))


def test_axe_finds_planted_violations(open_page: Pages, plain: str) -> None:
    page = open_page(plain)
    page.evaluate("document.body.append(Object.assign(document.createElement('img'), { src: 'data:,' }))")
    (found,) = [violation for violation in axe(page) if violation.startswith("image-alt (critical)")]
    assert 'src="data:,"' in found
    assert not [violation for violation in axe(page, without=["image-alt"]) if "image-alt" in violation]
    assert not [violation for violation in axe(page, within="h1") if "image-alt" in violation]


def test_frames_and_long_tasks_are_measured(open_page: Pages, plain: str) -> None:
    page = open_page(plain)
    busy = "const untilMs = performance.now() + 150; while (performance.now() < untilMs);"
    with frames(page) as calm:
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 300))")
    with frames(page) as seen:
        page.evaluate(f"new Promise((resolve) => setTimeout(() => {{ {busy} resolve(); }}, 50))")
    assert len(calm.intervals_ms) > 3
    assert 5 < calm.quantile_ms(0.5) <= calm.quantile_ms(1) == calm.worst_ms
    assert max(seen.long_tasks_ms) >= 150
    assert seen.worst_ms > 100
    assert seen.over(100) >= 1


def test_server_can_be_restarted_on_its_port(open_page: Pages, serve: Serve, plain: str) -> None:
    first = serve()
    page = open_page(plain, bypass_csp=True)
    ask = f"fetch('http://127.0.0.1:{first.port}/', {{ mode: 'no-cors' }}).then(() => 'there', () => 'gone')"
    assert page.evaluate(ask) == "there"
    first.close()
    open_page.expect("ERR_CONNECTION_REFUSED")
    assert page.evaluate(ask) == "gone"
    again = serve(PORT=str(first.port))
    assert again.port == first.port
    assert page.evaluate(ask) == "there"


@pytest.mark.parametrize("time", [1, 2])
def test_no_loop_is_left_running(chromium: object, time: int) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


async def test_coroutine_runs_between_browser_tests(chromium: object) -> None:
    await asyncio.sleep(0)


def test_browser_survives_a_failed_test(open_page: Pages, plain: str) -> None:
    assert open_page(plain).title() == "Plain"
