"""Use by keyboard only, and the announcements to screen readers."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.pages import Pages
from tests.browser.steps import (
    alert,
    ask,
    complete_turn,
    expect_text,
    gate,
    message,
    messages,
    set_sim,
    texts,
    wait_until_ended,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

RICH = """# A heading

With [a link](https://example.org/), a table and code.

| One | Two | Three | Four | Five | Six |
|-----|-----|-------|------|------|-----|
| unbreakable | unbreakable | unbreakable | unbreakable | unbreakable | unbreakable |

```python
print("a line of code that is far too long for a telephone, and goes on and on, and on and on, and on and on")
```
"""

TURNS = [
    {"when": {"last": "rich"}, "say": RICH},
    {"when": {"last": "held"}, "say": "one two three four five", "sim": "gate=more@3"},
    {"when": {"last": "break"}, "say": [{"text": "It began"}, {"error": "planted"}]},
    {"when": {"last": "long"}, "say": "\n\n".join(["A paragraph of some words."] * 60)},
    {"say": "Short."},
]

PHONE = (360, 640)

FOCUSED = """() => {
  const element = document.activeElement;
  if (element === document.body) return '';
  if (element.localName === 'pre' || (element.id && element.matches('input, textarea, select, div'))) {
    return element.id ? `#${element.id}` : element.localName;
  }
  const copy = element.cloneNode(true);
  for (const unheard of copy.querySelectorAll('[aria-hidden=true], .when, .pace')) unheard.remove();
  return (element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? copy.textContent).trim();
}"""

FOCUS_IS_SEEN = """() => {
  const focused = document.activeElement;
  const marked = focused.id === 'draft' ? focused.form : focused;
  const style = getComputedStyle(marked);
  const lightness = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const [dark, light] = [style.outlineColor, getComputedStyle(document.body).backgroundColor]
    .map(lightness).sort((one, other) => one - other);
  if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) return 'no outline';
  if ((light + 0.05) / (dark + 0.05) < 3) return `pale: ${style.outlineColor}`;
  const reach = Math.max(0, parseFloat(style.outlineOffset) + parseFloat(style.outlineWidth)) - 0.5;
  const box = marked.getBoundingClientRect();
  if (box.bottom < 0 || box.top > innerHeight || box.right < 0 || box.left > innerWidth) return 'out of view';
  for (let around = marked.parentElement; around !== document.body; around = around.parentElement) {
    if (!['hidden', 'clip'].includes(getComputedStyle(around).overflowX)) continue;
    const edge = around.getBoundingClientRect();
    const cut = [edge.left - box.left, box.right - edge.right, edge.top - box.top, box.bottom - edge.bottom];
    if (cut.some((each) => each + reach > 0)) return `cut off by .${around.className}`;
  }
  return '';
}"""


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> ServerProcess:
    script = tmp_path / "turns.json"
    script.write_text(json.dumps(TURNS), encoding="utf-8")
    return serve(SIM=f"gap=100us,script={script}", DRAIN_TIMEOUT="100ms")


def focused(page: Page) -> str:
    """The accessible name of the focused element; "" if nothing has the focus."""
    return str(page.evaluate(FOCUSED))


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def reach(page: Page, name: str, *, key: str = "Tab") -> None:
    """Presses `key` until the control with this name has the focus."""
    passed = []
    for _ in range(40):
        if focused(page) == name:
            return
        passed.append(focused(page))
        press(page, key)
    pytest.fail(f"{key} did not lead to {name!r}, only to {passed}")


def write(page: Page, text: str) -> None:
    """Types and sends `text`; the text area must have the focus."""
    assert focused(page) == "#draft"
    page.keyboard.type(text)
    press(page, "Enter")


def walk(page: Page, *, first: str) -> list[str]:
    """The names of all controls in the order of Tab, once around; each must have a visible focus ring."""
    reach(page, first)
    stops: list[str] = []
    while (stop := focused(page)) != first or not stops:
        if stop:
            stops.append(stop)
            assert page.evaluate(FOCUS_IS_SEEN) == "", stop
        assert len(stops) < 60, stops
        press(page, "Tab")
    return stops


# The chat page


READING_ORDER = [
    "New conversation",
    "#search",
    "rich",
    "Actions for rich",
    "Import a conversation",
    "Dashboard",
    "Shortcuts",
    "#theme",
    "Menu",
    "#log",
    "Copy your message",
    "Edit your message",
    "a link",
    "Table",
    "Wrap",
    "Copy",
    "pre",
    "Copy response",
    "Regenerate response",
    "Speed",
    "#draft",
    "#model",
    "Settings",
    "Send",
    "Hide",
]


def test_tab_order_is_the_reading_order_with_visible_focus(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server, color_scheme="light")
    complete_turn(page, "rich")
    assert walk(page, first="New conversation") == READING_ORDER
    page.emulate_media(color_scheme="dark")
    assert walk(page, first="New conversation") == READING_ORDER


def test_tab_on_a_phone_skips_hidden_elements(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server, viewport=PHONE)
    complete_turn(page, "short")
    assert walk(page, first="Conversations") == [
        "Conversations",
        "Menu",
        "#log",
        "Copy your message",
        "Edit your message",
        "Copy response",
        "Regenerate response",
        "Speed",
        "#draft",
        "#model",
        "Settings",
        "Send",
    ]


def test_question_can_be_sent_stopped_and_retried_by_keyboard(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    write(page, "held")
    expect_text(page, "one two three")
    assert focused(page) == "#draft"
    reach(page, "Stop")
    assert page.evaluate(FOCUS_IS_SEEN) == ""
    press(page, "Enter")
    wait_until_ended(page, "stopped")
    assert focused(page) == "#draft"
    gate(server, "more")
    reach(page, "Regenerate response", key="Shift+Tab")
    press(page, "Enter")
    expect_text(page, "one two three four five")
    wait_until_ended(page)
    assert len(messages(page)) == 2


def test_escape_stops_from_wherever_the_focus_is(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    write(page, "held")
    expect_text(page, "one two three")
    reach(page, "#log", key="Shift+Tab")
    press(page, "Escape")
    wait_until_ended(page, "stopped")


def test_message_can_be_edited_by_keyboard(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "first")
    reach(page, "Edit your message", key="Shift+Tab")
    press(page, "Enter")
    field = page.get_by_label("Edit your message")
    expect(field).to_be_focused()
    assert page.evaluate(FOCUS_IS_SEEN) == ""
    press(page, "Tab")
    assert focused(page) == "Cancel"
    press(page, "Shift+Tab", "Control+a")
    page.keyboard.type("second")
    press(page, "Enter")
    expect(message(page, 0).locator(".text")).to_have_text("second")
    wait_until_ended(page)
    assert texts(page) == ["second", "Short."]


def test_variants_are_switched_by_keyboard_and_keep_the_focus(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM="text=echo,gap=1ms,tokens=1")
    page = open_page(server)
    complete_turn(page, "one two")
    set_sim(server, "text=echo,gap=1ms,tokens=2")
    reach(page, "Regenerate response", key="Shift+Tab")
    press(page, "Enter")
    expect_text(page, "one two")
    wait_until_ended(page)
    assert focused(page) == "#draft"
    reach(page, "Previous response", key="Shift+Tab")
    assert page.evaluate(FOCUS_IS_SEEN) == ""
    press(page, "Enter")
    expect_text(page, "one")
    assert focused(page) == "Previous response"
    press(page, "Enter")  # there is no earlier one
    expect_text(page, "one")
    press(page, "Tab")
    assert focused(page) == "Next response"
    assert page.evaluate(FOCUS_IS_SEEN) == ""
    press(page, "Space")
    expect_text(page, "one two")
    assert focused(page) == "Next response"


def test_settings_are_changed_by_keyboard(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "first")
    reach(page, "Settings")
    press(page, "Enter")
    assert focused(page) == "#option-system"
    stays_within(page, "#options-dialog")
    press(page, "Escape")
    expect(page.locator("#options-dialog")).to_be_hidden()
    assert focused(page) == "Settings"
    press(page, "Enter")
    reach(page, "#option-temperature")
    page.keyboard.type("9")
    reach(page, "Save")
    press(page, "Enter")
    assert focused(page) == "#option-temperature"
    expect(page.locator(":focus")).to_have_accessible_description(re.compile("A number from 0 to 2"))
    press(page, "Control+a")
    page.keyboard.type("0.5")
    press(page, "Enter")
    expect(page.locator("#options-dialog")).to_be_hidden()
    assert focused(page) == "Settings: temperature 0.5"
    press(page, "Enter")
    reach(page, "Clear all")
    press(page, "Enter")
    assert focused(page) == "#option-system"
    reach(page, "Save")
    press(page, "Enter")
    expect(page.locator("#settings")).to_have_text("Settings")
    assert focused(page) == "Settings"


def test_escape_in_the_menu_closes_it_and_does_not_stop_the_response(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "first")
    write(page, "held")
    expect_text(page, "one two three")
    reach(page, "Menu", key="Shift+Tab")
    press(page, "Enter")
    stops = []
    for _ in range(6):
        press(page, "Tab")
        stops.append(focused(page))
        assert page.evaluate(FOCUS_IS_SEEN) == ""
    assert stops == ["Rename", "Export as Markdown", "Export as JSON", "Print", "Delete", "API key"]
    press(page, "Escape")
    assert focused(page) == "Menu"
    expect(page.locator("#rename")).to_be_hidden()
    gate(server, "more")
    wait_until_ended(page)


def test_menu_closes_when_it_loses_the_focus(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "first")
    reach(page, "Menu", key="Shift+Tab")
    press(page, "Enter")
    expect(page.locator("#rename")).to_be_visible()
    reach(page, "#log")
    expect(page.locator("#rename")).to_be_hidden()


def chosen(page: Page, act: str) -> None:
    """Chooses an action of the menu."""
    reach(page, "Menu", key="Shift+Tab")
    press(page, "Enter")
    reach(page, act)
    press(page, "Enter")


def stays_within(page: Page, dialog: str) -> None:
    """Asserts that Tab does not leave the dialog."""
    places = []
    for _ in range(8):
        press(page, "Tab")
        places.append(page.evaluate("(dialog) => document.activeElement.closest(`${dialog}, body`).id", dialog))
        assert not focused(page) or page.evaluate(FOCUS_IS_SEEN) == ""
    assert set(places) <= {dialog.removeprefix("#"), ""}
    assert places.count("") <= 3  # past the browser's own controls


def test_tab_stays_within_the_dialogs_of_the_menu(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "first")
    for action, first, dialog in (("Rename", "#name", "#rename-dialog"), ("Delete", "Cancel", "#delete-dialog")):
        chosen(page, action)
        assert focused(page) == first
        stays_within(page, dialog)
        press(page, "Escape")
        assert focused(page) == "Menu"
    chosen(page, "Delete")
    press(page, "Tab", "Enter")
    expect(page.locator("#conversations li")).to_have_count(0)
    assert (texts(page), focused(page)) == ([], "#draft")


def test_dialog_reopened_at_once_still_works(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "first")
    page.evaluate("""() => {
      const press = (button) => document.querySelector(button).click();
      press('#rename');
      press('#rename-dialog button[type=button]');
      press('#rename');
    }""")
    page.locator("#name").fill("Named")
    press(page, "Enter")
    expect(page.locator("#title")).to_have_text("Named")


def test_drawer_keeps_the_focus_until_closed(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server, viewport=PHONE, reduced_motion="reduce")
    complete_turn(page, "first")
    reach(page, "Conversations")
    expect(page.locator("#sidebar-open")).to_have_attribute("aria-expanded", "false")
    press(page, "Enter")
    expect(page.locator("#sidebar-open")).to_have_attribute("aria-expanded", "true")
    assert focused(page) == "New conversation"
    assert set(walk(page, first="New conversation")) == {
        "New conversation",
        "#search",
        "first",
        "Actions for first",
        "Import a conversation",
        "Dashboard",
        "Shortcuts",
        "#theme",
        "Hide",
    }
    press(page, "Escape")
    assert focused(page) == "Conversations"
    press(page, "Enter")
    reach(page, "Hide", key="Shift+Tab")
    press(page, "Enter")
    assert focused(page) == "Conversations"
    press(page, "Enter")
    reach(page, "first")
    press(page, "Enter")
    assert focused(page) == "#draft"


def test_key_dialog_works_by_keyboard(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(API_KEY="right"))
    open_page.expect("status of 401")
    expect(page.locator("#key")).to_be_focused()
    stays_within(page, "#key-dialog")
    press(page, "Escape")
    expect(alert(page)).to_contain_text("needs an API key")
    expect(page.locator("#key-dialog")).to_be_hidden()
    reach(page, "Enter a key")
    press(page, "Enter")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type("wrong")
    press(page, "Enter")
    expect(page.locator("#key-why")).to_contain_text("did not accept")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type("right")
    press(page, "Enter")
    expect(page.locator("#key-dialog")).to_be_hidden()
    expect(page.locator("#empty")).to_be_visible()
    assert focused(page)


def test_wide_content_is_scrolled_by_arrow_keys(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server, viewport=PHONE)
    complete_turn(page, "rich")
    for name, selector in (("pre", "pre"), ("Table", ".table")):
        reach(page, name, key="Shift+Tab")
        press(page, "ArrowRight")
        page.wait_for_function("(box) => document.querySelector(box).scrollLeft > 0", arg=selector)


def test_messages_are_scrolled_by_keyboard_and_the_button_jumps_to_the_end(
    open_page: Pages, server: ServerProcess
) -> None:
    page = open_page(server)
    complete_turn(page, "long")
    reach(page, "#log", key="Shift+Tab")
    press(page, "Home")
    page.wait_for_function("() => document.querySelector('#log').scrollTop === 0")
    reach(page, "Jump to latest", key="Shift+Tab")
    assert page.evaluate(FOCUS_IS_SEEN) == ""
    press(page, "Enter")
    expect(page.locator("#to-end")).to_be_hidden()
    assert focused(page) == "#log"


# Announcements to screen readers


def test_page_has_landmarks_and_headings(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "rich")
    expect(page.locator("body")).to_match_aria_snapshot("""
        - navigation "Conversations":
          - button "New conversation"
          - searchbox "Search conversations"
          - status
          - paragraph: Today
          - list "Today":
            - listitem:
              - link /rich/
              - button "Actions for rich"
          - button "Import a conversation"
          - link "Dashboard"
          - button "Shortcuts"
          - text: Theme
          - combobox "Theme"
        - banner:
          - heading "rich" [level=1]
        - main:
          - log "Messages":
            - article:
              - heading "You" [level=2]
              - text: rich
              - button "Copy your message"
              - button "Edit your message"
            - article:
              - heading "sim" [level=2]
              - heading "A heading" [level=3]
              - paragraph:
                - link "a link"
              - group "Table":
                - table:
                  - rowgroup:
                    - row:
                      - columnheader "One"
              - 'figure "Code: python"'
              - button "Copy response"
              - button "Regenerate response"
        - contentinfo:
          - alert
          - textbox "Your message"
          - combobox "Model"
          - button "Settings"
          - status: Complete
          - button "Send"
    """)


HEAR = """() => {
  window.announced = [];
  const live = '#status, #notice-text';
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const region = (target.nodeType === 3 ? target.parentElement : target)?.closest(live);
      if (region && announced.at(-1) !== region.textContent) announced.push(region.textContent);
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
LIVE = "[role=log], [role=status], [role=alert], [aria-live], output, marquee, [role=timer]"


def test_state_of_a_response_is_announced_not_its_text(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    page.evaluate(HEAR)
    complete_turn(page, "long")
    assert page.evaluate("announced") == ["Generating…", "Complete"]
    ask(page, "held")
    expect_text(page, "one two three")
    press(page, "Escape")
    wait_until_ended(page, "stopped")
    assert page.evaluate("announced") == ["Generating…", "Complete", "Generating…", "Stopped"]
    regions = page.locator(LIVE).evaluate_all(
        "(all) => all.map((each) => [each.role ?? each.localName, each.ariaLive, each.checkVisibility()])"
    )
    assert regions == [["status", None, True], ["log", "off", True], ["alert", None, True], ["status", None, True]]


def test_error_is_announced_once(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)

    def refused(route: Route) -> None:
        route.fulfill(status=429, headers={"Retry-After": "2"}, body="{}", content_type="application/problem+json")

    page.route("**/chat", refused)
    open_page.expect("status of 429")
    page.evaluate(HEAR)
    ask(page, "anything")
    expect(page.get_by_role("alert")).to_have_text("Too many requests. Send again in 2 seconds.")
    expect(page.locator("#notice-left")).to_have_text("0:02")
    expect(page.locator("#notice-left")).to_have_attribute("aria-hidden", "true")
    expect(page.get_by_role("alert")).to_have_text("You can send again.")
    announced = [words for words in page.evaluate("announced") if words]
    assert announced == ["Generating…", "Too many requests. Send again in 2 seconds.", "You can send again."]


# The dashboard


def test_tab_order_of_the_dashboard_has_visible_focus(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(), "/board")
    expect(page.locator("#state")).to_have_text("Live")
    assert walk(page, first="Pause") == [
        "Pause",
        "Chat",
        "Metrics",
        "API",
        "2 min",
        "Log scale",
        "Tables",
        "#look-back",
        "#sim",
        "Fast",
        "Human-like",
        "Slow start",
        "Flaky",
        "Busy",
        "Reset",
        "Apply",
        "Grammar reference",
        "Responses",
    ]


def test_dashboard_works_by_keyboard(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(), "/board")
    expect(page.locator("#state")).to_have_text("Live")
    reach(page, "Log scale")
    press(page, "Space")
    expect(page.get_by_role("button", name="Log scale", pressed=True)).to_be_focused()
    press(page, "Tab", "Space")
    expect(page.get_by_role("table", name="Ticker lateness")).to_be_visible()
    press(page, "Space", "Tab", "ArrowLeft", "ArrowLeft")
    expect(page.get_by_role("slider", name="Look back")).to_have_value("-2")
    read = re.compile("^2 s ago; Time to first token: ")
    expect(page.locator("#look-back")).to_have_attribute("aria-valuetext", read)
    reach(page, "Human-like")
    press(page, "Enter")
    expect(page.get_by_label("Default grammar")).to_be_focused()
    press(page, "Enter")
    expect(page.locator("#sim-status")).to_have_text("Applied to new streams.")
    reach(page, "Grammar reference")
    press(page, "Enter")
    expect(page.get_by_role("table", name="Keys of the grammar")).to_be_visible()
    reach(page, "Pause", key="Shift+Tab")
    press(page, "Enter")
    expect(page.get_by_role("status").first).to_have_text("Paused")
    expect(page.locator(":focus")).to_have_text("Resume")
