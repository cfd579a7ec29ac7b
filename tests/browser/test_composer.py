"""The composer: its size, sending with Enter, the stored draft, and the focus."""

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import (
    Withheld,
    alert,
    ask,
    complete_turn,
    contents,
    draft,
    expect_text,
    gate,
    messages,
    posted_bodies,
    press,
    set_sim,
    status,
    texts,
    wait_until_ended,
    wait_until_idle,
    write,
)
from tests.end_to_end.conftest import Serve

ECHO = "text=echo,gap=1ms"
HELD = f"{ECHO},gate=hold@2"
ENTER = 13
PROCESS = 229
"""`keyCode` of keydown events that an input method handles."""


def lines(count: int) -> str:
    return "\n".join(f"line {number}" for number in range(count))


def height(page: Page) -> float:
    page.evaluate("new Promise(requestAnimationFrame)")  # the page sets the height in the frame after the change
    box = draft(page).bounding_box()
    assert box is not None
    return box["height"]


def focused(page: Page) -> str:
    """The id of the focused element, else its tag name; `body` if nothing has the focus."""
    return str(page.evaluate("document.activeElement.id || document.activeElement.localName"))


# Size


def in_one_row(page: Page, *controls: str) -> None:
    """Asserts that these controls are side by side, in this order."""
    boxes = [page.locator(each).bounding_box() for each in controls]
    middles = [box["y"] + box["height"] / 2 for box in boxes if box]
    ends = [edge for box in boxes if box for edge in (box["x"], box["x"] + box["width"])]
    assert len(middles) == len(controls)
    assert max(middles) - min(middles) < 1
    assert ends == sorted(ends)


def test_stop_and_send_are_in_one_row_with_the_other_controls(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server, viewport=(390, 640))
    page.locator("#settings").click()
    page.locator("#option-temperature").fill("0.7")
    page.get_by_role("button", name="Save").click()
    ask(page, "one two three")
    expect_text(page, "one two")
    for controls in [("#model", "#stop", "#send"), ("#model", "#settings", "#stop", "#send")]:
        for width in (390, 360, 320, 1280):
            page.set_viewport_size({"width": width, "height": 640})
            page.wait_for_function("(width) => innerWidth === width", arg=width)
            in_one_row(page, *controls)
        page.locator("#settings").click()  # changed settings have a row of their own
        page.get_by_role("button", name="Clear all").click()
        page.get_by_role("button", name="Save").click()
    gate(server, "hold")
    wait_until_ended(page)


@pytest.mark.parametrize("by", ["the browser", "the page"])
def test_text_area_grows_to_its_maximum_and_shrinks(open_page: Pages, serve: Serve, by: str) -> None:
    page = open_page(serve(SIM=ECHO), bypass_csp=True)
    if by == "the page":  # for a browser without field-sizing
        page.add_init_script("CSS.supports = () => false")
        page.reload()
        page.add_style_tag(content="#draft { field-sizing: fixed !important; }")
    one = height(page)
    draft(page).fill(lines(3))
    three = height(page)
    assert one < three
    write(page, lines(100))
    most = height(page)
    assert three < most < 800 * 0.6
    write(page, lines(200))
    assert height(page) == most
    write(page, "word " * 2000)
    assert height(page) == most
    assert draft(page).evaluate("area => area.scrollHeight > area.clientHeight")
    assert page.locator("#log").bounding_box()["height"] >= 100  # type: ignore[index]
    draft(page).fill("one line")
    assert height(page) == one
    assert layouts_of_many_changes(page) < 20
    assert height(page) == most
    draft(page).fill(lines(3))
    draft(page).press("Enter")
    expect(draft(page)).to_have_value("")
    assert height(page) == one
    wait_until_ended(page)


_CHANGE_OFTEN = """(area) => {
  area.value = '';
  for (let line = 0; line < 200; line += 1) {
    area.value += `line ${line}\\n`;
    area.dispatchEvent(new Event('input', { bubbles: true }));
  }
}"""


def layouts_of_many_changes(page: Page) -> float:
    """The number of layouts for 200 changes of the draft within one frame."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")

    def layouts() -> float:
        found = cdp.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in found if each["name"] == "LayoutCount"))

    before = layouts()
    draft(page).evaluate(_CHANGE_OFTEN)
    height(page)
    return layouts() - before


# Enter


def test_enter_sends_and_shift_enter_breaks_the_line(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    posted = posted_bodies(page)
    expect(draft(page)).to_be_focused()
    page.keyboard.type("first")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second")
    expect(draft(page)).to_have_value("first\nsecond")
    assert posted == []
    page.keyboard.press("Enter")
    expect(draft(page)).to_have_value("")
    wait_until_ended(page)
    assert contents(server) == ["first\nsecond"] * 2


def test_send_button_sends(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    draft(page).fill("  spaces stay ")
    page.get_by_role("button", name="Send").click()
    expect(draft(page)).to_have_value("")
    wait_until_ended(page)
    assert contents(server)[0] == "  spaces stay "


def test_blank_message_is_not_sent(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    posted = posted_bodies(page)
    for blank in ["", "   ", "\n \t\n", "\u3000"]:
        ask(page, blank)
        page.get_by_role("button", name="Send").click()
        expect(draft(page)).to_be_focused()
        expect(draft(page)).to_have_value(blank)
        wait_until_idle(page)
    assert (posted, messages(page)) == ([], [])


COMPOSITION = {"text": "にほん", "selectionStart": 3, "selectionEnd": 3}


def press_key(keyboard: CDPSession, name: str, code: int) -> None:
    """Presses a key with the key code of the browser under test, which differs during a composition."""
    key = {"key": name, "code": name, "windowsVirtualKeyCode": code}
    for kind in ("rawKeyDown", "keyUp"):
        keyboard.send("Input.dispatchKeyEvent", {"type": kind, **key})


@pytest.mark.parametrize(
    ("composing", "code"),
    [(True, PROCESS), (True, ENTER), (False, PROCESS)],
    ids=["Chromium", "Firefox", "Safari, where composing has ended by then"],
)
def test_enter_of_an_input_method_does_not_send(open_page: Pages, serve: Serve, composing: bool, code: int) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    posted = posted_bodies(page)
    keyboard = page.context.new_cdp_session(page)
    if composing:
        keyboard.send("Input.imeSetComposition", COMPOSITION)
    else:
        keyboard.send("Input.insertText", {"text": "にほん"})
    expect(draft(page)).to_have_value("にほん")
    press_key(keyboard, "Enter", code)
    wait_until_idle(page)
    expect(draft(page)).to_have_value("にほん")
    assert posted == []
    if composing:
        keyboard.send("Input.insertText", {"text": "日本"})  # the chosen text of the input method
        expect(draft(page)).to_have_value("日本")
    page.keyboard.press("Enter")
    expect(draft(page)).to_have_value("")
    wait_until_ended(page)
    assert contents(server)[0] == ("日本" if composing else "にほん")


def test_escape_of_an_input_method_does_not_stop_the_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    stopping = posted_bodies(page, "/stop")
    ask(page, "one two three")
    expect_text(page, "one two")
    keyboard = page.context.new_cdp_session(page)
    keyboard.send("Input.imeSetComposition", COMPOSITION)
    press_key(keyboard, "Escape", PROCESS)
    gate(server, "hold")
    wait_until_ended(page)
    assert (stopping, texts(page)[-1]) == ([], "one two three")


def test_escape_of_an_input_method_does_not_close_an_edit(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    complete_turn(page, "one")
    press(page, "Edit", of=0)
    area = page.get_by_label("Edit your message")
    expect(area).to_be_focused()
    keyboard = page.context.new_cdp_session(page)
    keyboard.send("Input.imeSetComposition", COMPOSITION)
    press_key(keyboard, "Escape", PROCESS)
    expect(area).to_have_value("oneにほん")
    keyboard.send("Input.insertText", {"text": "日本"})
    page.keyboard.press("Escape")
    expect(area).to_have_count(0)


def test_enter_that_is_held_down_sends_once(open_page: Pages, serve: Serve) -> None:
    """Also if sending fails meanwhile, which puts the text back into the draft."""
    open_page.expect("status of 503")
    page = open_page(serve(SIM=f"{ECHO},status=503"))
    posted = posted_bodies(page)
    draft(page).fill("once")
    page.keyboard.down("Enter")
    expect(alert(page)).not_to_be_empty()
    for _ in range(3):
        page.keyboard.down("Enter")
        wait_until_idle(page)
    page.keyboard.up("Enter")
    expect(draft(page)).to_have_value("once")
    assert len(posted) == 1


# The draft


def test_draft_and_its_size_survive_a_reload_until_sent_or_deleted(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    complete_turn(page, "sent")
    page.reload()
    wait_until_ended(page)
    expect(draft(page)).to_have_value("")
    draft(page).fill(lines(4))
    four = height(page)
    page.reload()
    expect(draft(page)).to_have_value(lines(4))
    assert height(page) == four
    draft(page).press("ControlOrMeta+A")
    draft(page).press("Delete")
    page.reload()
    wait_until_ended(page)
    expect(draft(page)).to_have_value("")


def test_text_typed_before_the_page_is_ready_stays(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server, "/health")
    scripts = Withheld(page, "**/web/app.js")
    page.goto(f"http://127.0.0.1:{server.port}/web", wait_until="commit")
    scripts.wait()
    draft(page).fill("early")
    scripts.release()
    expect(page.locator("#empty")).to_be_visible()
    expect(draft(page)).to_have_value("early")
    page.reload()
    expect(draft(page)).to_have_value("early")


def test_each_conversation_has_its_own_draft(open_page: Pages, serve: Serve) -> None:
    open_page.allow("status of 404")  # of a conversation without messages
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "here")
    draft(page).fill("for here")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#empty")).to_be_visible()
    expect(draft(page)).to_have_value("")
    draft(page).fill("for there")
    page.go_back()
    expect(draft(page)).to_have_value("for here")
    page.go_forward()
    expect(draft(page)).to_have_value("for there")
    page.reload()
    expect(draft(page)).to_have_value("for there")
    page.locator("#conversations a").first.click()
    expect(draft(page)).to_have_value("for here")


def test_draft_is_not_shared_with_other_tabs(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    draft(page).fill("half written")
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    beside = page.context.new_page()
    beside.goto(page.url)
    expect(beside.locator("#empty")).to_be_visible()
    expect(draft(beside)).to_have_value("")


def test_failed_message_is_put_before_the_draft(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 503")
    server = serve(SIM=f"{ECHO},status=503")
    page = open_page(server)
    withheld = Withheld(page, "**/chat")
    ask(page, "failed")
    withheld.wait()
    page.keyboard.type("typed since")
    withheld.release()
    expect(draft(page)).to_have_value("failed\ntyped since")
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    expect_text(page, "failed")
    wait_until_ended(page)
    expect(draft(page)).to_have_value("typed since")


# Focus


def test_text_area_keeps_the_focus_during_and_after_a_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    ask(page, "one two three")
    expect_text(page, "one two")
    expect(draft(page)).to_be_focused()
    gate(server, "hold")
    wait_until_ended(page)
    expect(draft(page)).to_be_focused()
    gate(server, "hold", open=False)
    ask(page, "one two three")
    expect_text(page, "one two")
    page.keyboard.press("Escape")
    wait_until_ended(page, "stopped")
    expect(draft(page)).to_be_focused()


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "answered meanwhile"])
def test_focus_is_kept_after_stop(open_page: Pages, serve: Serve, stopped: bool) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    ask(page, "one two three")
    expect_text(page, "one two")
    page.locator("#settings").focus()
    page.keyboard.press("Tab")
    expect(page.locator("#stop")).to_be_focused()
    if stopped:
        page.keyboard.press("Enter")
    else:
        gate(server, "hold")
    wait_until_idle(page)
    expect(draft(page)).to_be_focused()
    expect(status(page)).to_have_text("Stopped" if stopped else "Complete")


def test_focus_is_kept_after_try_again(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 503")
    server = serve(SIM=f"{ECHO},status=503")
    page = open_page(server)
    ask(page, "one two three")
    expect(alert(page)).not_to_be_empty()
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").press("Enter")
    expect(page.locator(":focus")).to_be_visible()
    wait_until_ended(page)
    expect(page.locator(":focus")).to_be_visible()
    assert focused(page) != "body"


def test_focus_is_kept_after_an_edit(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    complete_turn(page, "one two three")
    press(page, "Edit", of=0)
    page.keyboard.type(", four")
    page.keyboard.press("Enter")
    expect(page.locator(":focus")).to_be_visible()
    expect_text(page, "one two three, four")
    wait_until_ended(page)
    expect(page.locator("#messages > .message")).to_have_count(2)
    expect(page.locator(":focus")).to_be_visible()
    assert focused(page) != "body"
