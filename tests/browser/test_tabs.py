"""Several tabs of one browser, which opens six connections to a server and no more."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import ask, begun, ended, gate, loaded, says
from tests.end_to_end.conftest import Serve

HELD = "text=echo,gap=1ms,gate=hold@2"

_HIDE = """(hidden) => {
  Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def beside(page: Page, path: str) -> Page:
    """Another tab."""
    tab = page.context.new_page()
    tab.goto(page.url.partition("/web")[0] + path)
    return tab


def asked_by(page: Page, part: str) -> list[str]:
    """The addresses with this part that all tabs ask for from now on."""
    found: list[str] = []
    page.context.on("request", lambda request: found.append(request.url) if part in request.url else None)
    return found


def live(board: Page) -> None:
    expect(board.locator("#state")).to_have_text("Live")


def test_seven_dashboards_share_a_connection_and_a_chat_beside_them_works(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 404")  # of a conversation that is not there yet
    page = loaded(open_page(serve(SIM="text=echo,gap=1ms")))
    opened = asked_by(page, "/board/events")
    boards = [beside(page, "/board") for _ in range(7)]
    for board in boards:
        live(board)
    assert len(opened) == 1
    last = loaded(beside(page, "/web?conversation=last"))
    ask(last, "one two three")
    says(last, "one two three")
    ended(last)
    boards[0].close()  # the one that reads
    for board in boards[1:]:
        before = board.locator("#facts").inner_text()
        expect(board.locator("#facts")).not_to_have_text(before)
        live(board)
    assert len(opened) == 2


def test_seven_tabs_of_a_conversation_share_its_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = loaded(open_page(server))
    followed = asked_by(page, "/chat/turns/")
    ask(page, "one two three four")
    says(page, "one two")
    tabs = [loaded(beside(page, "/web?conversation=default")) for _ in range(6)]
    for tab in tabs:
        says(tab, "one two")
    assert followed == []
    page.close()  # the one that reads
    gate(server, "hold", tokens=1)
    for tab in tabs:
        says(tab, "one two three")
    assert len(followed) == 1
    tabs[-1].bring_to_front()
    gate(server, "hold")
    for tab in tabs:
        ended(tab)
        says(tab, "one two three four")
    ask(tabs[-1], "five")
    says(tabs[-1], "five")


@pytest.mark.parametrize("has_locks", [True, False])
def test_hidden_tabs_close_their_connections_so_that_a_seventh_tab_responds(
    open_page: Pages, serve: Serve, has_locks: bool
) -> None:
    open_page.expect("status of 404")
    server = serve(SIM=HELD)
    first = open_page(server)
    if not has_locks:  # over HTTP from another machine: each tab that is visible has a connection of its own
        first.context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
        first.reload()
    loaded(first)
    assert first.evaluate("navigator.locks !== undefined") is has_locks
    tabs = [first, *(loaded(beside(first, f"/web?conversation=tab{n}")) for n in range(5))]
    seventh = loaded(beside(first, "/web?conversation=last"))
    for tab in tabs:
        ask(tab, "one two three")
        begun(tab)
        says(tab, "one two")
    for tab in tabs:
        tab.evaluate(_HIDE, True)
    ask(seventh, "one two")
    says(seventh, "one two")
    ended(seventh)
    gate(server, "hold")
    tabs[0].evaluate(_HIDE, False)
    ended(tabs[0])
    says(tabs[0], "one two three")


def test_without_locks_two_tabs_of_a_conversation_show_its_response_once(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    first = open_page(server)
    first.context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
    first.reload()
    ask(loaded(first), "one two three")
    says(first, "one two")
    other = loaded(beside(first, "/web?conversation=default"))
    says(other, "one two")
    gate(server, "hold")
    for tab in (first, other):
        ended(tab)
        says(tab, "one two three")
        expect(tab.locator("#messages > .message:visible")).to_have_count(2)


def test_hidden_dashboard_closes_its_connection(open_page: Pages, serve: Serve) -> None:
    page = loaded(open_page(serve()))
    opened = asked_by(page, "/board/events")
    board = beside(page, "/board")
    live(board)
    board.evaluate(_HIDE, True)
    expect(board.locator("#state")).to_have_text("Reconnecting…")
    board.evaluate(_HIDE, False)
    live(board)
    assert len(opened) == 2
