"""What other pages and the server do to a conversation while it is shown."""

import re

from playwright.sync_api import Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import (
    alert,
    answer,
    ask,
    asked_and_answered,
    call,
    contents,
    draft,
    ended,
    idle,
    loaded,
    press,
    status,
    texts,
)
from tests.end_to_end.conftest import Serve

ECHO = "text=echo,gap=1ms"
FORGOTTEN = "The server no longer has the messages above"


def another(page: Page) -> Page:
    """A second page on the same conversation."""
    second = page.context.new_page()
    second.goto(page.url)
    return loaded(second)


def look_again(page: Page) -> None:
    page.evaluate("() => { dispatchEvent(new Event('focus')); }")


def test_regenerate_in_a_stale_page_deletes_nothing_and_shows_what_came(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "first")
    second = another(page)
    asked_and_answered(second, "second")
    open_page.expect("409")
    press(page, "Regenerate")
    expect(alert(page)).to_contain_text("changed elsewhere")
    expect(answer(page).locator(".text")).to_have_text("second")
    assert texts(page) == contents(server) == ["first", "first", "second", "second"]
    press(page, "Regenerate")
    ended(page)
    assert contents(server) == ["first", "first", "second", "second"]


def test_a_question_in_a_stale_page_is_given_back_with_what_came(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "first")
    asked_and_answered(another(page), "second")
    open_page.expect("409")
    ask(page, "third")
    expect(alert(page)).to_contain_text("changed elsewhere")
    expect(draft(page)).to_have_value("third")
    idle(page)
    expect(answer(page).locator(".text")).to_have_text("second")
    draft(page).press("Enter")
    expect(answer(page).locator(".text")).to_have_text("third")
    ended(page)
    assert contents(server)[-2:] == ["third", "third"]


def test_a_page_that_is_looked_at_again_shows_what_another_asked(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    asked_and_answered(page, "first")
    asked_and_answered(another(page), "second")
    look_again(page)
    expect(answer(page).locator(".text")).to_have_text("second")
    expect(status(page)).to_contain_text("changed elsewhere")


def test_a_conversation_that_the_server_lost_stays_and_is_marked(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "first")
    assert call(server, "/history?conversation=default", method="DELETE")[0] == 204
    look_again(page)
    expect(page.locator(".forgotten")).to_contain_text(FORGOTTEN)
    assert texts(page)[:2] == ["first", "first"]
    expect(answer(page).get_by_role("button", name="Regenerate")).to_be_hidden()
    ask(page, "second")
    expect(answer(page).locator(".text")).to_have_text("second")
    ended(page)
    assert contents(server) == ["second", "second"]


def test_a_question_to_a_conversation_that_the_server_lost_is_not_sent_as_if_it_knew(
    open_page: Pages, serve: Serve
) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "first")
    assert call(server, "/history?conversation=default", method="DELETE")[0] == 204
    open_page.expect("409")
    ask(page, "second")
    expect(page.locator(".forgotten")).to_contain_text(FORGOTTEN)
    expect(draft(page)).to_have_value("second")
    assert contents(server) == []


# Addresses


def test_the_page_begins_a_conversation_with_an_address_of_its_own(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server, "/web/")
    expect(page).to_have_url(re.compile(r"/web\?conversation=chat-[0-9a-f]{16}$"))
    page.reload()
    expect(page.locator("#empty")).to_have_text("Nothing said yet. Ask something below.")
    asked_and_answered(page, "first")
    address = page.url
    page.reload()
    ended(page)
    assert (page.url, texts(page)) == (address, ["first", "first"])
    page.goto(f"http://127.0.0.1:{server.port}/web")
    expect(page).not_to_have_url(address)
    assert contents(server) == []


def test_a_key_is_asked_for_where_a_conversation_begins(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    page = open_page(serve(SIM=ECHO, API_KEY="secret"), "/web")
    page.get_by_label("Key", exact=True).fill("secret")
    page.get_by_role("button", name="Use this key").click()
    asked_and_answered(page, "first")


def test_a_link_to_a_conversation_that_is_not_there_says_so(open_page: Pages, serve: Serve) -> None:
    open_page.expect("404")
    page = open_page(serve(SIM=ECHO), "/web?conversation=never-begun")
    expect(page.locator("#empty")).to_contain_text("The server does not have this conversation")
    asked_and_answered(page, "first")
    assert texts(page) == ["first", "first"]
