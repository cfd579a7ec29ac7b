"""Turns of the chat page: asked, stopped, asked again or differently, copied, tried once more."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import (
    Withheld,
    alert,
    answer,
    ask,
    asked_and_answered,
    asked_of,
    begun,
    call,
    contents,
    draft,
    ended,
    gate,
    history,
    idle,
    message,
    messages,
    press,
    says,
    set_sim,
    status,
    streams,
    texts,
)
from tests.end_to_end.conftest import Serve

ECHO = "text=echo,gap=1ms"
COUNTING = "one two three four"
HELD = f"{ECHO},gate=hold@2"
STOPPED = "Stopped"
WAYS_TO_STOP = ("button", "Esc")


def stop(page: Page, by: str) -> None:
    if by == "button":
        page.locator("#stop").click()
    else:
        page.keyboard.press("Escape")


@contextmanager
def ended_by_the_server(page: Page) -> Iterator[None]:
    """The block makes the page tell the server to end a turn, and is over once it has."""
    with page.expect_response("**/chat/turns/*/stop") as stopped:
        yield
    assert stopped.value.status == 204


# The answer as it comes


def test_response_is_drawn_token_by_token(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=f"{ECHO},gate=hold@0")
    page = open_page(server)
    ask(page, COUNTING)
    expect(answer(page)).to_have_attribute("data-state", "waiting")
    expect(status(page)).to_have_text("Generating…")
    expect(draft(page)).to_have_value("")
    for told in ["one", "one two", "one two three"]:
        gate(server, "hold", tokens=1)
        says(page, told)
        expect(answer(page)).to_have_attribute("data-state", "streaming")
    gate(server, "hold")
    ended(page)
    expect(status(page)).to_have_text("Complete")
    expect(answer(page).get_by_role("button", name="Regenerate")).to_be_visible()
    expect(answer(page).get_by_role("button", name="Continue")).to_be_hidden()
    assert messages(page) == [("user", "", COUNTING), ("assistant", "complete", COUNTING)]
    assert contents(server) == [COUNTING, COUNTING]


def test_only_one_turn_is_played_at_a_time(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    asked_and_answered(page, "first")
    asked = asked_of(page)
    ask(page, COUNTING)
    says(page, "one two")
    expect(page.locator("#send")).to_have_attribute("aria-disabled", "true")
    ask(page, "next")
    page.locator("#send").click(force=True)
    for name in ["Edit", "Regenerate"]:
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.locator("[data-action=again]").last.dispatch_event("click")
    expect(draft(page)).to_have_value("next")
    gate(server, "hold")
    ended(page)
    assert [each["messages"][0]["content"] for each in asked] == [COUNTING]
    draft(page).press("Enter")
    says(page, "next")
    ended(page)
    assert contents(server)[::2] == ["first", COUNTING, "next"]


def test_question_before_the_history_is_loaded_is_shown_after_it(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "before")
    loading = Withheld(page, "**/history?*")
    page.reload()
    loading.wait()
    asked = asked_of(page)
    ask(page, COUNTING)
    expect(status(page)).to_have_text("Generating…")
    assert asked == []
    loading.release()
    says(page, COUNTING)
    ended(page)
    assert texts(page) == contents(server) == ["before", "before", COUNTING, COUNTING]


# Stop


def test_stop_is_shown_only_during_a_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    stopping = asked_of(page, "/stop")
    button = page.get_by_role("button", name="Stop", exact=True)
    expect(button).to_have_count(0)
    ask(page, COUNTING)
    expect(button).to_be_visible()
    says(page, "one two")
    expect(button).to_be_visible()
    gate(server, "hold")
    ended(page)
    expect(button).to_have_count(0)
    draft(page).fill("kept")
    page.keyboard.press("Escape")
    page.locator("#log").press("Escape")
    expect(draft(page)).to_have_value("kept")
    assert (status(page).text_content(), stopping) == ("Complete", [])


@pytest.mark.parametrize("by", WAYS_TO_STOP)
def test_stop_keeps_the_text_and_marks_it_as_stopped(open_page: Pages, serve: Serve, by: str) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    ask(page, COUNTING)
    says(page, "one two")
    turn = begun(page)
    with ended_by_the_server(page):
        stop(page, by)
        ended(page, "stopped")
        expect(status(page)).to_have_text("Stopped")
    assert messages(page) == [("user", "", COUNTING), ("assistant", "stopped", "one two")]
    expect(answer(page).locator(".note")).to_contain_text(STOPPED)
    expect(draft(page)).to_have_value("")
    assert [(each["content"], each.get("status")) for each in history(server)] == [
        (COUNTING, None),
        ("one two", "interrupted"),
    ]
    assert streams(server) == 0
    told = call(server, f"/chat/turns/{turn}")[1]
    assert 'event: error\ndata: {"error":{"code":"stopped"' in told
    page.reload()
    ended(page, "stopped")
    assert texts(page) == [COUNTING, "one two"]
    expect(answer(page).locator(".note")).to_contain_text(STOPPED)


# An answer that was cut at the limit


def test_response_cut_at_the_limit_is_marked_and_can_be_continued(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO, MAX_TOKENS="2")
    page = open_page(server)
    asked_and_answered(page, COUNTING)
    expect(status(page)).to_have_text("Stopped at the limit")
    expect(answer(page).locator(".note")).to_contain_text("Stopped at the limit of 2 tokens")
    page.reload()
    ended(page)
    expect(answer(page).locator(".note")).to_contain_text("Stopped at the limit of 2 tokens")
    press(page, "Continue")
    says(page, "one twoContinue exactly")
    ended(page)
    assert texts(page) == contents(server) == [COUNTING, "one twoContinue exactly"]
    page.reload()
    ended(page)
    assert texts(page) == contents(server)


def test_stop_before_the_first_token_gives_the_question_back(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=f"{ECHO},gate=hold@0")
    page = open_page(server)
    draft(page).fill(COUNTING)
    for by in WAYS_TO_STOP:
        draft(page).press("Enter")
        begun(page)
        with ended_by_the_server(page):
            stop(page, by)
            idle(page)
        expect(draft(page)).to_have_value(COUNTING)
        expect(status(page)).to_have_text("Stopped")
        expect(page.locator("#empty")).to_be_visible()
        assert (messages(page), history(server), streams(server)) == ([], [], 0), by


def test_stop_before_the_server_knows_of_the_question(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=f"{ECHO},gate=hold@0")
    page = open_page(server)
    draft(page).fill(COUNTING)
    for by in WAYS_TO_STOP:
        withheld = Withheld(page, "**/chat")
        draft(page).press("Enter")
        withheld.wait()
        stop(page, by)
        idle(page)
        expect(draft(page)).to_have_value(COUNTING)
        expect(status(page)).to_have_text("Stopped")
        with ended_by_the_server(page):
            withheld.release()
        assert (messages(page), history(server), streams(server)) == ([], [], 0), by
        page.unroute("**/chat")


def test_response_stopped_before_its_head_stays_stopped_after_a_reload(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=f"{ECHO},gate=hold@0")
    page = open_page(server)
    withheld = Withheld(page, "**/chat")
    ask(page, COUNTING)
    withheld.wait()
    stop(page, "Esc")
    with ended_by_the_server(page):
        withheld.release()
    with page.expect_response("**/conversations?*"):
        page.reload()
    expect(draft(page)).to_have_value(COUNTING)
    expect(alert(page)).to_be_empty()
    assert messages(page) == []


def test_stop_before_the_history_is_loaded_sends_nothing(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "before")
    loading = Withheld(page, "**/history?*")
    page.reload()
    loading.wait()
    asked = asked_of(page)
    ask(page, COUNTING)
    stop(page, "button")
    expect(draft(page)).to_have_value(COUNTING)
    loading.release()
    ended(page)
    expect(status(page)).to_have_text("Stopped")
    assert (asked, texts(page)) == ([], ["before", "before"])


def test_stop_pressed_twice_is_sent_once(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    stopping = asked_of(page, "/stop")
    ask(page, COUNTING)
    says(page, "one two")
    with ended_by_the_server(page):
        page.evaluate("() => { const stop = document.querySelector('#stop'); stop.click(); stop.click(); }")
        page.keyboard.press("Escape")
    ended(page, "stopped")
    assert len(stopping) == 1


def test_question_right_after_a_stop_follows_the_stored_text(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    page.clock.install()
    stopping = stopped_unheard(page)
    asked = asked_of(page)
    draft(page).press("Enter")
    expect(status(page)).to_have_text("Generating…")
    assert asked == []
    stopping.release()
    page.clock.resume()
    says(page, "next")
    ended(page)
    assert texts(page) == contents(server) == [COUNTING, "one two", "next", "next"]


def test_stop_that_does_not_reach_the_server_ends_the_response(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=HELD))
    page.clock.install()
    stopping = stopped_unheard(page)
    draft(page).press("Enter")
    page.clock.fast_forward(10_000)
    page.clock.resume()
    says(page, "next")
    ended(page)
    stopping.release()


def stopped_unheard(page: Page) -> Withheld:
    """Stops an answer while time stands still and the server is not told; the next question is written."""
    stopping = Withheld(page, "**/stop")
    ask(page, COUNTING)
    says(page, "one two")
    draft(page).fill("next")
    page.clock.pause_at(page.evaluate("Date.now() + 60_000"))
    page.keyboard.press("Escape")
    stopping.wait()
    ended(page, "stopped")
    return stopping


# Regenerate


def test_regenerate_replaces_the_last_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "first")
    asked_and_answered(page, COUNTING)
    expect(page.get_by_role("button", name="Regenerate")).to_have_count(1)
    set_sim(server, f"{HELD},tokens=3")
    press(page, "Regenerate")
    says(page, "one two")
    assert texts(page) == ["first", "first", COUNTING, "one two"]
    gate(server, "hold")
    ended(page)
    assert texts(page) == contents(server) == ["first", "first", COUNTING, "one two three"]
    set_sim(server, f"{ECHO},tokens=1")
    press(page, "Regenerate")
    says(page, "one")
    ended(page)
    page.reload()
    says(page, "one")
    assert texts(page) == contents(server) == ["first", "first", COUNTING, "one"]


@pytest.mark.parametrize("fault", ["status=502", "fault=error@0"])
def test_failed_regeneration_keeps_the_old_response(open_page: Pages, serve: Serve, fault: str) -> None:
    open_page.allow("status of 502")
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "first")
    asked_and_answered(page, COUNTING)
    before = messages(page)
    draft(page).fill("half written")
    set_sim(server, f"{ECHO},{fault}")
    press(page, "Regenerate")
    expect(alert(page)).not_to_be_empty()
    idle(page)
    expect(draft(page)).to_have_value("half written")
    assert messages(page) == before
    assert contents(server) == texts(page)
    set_sim(server, f"{ECHO},tokens=1")
    page.get_by_role("button", name="Try again").click()
    says(page, "one")
    ended(page)
    assert contents(server) == texts(page) == ["first", "first", COUNTING, "one"]
    expect(alert(page)).to_be_empty()


def test_regeneration_stopped_before_its_first_token_keeps_the_old_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, COUNTING)
    before = messages(page)
    set_sim(server, f"{ECHO},gate=hold@0")
    press(page, "Regenerate")
    expect(answer(page)).to_have_attribute("data-state", "waiting")
    begun(page)
    with ended_by_the_server(page):
        page.keyboard.press("Escape")
    idle(page)
    assert messages(page) == before
    assert contents(server) == texts(page)


# Edit


def edit(page: Page, place: int, text: str | None = None) -> None:
    """Opens a question of the reader's for change, and changes it."""
    press(page, "Edit", of=place)
    expect(page.locator(".edit textarea")).to_be_focused()
    if text is not None:
        page.locator(".edit textarea").fill(text)


def test_an_edit_of_the_first_question_drops_all_that_came_after(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    for question in ["first", "second", "third"]:
        asked_and_answered(page, question)
    edit(page, 0)
    expect(page.locator(".edit textarea")).to_have_value("first")
    page.locator(".edit textarea").fill("changed")
    page.keyboard.press("Enter")
    says(page, "changed")
    ended(page)
    assert texts(page) == contents(server) == ["changed", "changed"]
    expect(page.locator(".edit")).to_have_count(0)


def test_edit_of_the_last_question_keeps_earlier_turns(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "first")
    asked_and_answered(page, "second")
    edit(page, 2, "second")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line")
    assert len(messages(page)) == 4
    page.get_by_role("button", name="Save and send").click()
    says(page, "second line")
    ended(page)
    assert contents(server) == ["first", "first", "second\nline", "second\nline"]
    assert message(page, 2).locator(".text").inner_text() == "second\nline"


def test_an_edit_that_is_given_up_or_blank_changes_nothing(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "first")
    asked = asked_of(page)
    for by in ("Cancel", "Esc"):
        edit(page, 0)
        expect(page.locator(".edit textarea")).to_have_value("first")
        page.locator(".edit textarea").fill("changed")
        if by == "Cancel":
            page.get_by_role("button", name="Cancel").click()
        else:
            page.keyboard.press("Escape")
        expect(page.locator(".edit")).to_have_count(0)
        expect(message(page, 0).get_by_role("button", name="Edit")).to_be_focused()
        assert (texts(page), contents(server), asked) == (["first", "first"], ["first", "first"], []), by
    edit(page, 0)
    expect(page.locator(".edit textarea")).to_have_value("first")
    page.locator(".edit textarea").fill(" \n ")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save and send").click()
    expect(page.locator(".edit textarea")).to_be_visible()
    assert (contents(server), asked) == (["first", "first"], [])


def test_edit_during_a_response_waits_for_its_end(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    asked_and_answered(page, "first")
    edit(page, 0, "changed")
    set_sim(server, HELD)
    ask(page, COUNTING)
    says(page, "one two")
    asked = asked_of(page)
    page.locator(".edit textarea").press("Enter")
    expect(page.locator(".edit textarea")).to_have_value("changed")
    page.locator(".edit textarea").press("Escape")
    expect(page.locator(".edit")).to_have_count(0)
    assert (asked, status(page).text_content()) == ([], "Generating…")
    gate(server, "hold")
    ended(page)
    assert texts(page) == contents(server) == ["first", "first", COUNTING, COUNTING]


def test_failed_edit_keeps_the_old_turn_and_the_new_text(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    for question in ["first", "second"]:
        asked_and_answered(page, question)
    before = messages(page)
    set_sim(server, f"{ECHO},fault=error@0")
    edit(page, 0, "changed")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Edit your message")).to_have_value("changed")
    expect(draft(page)).to_have_value("")
    idle(page)
    assert messages(page) == before
    page.reload()
    expect(page.get_by_label("Edit your message")).to_have_value("changed")
    page.get_by_label("Edit your message").press("Escape")
    page.reload()
    expect(page.locator("#messages > .message")).to_have_count(4)
    expect(page.get_by_label("Edit your message")).to_have_count(0)
    edit(page, 0, "changed")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Edit your message")).to_be_focused()
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    says(page, "changed")
    ended(page)
    expect(draft(page)).to_have_value("")
    assert texts(page) == contents(server) == ["changed", "changed"]


def test_edit_text_becomes_the_draft_if_its_turn_is_replaced(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    for question in ["first", "second"]:
        asked_and_answered(page, question)
    edit(page, 2, "half-writ")
    set_sim(server, f"{ECHO},fault=error@0")
    press(page, "Edit", of=0)
    message(page, 0).locator(".edit textarea").fill("changed")
    message(page, 0).locator(".edit textarea").press("Enter")
    expect(alert(page)).not_to_be_empty()
    forms = page.get_by_label("Edit your message")
    expect(forms).to_have_count(2)
    expect(forms.last).to_have_value("half-writ")
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    says(page, "changed")
    ended(page)
    expect(draft(page)).to_have_value("half-writ")
    assert texts(page) == contents(server) == ["changed", "changed"]


# Copy

CODE = "```py\nfor a in b:\n    pass\n```"
MAY_COPY = ["clipboard-read", "clipboard-write"]


def copied(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_copy_copies_the_message_unchanged(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO), permissions=MAY_COPY)
    written = f"**bold**\n\n{CODE}"
    asked_and_answered(page, written)
    press(page, "Copy response")
    expect(status(page)).to_have_text("Copied")
    assert copied(page) == written
    asked_and_answered(page, "second")
    press(page, "Copy response")
    expect(status(page)).to_have_text("Copied")
    assert copied(page) == "second"
    press(page, "Copy your message", of=0)
    page.wait_for_function("async (text) => await navigator.clipboard.readText() === text", arg=written)


def test_copy_does_not_replace_the_status_of_a_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server, permissions=MAY_COPY)
    page.clock.install()
    asked_and_answered(page, COUNTING)
    set_sim(server, f"{ECHO},gate=hold@2")
    ask(page, COUNTING)
    says(page, "one two")
    page.clock.pause_at(page.evaluate("Date.now() + 60_000"))
    press(page, "Copy your message", of=0)
    expect(status(page)).to_have_text("Copied")
    page.clock.fast_forward(2500)
    expect(status(page)).to_have_text("Generating…")
    page.clock.resume()
    gate(server, "hold")
    ended(page)


def test_copy_button_shows_copied_for_two_seconds(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO), permissions=MAY_COPY)
    page.clock.install()
    asked_and_answered(page, COUNTING)
    page.clock.pause_at(page.evaluate("Date.now() + 60_000"))
    button = answer(page).locator("[data-action=copy]")
    before = button.inner_html()
    button.click()
    expect(button).to_have_text("Copied")
    page.clock.fast_forward(2500)
    expect(button).not_to_have_text("Copied")
    assert button.inner_html() == before


def test_copy_without_a_clipboard_uses_a_selection(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    asked_and_answered(page, COUNTING)
    button = answer(page).locator("[data-action=copy]")
    button.press("Enter")
    expect(status(page)).to_have_text("Copied")
    expect(button).to_be_focused()
    draft(page).press("ControlOrMeta+V")
    expect(draft(page)).to_have_value(COUNTING)
    expect(page.locator("textarea:visible")).to_have_count(1)


def test_forbidden_copy_is_not_reported_as_done(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.evaluate("document.execCommand = () => false")
    asked_and_answered(page, COUNTING)
    press(page, "Copy response")
    expect(status(page)).to_have_text("The browser does not allow copying here.")
    expect(answer(page).locator("[data-action=copy]")).not_to_have_text("Copied")


# Try again


def test_retry_without_text_sends_the_same_question_once(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 503")
    server = serve(SIM=f"{ECHO},status=503")
    page = open_page(server)
    ask(page, COUNTING)
    expect(draft(page)).to_have_value(COUNTING)
    assert messages(page) == []
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    says(page, COUNTING)
    ended(page)
    expect(draft(page)).to_have_value("")
    expect(alert(page)).to_be_empty()
    assert texts(page) == contents(server) == [COUNTING, COUNTING]


def test_retry_keeps_the_draft(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 503")
    server = serve(SIM=f"{ECHO},status=503")
    page = open_page(server)
    ask(page, COUNTING)
    expect(alert(page)).not_to_be_empty()
    draft(page).press("End")
    draft(page).press_sequentially(", no five")
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    says(page, COUNTING)
    ended(page)
    expect(draft(page)).to_have_value(f"{COUNTING}, no five")


def test_try_again_after_a_part_replaces_it(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=f"{ECHO},fault=error@2")
    page = open_page(server)
    ask(page, COUNTING)
    ended(page, "failed")
    says(page, "one two")
    expect(draft(page)).to_have_value("")
    assert contents(server) == [COUNTING, "one two"]
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    says(page, COUNTING)
    ended(page)
    assert texts(page) == contents(server) == [COUNTING, COUNTING]
    expect(alert(page)).to_be_empty()


def test_try_again_after_a_part_that_the_server_does_not_have(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 409")
    server = serve(SIM=f"{ECHO},fault=error@2")
    page = open_page(server)
    ask(page, COUNTING)
    ended(page, "failed")
    assert call(server, "/history", method="DELETE")[0] == 204
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    says(page, COUNTING)
    ended(page)
    assert texts(page) == contents(server) == [COUNTING, COUNTING]


# Figures


def test_response_shows_its_model_and_speed(open_page: Pages, serve: Serve) -> None:
    """The page's own measure first, which saw a time that did not pass for the server; after a reload the server's."""
    server = serve(SIM=f"{ECHO},gate=hold@0")
    page = open_page(server)
    page.clock.install()
    page.clock.fast_forward(1_000_000)  # before it was asked, which counts for nothing
    ask(page, COUNTING)
    begun(page)
    page.clock.fast_forward(40_000)  # not so long that the connection counts as silent
    gate(server, "hold", tokens=1)
    says(page, "one")
    gate(server, "hold")
    ended(page)
    note = answer(page).locator(".note")
    expect(answer(page).locator("h2.model")).to_have_text("sim")
    own = figures(note.locator(".pace").inner_text())
    assert 40 <= own[0] < 80
    assert own[1] > 0
    page.reload()
    ended(page)
    expect(answer(page).locator("h2.model")).to_have_text("sim")
    kept = history(server)[1]
    assert figures(note.locator(".pace").inner_text()) == pytest.approx(
        [kept["ttft_s"], kept["tokens_per_s"]], rel=0.01, abs=0.06
    )
    assert kept["ttft_s"] < 40


def figures(pace: str) -> list[float]:
    """Seconds, and tokens a second."""
    found = re.fullmatch(r"First token after ([\d.]+) (m?s), then ([\d.]+) tokens/s", pace)
    assert found, pace
    return [float(found[1]) / (1000 if found[2] == "ms" else 1), float(found[3])]


# While it comes


CARET = "getComputedStyle(document.querySelector('.assistant .text > :last-child'), '::after').content"


def test_waiting_response_shows_how_long_it_has_been_silent(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM="text=echo,gap=1ms,gate=hold")
    page = open_page(server)
    page.clock.install()
    ask(page, "one two three")
    begun(page)
    progress = answer(page).locator(".progress")
    page.clock.run_for(3_000)
    expect(progress).to_have_text("Waiting for the first token… 3 s")
    gate(server, "hold", tokens=2)
    says(page, "one two")
    expect(progress).to_be_empty()
    assert page.evaluate(CARET) == '""'
    page.clock.run_for(7_000)
    expect(progress).to_have_text("No new token for 7 s")
    gate(server, "hold")
    ended(page)
    expect(progress).to_have_count(0)
    assert page.evaluate(CARET) == "none"
