"""The page marks the messages that the model does not get, as the server selects them."""

import json
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import (
    call,
    complete_turn,
    history,
    last_response,
    message,
    press,
    serve_relay,
    texts,
    wait_until_ended,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

ECHO = "text=echo,gap=0ms"
MARKED = "() => [...document.querySelectorAll('[data-outside] > .text')].map((text) => text.innerText.trim())"
DELETES = "The server keeps the newest {} messages of a conversation and deletes older ones."
AFTER_MARK = """(mark) => [...document.querySelectorAll('.message')]
  .find((message) => mark.compareDocumentPosition(message) & Node.DOCUMENT_POSITION_FOLLOWING)
  .querySelector('.text').innerText.trim()"""


def mark(page: Page) -> Locator:
    return page.locator(".outside")


def deleted_mark(page: Page) -> Locator:
    return page.locator(".deleted")


def marked(page: Page) -> list[str]:
    """The texts of the marked messages."""
    found: list[str] = page.evaluate(MARKED)
    return found


def requested(model: ServerProcess) -> list[str]:
    """The texts of the messages in the last request that the model received."""
    found: list[dict[str, Any]] = call(model, "/sim/requests")[1]["requests"]
    last = [each for each in found if each["path"].endswith("/chat/completions")][-1]
    return [each["content"] for each in json.loads(last["body"])["messages"]]


def asked(page: Page, text: str) -> None:
    """Sends a question, and waits for its response and for what the server says about the context after it."""
    with page.expect_response("**/chat/context") as received:
        complete_turn(page, text)
    received.value.finished()


@pytest.mark.parametrize("limit", [{"CONTEXT_MESSAGES": "4"}, {"CONTEXT_TOKENS": "27"}], ids=["messages", "tokens"])
def test_messages_that_the_model_no_longer_gets_are_marked(
    open_page: Pages, serve: Serve, limit: dict[str, str]
) -> None:
    model = serve(SIM=ECHO)
    call(model, "/sim", method="PATCH", body={"journal": True})
    page = open_page(serve_relay(serve, model, **limit))
    for text in ("one", "two"):
        asked(page, text)
        assert marked(page) == []
    asked(page, "three")
    expect(mark(page)).to_contain_text("The model no longer gets the messages above.")
    assert marked(page) == ["one", "one"]
    assert mark(page).evaluate(AFTER_MARK) == "two"
    page.reload()
    expect(mark(page)).to_be_visible()
    assert marked(page) == ["one", "one"]
    asked(page, "four")
    assert requested(model) == ["two", "two", "three", "three", "four"]
    expect(message(page, 2)).to_have_attribute("data-outside", "")
    assert marked(page) == ["one", "one", "two", "two"]


def test_messages_that_the_server_no_longer_stores_are_marked(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO, HISTORY_LIMIT="2")
    page = open_page(server)
    asked(page, "one")
    asked(page, "two")
    expect(mark(page)).to_have_text(
        "The model no longer gets the messages above. It gets at most the newest 20 messages."
    )
    assert marked(page) == ["one", "one"]
    assert [each["content"] for each in history(server)] == ["two", "two"]
    expect(deleted_mark(page)).to_have_text(DELETES.format(2))
    page.reload()
    expect(deleted_mark(page)).to_be_visible()
    assert deleted_mark(page).evaluate(AFTER_MARK) == "two"
    assert texts(page) == ["two", "two"]
    press(page, "Regenerate")
    wait_until_ended(page)
    expect(deleted_mark(page)).to_be_visible()


def test_conversation_below_the_stored_messages_has_no_mark(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO, HISTORY_LIMIT="5"))  # two turns
    asked(page, "one")
    expect(deleted_mark(page)).to_have_count(0)
    asked(page, "two")
    expect(deleted_mark(page)).to_have_text(DELETES.format(4))
    assert deleted_mark(page).evaluate(AFTER_MARK) == "one"
    asked(page, "three")
    expect(deleted_mark(page)).to_be_visible()
    assert deleted_mark(page).evaluate(AFTER_MARK) == "two"
    expect(mark(page)).to_be_visible()


def test_system_prompt_that_leaves_no_room_marks_all_messages(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO, CONTEXT_TOKENS="30"))
    asked(page, "one")
    assert marked(page) == []
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("Be brief. " * 10)
    page.get_by_role("button", name="Save").click()
    expect(mark(page)).to_contain_text("at most the newest 20 messages, up to about 30 tokens")
    assert marked(page) == ["one", "one"]
    press(page, "Regenerate")
    wait_until_ended(page)
    expect(last_response(page)).to_have_attribute("data-outside", "")
    press(page, "Previous response")
    expect(last_response(page)).to_have_attribute("data-outside", "")
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Clear all").click()
    page.get_by_role("button", name="Save").click()
    expect(mark(page)).to_have_count(0)
    assert marked(page) == []


def test_failed_request_for_the_context_marks_and_reports_nothing(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO, CONTEXT_MESSAGES="2")
    page = open_page(server)
    page.route("**/chat/context", lambda route: route.abort())
    open_page.expect("ERR_FAILED")
    for text in ("one", "two"):
        with page.expect_event("requestfailed", lambda request: request.url.endswith("/chat/context")):
            complete_turn(page, text)
    assert marked(page) == []
    assert page.locator("#notice.shown").count() == 0
