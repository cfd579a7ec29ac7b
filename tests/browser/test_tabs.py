"""Several tabs of one browser, which opens at most six connections to a server."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import ask, expect_text, gate, streams, turn_id, wait_until_ended, wait_until_loaded
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

CONVERSATION = "/web?conversation=default"
HELD = "text=echo,gap=1ms,gate=hold@2"

_HIDE = """(hidden) => {
  Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
  Object.defineProperty(document, 'visibilityState', { value: hidden ? 'hidden' : 'visible', configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def first_tab(open_page: Pages, server: ServerProcess, *, has_locks: bool, path: str = CONVERSATION) -> Page:
    """Opens a tab. Without Web Locks, as over HTTP from another machine, if not `has_locks`; also in its other tabs."""
    page = open_page(server, path)
    if not has_locks:
        page.context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
        page.reload()
    assert page.evaluate("navigator.locks !== undefined") is has_locks
    return page


@contextmanager
def frozen(page: Page) -> Iterator[None]:
    """Suspends the page's scripts during the block."""
    debugger = page.context.new_cdp_session(page)
    debugger.send("Debugger.enable")
    debugger.send("Debugger.pause")  # pauses at the next statement
    yield
    debugger.send("Debugger.resume")
    debugger.send("Debugger.disable")


def beside(page: Page, path: str) -> Page:
    """Another tab of the same browser."""
    tab = page.context.new_page()
    tab.goto(page.url.rpartition("/")[0] + path)
    return tab


def requests_to(page: Page, part: str) -> list[str]:
    """The URLs with this part that all tabs request from now on."""
    found: list[str] = []
    page.context.on("request", lambda request: found.append(request.url) if part in request.url else None)
    return found


def live(dashboard: Page) -> None:
    expect(dashboard.locator("#state")).to_have_text("Live")


@pytest.mark.parametrize("has_locks", [True, False])
def test_six_dashboards_share_a_connection_and_a_chat_beside_them_works(
    open_page: Pages, serve: Serve, has_locks: bool
) -> None:
    open_page.expect("status of 404")  # of a conversation that is not stored yet
    page = wait_until_loaded(first_tab(open_page, serve(SIM="text=echo,gap=1ms"), has_locks=has_locks))
    opened = requests_to(page, "/board/events")
    dashboards = [beside(page, "/board") for _ in range(6)]  # with one connection per tab, none would be left
    for dashboard in dashboards:
        live(dashboard)
    assert len(opened) == 1
    last = wait_until_loaded(beside(page, "/web?conversation=last"))
    ask(last, "one two three")
    expect_text(last, "one two three")
    wait_until_ended(last)
    dashboards[0].close()  # the tab that reads the stream
    for dashboard in dashboards[1:]:
        before = dashboard.locator("#facts").inner_text()
        expect(dashboard.locator("#facts")).not_to_have_text(before)
        live(dashboard)
    assert len(opened) == 2


def test_dashboard_beside_a_frozen_one_that_read_for_both_stays_live(open_page: Pages, serve: Serve) -> None:
    reading = first_tab(open_page, serve(), has_locks=False, path="/board")
    live(reading)
    opened = requests_to(reading, "/board/events")
    dashboard = beside(reading, "/board")
    live(dashboard)
    assert opened == []
    before = reading.locator("#facts").inner_text()
    with reading.expect_event("requestfailed", lambda request: request.url.endswith("/board/events")):
        with frozen(reading), dashboard.expect_request("**/board/events"):
            pass
        live(dashboard)
    expect(reading.locator("#facts")).not_to_have_text(before)
    live(reading)
    live(dashboard)
    assert len(opened) == 1


def test_response_that_ended_while_its_tab_was_frozen_is_complete(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    ask(page, "one two three four")
    expect_text(page, "one two")
    with frozen(page):
        gate(server, "hold")
        while streams(server):
            pass
    expect_text(page, "one two three four")
    wait_until_ended(page)


@pytest.mark.parametrize("has_locks", [True, False])
def test_seven_tabs_of_a_conversation_share_its_response(open_page: Pages, serve: Serve, has_locks: bool) -> None:
    server = serve(SIM=HELD)
    page = wait_until_loaded(first_tab(open_page, server, has_locks=has_locks))
    followed = requests_to(page, "/chat/turns/")
    ask(page, "one two three four")
    expect_text(page, "one two")
    tabs = [wait_until_loaded(beside(page, "/web?conversation=default")) for _ in range(6)]
    for tab in tabs:
        expect_text(tab, "one two")
    assert followed == []
    page.close()  # the tab that reads the stream
    gate(server, "hold", tokens=1)
    for tab in tabs:
        expect_text(tab, "one two three")
    assert len(followed) == 1
    tabs[-1].bring_to_front()
    gate(server, "hold")
    for tab in tabs:
        wait_until_ended(tab)
        expect_text(tab, "one two three four")
    ask(tabs[-1], "five")
    expect_text(tabs[-1], "five")


@pytest.mark.parametrize("has_locks", [True, False])
def test_hidden_tabs_close_their_connections_so_that_a_seventh_tab_responds(
    open_page: Pages, serve: Serve, has_locks: bool
) -> None:
    open_page.expect("status of 404")
    server = serve(SIM=HELD)
    first = wait_until_loaded(first_tab(open_page, server, has_locks=has_locks))
    tabs = [first, *(wait_until_loaded(beside(first, f"/web?conversation=tab{n}")) for n in range(5))]
    seventh = wait_until_loaded(beside(first, "/web?conversation=last"))
    for tab in tabs:
        ask(tab, "one two three")
        turn_id(tab)
        expect_text(tab, "one two")
    for tab in tabs:
        tab.evaluate(_HIDE, True)
    ask(seventh, "one two")
    expect_text(seventh, "one two")
    wait_until_ended(seventh)
    gate(server, "hold")
    tabs[0].evaluate(_HIDE, False)
    wait_until_ended(tabs[0])
    expect_text(tabs[0], "one two three")


def test_without_locks_two_tabs_of_a_conversation_show_its_response_once(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    first = first_tab(open_page, server, has_locks=False)
    ask(wait_until_loaded(first), "one two three")
    expect_text(first, "one two")
    other = wait_until_loaded(beside(first, "/web?conversation=default"))
    expect_text(other, "one two")
    gate(server, "hold")
    for tab in (first, other):
        wait_until_ended(tab)
        expect_text(tab, "one two three")
        expect(tab.locator("#messages > .message:visible")).to_have_count(2)


def test_hidden_tab_without_a_connection_shows_in_its_title_that_the_response_has_ended(
    open_page: Pages, serve: Serve
) -> None:
    server = serve(SIM=HELD)
    page = wait_until_loaded(open_page(server))
    page.clock.install()
    ask(page, "one two three")
    expect_text(page, "one two")
    page.evaluate(_HIDE, True)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/chat")):
        page.clock.fast_forward(3_000)
    with page.expect_event("requestfailed", lambda request: "/chat/turns/" in request.url):
        page.clock.fast_forward(15_000)  # the page checks while the turn is still running
        page.clock.fast_forward(3_000)
    gate(server, "hold")
    followed = requests_to(page, "/chat/turns/")
    page.clock.fast_forward(15_000)
    expect(page).to_have_title("● Complete · one two three · Tokenfall")
    assert len(followed) == 1
    page.evaluate(_HIDE, False)
    expect(page).to_have_title("one two three · Tokenfall")
    expect_text(page, "one two three")


def test_hidden_dashboard_closes_its_connection(open_page: Pages, serve: Serve) -> None:
    page = wait_until_loaded(open_page(serve()))
    opened = requests_to(page, "/board/events")
    dashboard = beside(page, "/board")
    live(dashboard)
    dashboard.evaluate(_HIDE, True)
    expect(dashboard.locator("#state")).to_have_text("Reconnecting…")
    dashboard.evaluate(_HIDE, False)
    live(dashboard)
    assert len(opened) == 2
