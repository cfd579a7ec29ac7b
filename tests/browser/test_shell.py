"""The theme, the shortcuts and their dialog, and the tab's title and icon."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import ask, complete_turn, draft, expect_text, gate, wait_until_ended
from tests.browser.test_look import DESK, PAGE_COLOURS, PHONE, look, sound
from tests.end_to_end.conftest import Serve

FAST = "gap=1ms"
HELD = "text=echo,gap=1ms,gate=hold@1"
HELP = "Keyboard shortcuts"

_GROUND = "getComputedStyle(document.body).backgroundColor"
_BAR = """() => [...document.querySelectorAll('meta[name=theme-color]')]
  .filter(({ media }) => matchMedia(media).matches).map(({ content }) => content)"""
_SET_HIDDEN = """(hidden) => {
  Object.defineProperty(document, 'visibilityState', { value: hidden ? 'hidden' : 'visible', configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.fixture
def web() -> None:
    """The single files: some tests keep one of them back."""


def ground(page: Page) -> Any:
    return page.evaluate(_GROUND)


def icon(page: Page) -> str:
    return page.locator("link[rel=icon]").get_attribute("href") or ""


# The theme


@pytest.mark.parametrize(("chosen", "system"), [("light", "dark"), ("dark", "light")])
def test_selected_theme_applies_to_every_page_from_the_first_paint(
    open_page: Pages, serve: Serve, chosen: str, system: str
) -> None:
    page = open_page(serve(SIM=FAST), color_scheme=system)
    assert ground(page) == PAGE_COLOURS[system]
    page.get_by_label("Theme").select_option(chosen)
    assert ground(page) == PAGE_COLOURS[chosen]
    other = page.context.new_page()
    other.route("**/web/app.js", lambda route: route.abort())  # no module has run yet
    open_page.expect("ERR_FAILED")
    other.goto(page.url)
    assert ground(other) == PAGE_COLOURS[chosen]
    assert other.evaluate(_BAR) == [{"light": "#f6f8fa", "dark": "#0f151b"}[chosen]]
    dashboard = page.context.new_page()
    dashboard.goto(page.url.partition("/web")[0] + "/board")
    assert ground(dashboard) == PAGE_COLOURS[chosen]
    page.get_by_label("Theme").select_option("")
    assert ground(page) == PAGE_COLOURS[system]
    dashboard.wait_for_function(f"() => {_GROUND} === '{PAGE_COLOURS[system]}'")  # other open tabs change too


# Shortcuts


def test_shortcuts_are_listed_and_work(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST))
    complete_turn(page, "first")
    page.locator("#log").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name=HELP)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#log")).to_be_focused()
    page.keyboard.press("/")
    expect(draft(page)).to_be_focused()
    expect(draft(page)).to_have_value("")
    page.keyboard.type("why/where?")
    expect(draft(page)).to_have_value("why/where?")
    page.keyboard.press("Control+Shift+O")
    expect(page.locator("#empty")).to_be_visible()
    expect(draft(page)).to_be_focused()


def test_single_keys_are_switched_off_and_stay_so(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST))
    page.get_by_role("button", name="Shortcuts").click()
    page.get_by_label("outside of text fields").uncheck()
    page.get_by_role("button", name="Close", exact=True).click()
    page.reload()
    page.locator("#log").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Control+/")
    expect(page.get_by_role("dialog", name=HELP)).to_be_visible()
    page.keyboard.press("Control+Shift+O")
    expect(page.get_by_role("dialog", name=HELP)).to_be_visible()
    expect(page.get_by_label("outside of text fields")).not_to_be_checked()


def test_list_is_hidden_and_shown_by_a_shortcut(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST))
    sidebar = page.locator("#sidebar")
    page.locator("#new").focus()
    page.keyboard.press("Control+Shift+S")
    expect(sidebar).to_be_hidden()
    expect(draft(page)).to_be_focused()
    page.get_by_role("button", name="Conversations").click()
    expect(sidebar).to_be_visible()
    expect(page.locator("#new")).to_be_focused()
    look(page, "light", PHONE)
    expect(sidebar).to_be_hidden()
    page.keyboard.press("Control+Shift+S")
    expect(sidebar).to_be_visible()
    page.keyboard.press("Control+Shift+S")
    expect(sidebar).to_be_hidden()


def test_hidden_list_stays_hidden_after_a_reload(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST))
    sidebar = page.locator("#sidebar")
    page.get_by_role("button", name="Hide").click()
    expect(sidebar).to_be_hidden()
    expect(draft(page)).to_be_focused()
    page.reload()
    expect(page.locator("#empty")).to_be_visible()
    expect(sidebar).to_be_hidden()
    expect(draft(page)).to_be_focused()
    look(page, "light", PHONE)
    page.get_by_role("button", name="Conversations").click()
    expect(sidebar).to_be_visible()
    page.get_by_role("button", name="Hide").click()
    look(page, "light", DESK)
    expect(sidebar).to_be_hidden()
    page.get_by_role("button", name="Conversations").click()
    page.reload()
    expect(sidebar).to_be_visible()


def test_hidden_list_is_not_painted_before_the_modules_run(open_page: Pages, serve: Serve) -> None:
    open_page.expect("net::ERR_FAILED")
    page = open_page(serve(SIM=FAST))
    page.get_by_role("button", name="Hide").click()
    page.route("**/web/app.js", lambda route: route.abort())
    page.reload()
    expect(page.locator("#sidebar")).to_be_hidden()


# The tab


def test_tab_title_marks_an_ended_response_until_the_tab_is_shown(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    own = icon(page)
    ask(page, "one two")
    expect_text(page, "one")
    page.evaluate(_SET_HIDDEN, True)
    gate(server, "hold")
    wait_until_ended(page)
    expect(page).to_have_title("● Complete · one two · Tokenfall")
    assert icon(page).startswith("data:image/svg+xml,")
    page.evaluate(_SET_HIDDEN, False)
    expect(page).to_have_title("one two · Tokenfall")
    assert icon(page) == own


# Layout


def test_shortcuts_dialog_has_no_violation_on_phone_and_desktop(
    open_page: Pages, serve: Serve, artefact: Artefact
) -> None:
    page = open_page(serve(SIM=FAST))
    page.keyboard.press("Control+/")
    expect(page.get_by_role("dialog", name=HELP)).to_be_visible()
    for theme, size in [("light", PHONE), ("dark", DESK)]:
        look(page, theme, size)
        assert sound(page) == [], (theme, size)
        page.screenshot(path=artefact(f"shortcuts-{theme}.png"))
