"""Changes of the shown conversation by other tabs, other browsers and the server."""

import re

from playwright.sync_api import Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import (
    alert,
    ask,
    call,
    complete_turn,
    contents,
    draft,
    expect_text,
    gate,
    last_response,
    press,
    status,
    texts,
    wait_until_ended,
    wait_until_idle,
    wait_until_loaded,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

ECHO = "text=echo,gap=1ms"
HELD = "text=echo,gap=1ms,gate=hold@2"
FORGOTTEN = "The server no longer has the messages above"


def another(open_page: Pages, server: ServerProcess) -> Page:
    """The same conversation in another browser."""
    return wait_until_loaded(open_page(server))


LOOKS = {
    "focus": "() => { dispatchEvent(new Event('focus')); }",
    "online": "() => { dispatchEvent(new Event('online')); }",
    "pageshow": "() => { dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })); }",
    "visibilitychange": "() => { document.dispatchEvent(new Event('visibilitychange')); }",
}
"""What the browser dispatches when a page is shown again."""


def look_again(page: Page, event: str = "focus") -> None:
    page.evaluate(LOOKS[event])


def test_regenerate_in_a_stale_page_deletes_nothing_and_shows_the_new_turns(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    second = another(open_page, server)
    complete_turn(second, "second")
    open_page.expect("409")
    press(page, "Regenerate")
    expect(alert(page)).to_contain_text("changed elsewhere")
    expect(last_response(page).locator(".text")).to_have_text("second")
    assert texts(page) == contents(server) == ["first", "first", "second", "second"]
    expect(draft(page)).to_have_value("")  # the question is still in the conversation
    press(page, "Regenerate")
    wait_until_ended(page)
    assert contents(server) == ["first", "first", "second", "second"]


def test_question_in_a_stale_page_becomes_the_draft_and_new_turns_are_shown(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    complete_turn(another(open_page, server), "second")
    open_page.expect("409")
    ask(page, "third")
    expect(alert(page)).to_contain_text("changed elsewhere")
    expect(draft(page)).to_have_value("third")
    wait_until_idle(page)
    expect(last_response(page).locator(".text")).to_have_text("second")
    draft(page).press("Enter")
    expect(last_response(page).locator(".text")).to_have_text("third")
    wait_until_ended(page)
    assert contents(server)[-2:] == ["third", "third"]


def test_page_shown_again_has_the_turns_of_another_page(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    other = another(open_page, server)
    for event in LOOKS:
        complete_turn(other, f"before {event}")
        look_again(page, event)
        expect(last_response(page).locator(".text")).to_have_text(f"before {event}")
        expect(status(page)).to_contain_text("changed elsewhere")


def test_conversation_that_the_server_lost_stays_and_is_marked(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    assert call(server, "/history?conversation=default", method="DELETE")[0] == 204
    look_again(page)
    expect(page.locator(".forgotten")).to_contain_text(FORGOTTEN)
    expect(status(page)).to_have_text("The server no longer has this conversation.")
    assert texts(page)[:2] == ["first", "first"]
    expect(last_response(page).get_by_role("button", name="Regenerate")).to_be_hidden()
    ask(page, "second")
    expect(last_response(page).locator(".text")).to_have_text("second")
    wait_until_ended(page)
    assert contents(server) == ["second", "second"]


def test_question_in_a_conversation_that_the_server_lost_is_not_sent(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    assert call(server, "/history?conversation=default", method="DELETE")[0] == 204
    open_page.expect("409")
    ask(page, "second")
    expect(page.locator(".forgotten")).to_contain_text(FORGOTTEN)
    expect(draft(page)).to_have_value("second")
    assert contents(server) == []


# Other tabs of the same browser


def tab(page: Page) -> Page:
    """The same conversation in another tab."""
    second = page.context.new_page()
    second.goto(page.url)
    return wait_until_loaded(second)


def test_response_is_streamed_in_other_tabs(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    before = tab(page)
    ask(page, "one two three")
    for each in (page, before, after := tab(page)):
        expect_text(each, "one two")
        expect(each.locator("#stop")).to_be_visible()
    gate(server, "hold")
    for each in (page, before, after):
        wait_until_ended(each)
        assert texts(each) == contents(server) == ["one two three"] * 2
        expect(draft(each)).to_have_value("")
    gate(server, "hold", open=False)
    press(page, "Regenerate")
    expect_text(before, "one two")
    before.keyboard.press("Escape")
    for each in (before, page):
        wait_until_idle(each)
        assert texts(each) == ["one two three", "one two"]
    expect(alert(page)).to_contain_text("stopped elsewhere")


def test_tab_with_another_key_does_not_show_the_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD, API_KEY="one,two")
    open_page.expect("status of 401")
    open_page.allow("status of 404")
    page = open_page(server)
    other = page.context.new_page()
    other.goto(page.url)
    for each, key in ((page, "one"), (other, "two")):
        each.get_by_label("Key", exact=True).fill(key)
        each.get_by_role("button", name="Use this key").click()
        expect(each.locator("#empty")).to_be_visible()
    with other.expect_response("**/chat/turns/*"):
        ask(page, "one two three")
    expect_text(page, "one two")
    wait_until_idle(other)
    assert texts(other) == []
    expect(alert(other)).to_be_empty()
    expect(draft(other)).to_have_value("")
    gate(server, "hold", key="one")
    wait_until_ended(page)


# URLs


def test_page_without_a_conversation_opens_a_new_one_with_its_own_url(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server, "/web/")
    expect(page).to_have_url(re.compile(r"/web\?conversation=chat-[0-9a-f]{16}$"))
    page.reload()
    expect(page.locator("#empty")).to_have_text("Ask anything to start.")
    complete_turn(page, "first")
    address = page.url
    page.reload()
    wait_until_ended(page)
    assert (page.url, texts(page)) == (address, ["first", "first"])
    page.goto(f"http://127.0.0.1:{server.port}/web")
    expect(page).not_to_have_url(address)
    assert contents(server) == []


def test_key_dialog_is_shown_for_a_new_conversation(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    page = open_page(serve(SIM=ECHO, API_KEY="secret"), "/web")
    page.get_by_label("Key", exact=True).fill("secret")
    page.get_by_role("button", name="Use this key").click()
    complete_turn(page, "first")
