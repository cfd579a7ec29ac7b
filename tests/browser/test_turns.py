"""Turns on the chat page: sending, stopping, regenerating, editing, copying, retrying, and a response's figures."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import (
    Withheld,
    alert,
    ask,
    call,
    complete_turn,
    contents,
    draft,
    expect_text,
    gate,
    history,
    last_response,
    message,
    messages,
    posted_bodies,
    press,
    set_sim,
    status,
    streams,
    texts,
    turn_id,
    wait_until_ended,
    wait_until_idle,
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
    """The block must stop a turn; waits until the server has ended it."""
    with page.expect_response("**/chat/turns/*/stop") as stopped:
        yield
    assert stopped.value.status == 204


# Streaming


def test_response_is_drawn_token_by_token(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=f"{ECHO},gate=hold@0")
    page = open_page(server)
    ask(page, COUNTING)
    expect(last_response(page)).to_have_attribute("data-state", "waiting")
    expect(status(page)).to_have_text("Generating…")
    expect(draft(page)).to_have_value("")
    for shown_text in ["one", "one two", "one two three"]:
        gate(server, "hold", tokens=1)
        expect_text(page, shown_text)
        expect(last_response(page)).to_have_attribute("data-state", "streaming")
    gate(server, "hold")
    wait_until_ended(page)
    expect(status(page)).to_have_text("Complete")
    expect(last_response(page).get_by_role("button", name="Regenerate")).to_be_visible()
    expect(last_response(page).get_by_role("button", name="Continue")).to_be_hidden()
    assert messages(page) == [("user", "", COUNTING), ("assistant", "complete", COUNTING)]
    assert contents(server) == [COUNTING, COUNTING]


def test_only_one_turn_is_played_at_a_time(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    complete_turn(page, "first")
    posted = posted_bodies(page)
    ask(page, COUNTING)
    expect_text(page, "one two")
    expect(page.locator("#send")).to_have_attribute("aria-disabled", "true")
    ask(page, "next")
    expect(status(page)).to_have_text("Wait for the response to end, or stop it, then send.")
    page.locator("#send").click(force=True)
    for name in ["Edit", "Regenerate"]:
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.locator("[data-action=again]").last.dispatch_event("click")
    expect(draft(page)).to_have_value("next")
    gate(server, "hold")
    wait_until_ended(page)
    assert [each["messages"][0]["content"] for each in posted] == [COUNTING]
    draft(page).press("Enter")
    expect_text(page, "next")
    wait_until_ended(page)
    assert contents(server)[::2] == ["first", COUNTING, "next"]


def test_question_before_the_history_is_loaded_is_shown_after_it(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "before")
    loading = Withheld(page, "**/history?*")
    page.reload()
    loading.wait()
    posted = posted_bodies(page)
    ask(page, COUNTING)
    expect(status(page)).to_have_text("Generating…")
    assert posted == []
    loading.release()
    expect_text(page, COUNTING)
    wait_until_ended(page)
    assert texts(page) == contents(server) == ["before", "before", COUNTING, COUNTING]


# Stop


def test_stop_is_shown_only_during_a_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    stopping = posted_bodies(page, "/stop")
    button = page.get_by_role("button", name="Stop", exact=True)
    expect(button).to_have_count(0)
    ask(page, COUNTING)
    expect(button).to_be_visible()
    expect_text(page, "one two")
    expect(button).to_be_visible()
    gate(server, "hold")
    wait_until_ended(page)
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
    expect_text(page, "one two")
    turn = turn_id(page)
    with ended_by_the_server(page):
        stop(page, by)
        wait_until_ended(page, "stopped")
        expect(status(page)).to_have_text("Stopped")
    assert messages(page) == [("user", "", COUNTING), ("assistant", "stopped", "one two")]
    expect(last_response(page).locator(".note")).to_contain_text(STOPPED)
    expect(draft(page)).to_have_value("")
    assert [(each["content"], each.get("status")) for each in history(server)] == [
        (COUNTING, None),
        ("one two", "interrupted"),
    ]
    assert streams(server) == 0
    shown_text = call(server, f"/chat/turns/{turn}")[1]
    assert 'event: error\ndata: {"error":{"code":"stopped"' in shown_text
    page.reload()
    wait_until_ended(page, "stopped")
    assert texts(page) == [COUNTING, "one two"]
    expect(last_response(page).locator(".note")).to_contain_text(STOPPED)


# Responses cut at the token limit


def test_response_cut_at_the_limit_is_marked_and_can_be_continued(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO, MAX_TOKENS="2")
    page = open_page(server)
    complete_turn(page, COUNTING)
    expect(status(page)).to_have_text("Stopped at the limit")
    expect(last_response(page).locator(".note")).to_contain_text("Stopped at the limit of 2 tokens")
    page.reload()
    wait_until_ended(page)
    expect(last_response(page).locator(".note")).to_contain_text("Stopped at the limit of 2 tokens")
    press(page, "Continue")
    expect_text(page, "one twoContinue exactly")
    wait_until_ended(page)
    assert texts(page) == contents(server) == [COUNTING, "one twoContinue exactly"]
    page.reload()
    wait_until_ended(page)
    assert texts(page) == contents(server)


def test_stop_before_the_first_token_gives_the_question_back(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=f"{ECHO},gate=hold@0")
    page = open_page(server)
    draft(page).fill(COUNTING)
    for by in WAYS_TO_STOP:
        draft(page).press("Enter")
        turn_id(page)
        with ended_by_the_server(page):
            stop(page, by)
            wait_until_idle(page)
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
        wait_until_idle(page)
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


# Regenerate


def test_regenerate_replaces_the_last_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    complete_turn(page, COUNTING)
    expect(page.get_by_role("button", name="Regenerate")).to_have_count(1)
    set_sim(server, f"{HELD},tokens=3")
    press(page, "Regenerate")
    expect_text(page, "one two")
    assert texts(page) == ["first", "first", COUNTING, "one two"]
    gate(server, "hold")
    wait_until_ended(page)
    assert texts(page) == contents(server) == ["first", "first", COUNTING, "one two three"]
    set_sim(server, f"{ECHO},tokens=1")
    press(page, "Regenerate")
    expect_text(page, "one")
    wait_until_ended(page)
    page.reload()
    expect_text(page, "one")
    assert texts(page) == contents(server) == ["first", "first", COUNTING, "one"]


def test_failed_regeneration_keeps_the_old_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    complete_turn(page, COUNTING)
    before = messages(page)
    draft(page).fill("half written")
    set_sim(server, f"{ECHO},fault=error@0")
    press(page, "Regenerate")
    expect(alert(page)).not_to_be_empty()
    wait_until_idle(page)
    expect(draft(page)).to_have_value("half written")
    assert messages(page) == before
    assert contents(server) == texts(page)
    set_sim(server, f"{ECHO},tokens=1")
    page.get_by_role("button", name="Try again").click()
    expect_text(page, "one")
    wait_until_ended(page)
    assert contents(server) == texts(page) == ["first", "first", COUNTING, "one"]
    expect(alert(page)).to_be_empty()


def test_regeneration_stopped_before_its_first_token_keeps_the_old_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, COUNTING)
    before = messages(page)
    set_sim(server, f"{ECHO},gate=hold@0")
    press(page, "Regenerate")
    expect(last_response(page)).to_have_attribute("data-state", "waiting")
    turn_id(page)
    with ended_by_the_server(page):
        page.keyboard.press("Escape")
    wait_until_idle(page)
    assert messages(page) == before
    assert contents(server) == texts(page)


# Edit


def edit(page: Page, place: int, text: str | None = None) -> None:
    """Opens the edit form of a question, and replaces its text."""
    press(page, "Edit", of=place)
    expect(page.locator(".edit textarea")).to_be_focused()
    if text is not None:
        page.locator(".edit textarea").fill(text)


def test_edit_of_the_first_question_removes_all_later_turns(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    for question in ["first", "second", "third"]:
        complete_turn(page, question)
    edit(page, 0)
    expect(page.locator(".edit textarea")).to_have_value("first")
    page.locator(".edit textarea").fill("changed")
    page.keyboard.press("Enter")
    expect_text(page, "changed")
    wait_until_ended(page)
    assert texts(page) == contents(server) == ["changed", "changed"]
    expect(page.locator(".edit")).to_have_count(0)


def test_edit_of_the_last_question_keeps_earlier_turns(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    complete_turn(page, "second")
    edit(page, 2, "second")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line")
    assert len(messages(page)) == 4
    page.get_by_role("button", name="Save and send").click()
    expect_text(page, "second line")
    wait_until_ended(page)
    assert contents(server) == ["first", "first", "second\nline", "second\nline"]
    assert message(page, 2).locator(".text").inner_text() == "second\nline"


def test_cancelled_or_blank_edit_changes_nothing(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    posted = posted_bodies(page)
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
        assert (texts(page), contents(server), posted) == (["first", "first"], ["first", "first"], []), by
    edit(page, 0)
    expect(page.locator(".edit textarea")).to_have_value("first")
    page.locator(".edit textarea").fill(" \n ")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save and send").click()
    expect(page.locator(".edit textarea")).to_be_visible()
    assert (contents(server), posted) == (["first", "first"], [])


def test_edit_during_a_response_waits_for_its_end(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    complete_turn(page, "first")
    edit(page, 0, "changed")
    set_sim(server, HELD)
    ask(page, COUNTING)
    expect_text(page, "one two")
    posted = posted_bodies(page)
    page.locator(".edit textarea").press("Enter")
    expect(page.locator(".edit textarea")).to_have_value("changed")
    page.locator(".edit textarea").press("Escape")
    expect(page.locator(".edit")).to_have_count(0)
    assert (posted, status(page).text_content()) == ([], "Generating…")
    gate(server, "hold")
    wait_until_ended(page)
    assert texts(page) == contents(server) == ["first", "first", COUNTING, COUNTING]


def test_failed_edit_keeps_the_old_turn_and_the_new_text(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    for question in ["first", "second"]:
        complete_turn(page, question)
    before = messages(page)
    set_sim(server, f"{ECHO},fault=error@0")
    edit(page, 0, "changed")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Edit your message")).to_have_value("changed")
    expect(draft(page)).to_have_value("")
    wait_until_idle(page)
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
    expect_text(page, "changed")
    wait_until_ended(page)
    expect(draft(page)).to_have_value("")
    assert texts(page) == contents(server) == ["changed", "changed"]


def test_edit_text_becomes_the_draft_if_its_turn_is_replaced(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    for question in ["first", "second"]:
        complete_turn(page, question)
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
    expect_text(page, "changed")
    wait_until_ended(page)
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
    complete_turn(page, written)
    press(page, "Copy response")
    expect(status(page)).to_have_text("Copied")
    assert copied(page) == written
    complete_turn(page, "second")
    press(page, "Copy response")
    expect(status(page)).to_have_text("Copied")
    assert copied(page) == "second"
    press(page, "Copy your message", of=0)
    page.wait_for_function("async (text) => await navigator.clipboard.readText() === text", arg=written)


def test_copy_does_not_replace_the_status_of_a_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server, permissions=MAY_COPY)
    page.clock.install()
    complete_turn(page, COUNTING)
    set_sim(server, f"{ECHO},gate=hold@2")
    ask(page, COUNTING)
    expect_text(page, "one two")
    page.clock.pause_at(page.evaluate("Date.now() + 60_000"))
    press(page, "Copy your message", of=0)
    expect(status(page)).to_have_text("Copied")
    page.clock.fast_forward(2500)
    expect(status(page)).to_have_text("Generating…")
    page.clock.resume()
    gate(server, "hold")
    wait_until_ended(page)


def test_copy_button_shows_copied_for_two_seconds(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO), permissions=MAY_COPY)
    page.clock.install()
    complete_turn(page, COUNTING)
    page.clock.pause_at(page.evaluate("Date.now() + 60_000"))
    button = last_response(page).locator("[data-action=copy]")
    before = button.inner_html()
    button.click()
    expect(button).to_have_text("Copied")
    expect(button).to_be_focused()
    page.clock.fast_forward(2500)
    expect(button).not_to_have_text("Copied")
    assert button.inner_html() == before


def test_copy_without_a_clipboard_uses_a_selection(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    complete_turn(page, COUNTING)
    button = last_response(page).locator("[data-action=copy]")
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
    complete_turn(page, COUNTING)
    press(page, "Copy response")
    expect(status(page)).to_have_text("The browser does not allow copying here.")
    expect(last_response(page).locator("[data-action=copy]")).not_to_have_text("Copied")


# Try again


def test_try_again_after_a_part_replaces_it(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=f"{ECHO},fault=error@2")
    page = open_page(server)
    ask(page, COUNTING)
    wait_until_ended(page, "failed")
    expect_text(page, "one two")
    expect(draft(page)).to_have_value("")
    assert contents(server) == [COUNTING, "one two"]
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    expect_text(page, COUNTING)
    wait_until_ended(page)
    assert texts(page) == contents(server) == [COUNTING, COUNTING]
    expect(alert(page)).to_be_empty()


def test_try_again_after_a_part_that_the_server_does_not_have(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 409")
    server = serve(SIM=f"{ECHO},fault=error@2")
    page = open_page(server)
    ask(page, COUNTING)
    wait_until_ended(page, "failed")
    assert call(server, "/history", method="DELETE")[0] == 204
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    expect_text(page, COUNTING)
    wait_until_ended(page)
    assert texts(page) == contents(server) == [COUNTING, COUNTING]


# Figures


def test_response_shows_its_model_and_speed(open_page: Pages, serve: Serve) -> None:
    """The page's own measurement first, with its faked clock; after a reload the server's."""
    server = serve(SIM=f"{ECHO},gate=hold@0")
    page = open_page(server)
    page.clock.install()
    page.clock.fast_forward(1_000_000)  # before the question is sent, which does not count
    ask(page, COUNTING)
    turn_id(page)
    page.clock.fast_forward(40_000)  # shorter than the timeout of a silent connection
    gate(server, "hold", tokens=1)
    expect_text(page, "one")
    gate(server, "hold")
    wait_until_ended(page)
    note = last_response(page).locator(".note")
    expect(last_response(page).locator("h2.model")).to_have_text("sim")
    own = figures(note.locator(".pace").inner_text())
    assert 40 <= own[0] < 80
    assert own[1] > 0
    page.reload()
    wait_until_ended(page)
    expect(last_response(page).locator("h2.model")).to_have_text("sim")
    kept = history(server)[1]
    assert figures(note.locator(".pace").inner_text()) == pytest.approx(
        [kept["ttft_s"], kept["tokens_per_s"]], rel=0.01, abs=0.06
    )
    assert kept["ttft_s"] < 40


def figures(pace: str) -> list[float]:
    """The seconds and the tokens per second."""
    found = re.fullmatch(r"First token after ([\d.]+) (m?s), then ([\d.]+) tokens/s", pace)
    assert found, pace
    return [float(found[1]) / (1000 if found[2] == "ms" else 1), float(found[3])]


# Figures while streaming


CARET = "getComputedStyle(document.querySelector('.assistant .text > :last-child'), '::after').content"


def test_waiting_response_shows_how_long_it_has_been_silent(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM="text=echo,gap=1ms,gate=hold")
    page = open_page(server)
    page.clock.install()
    ask(page, "one two three")
    turn_id(page)
    progress = last_response(page).locator(".progress")
    page.clock.run_for(3_000)
    expect(progress).to_have_text("Waiting for the first token… 3 s")
    gate(server, "hold", tokens=2)
    expect_text(page, "one two")
    expect(progress).to_be_empty()
    assert page.evaluate(CARET) == '""'
    page.clock.run_for(7_000)
    expect(progress).to_have_text("No new token for 7 s")
    gate(server, "hold")
    wait_until_ended(page)
    expect(progress).to_have_count(0)
    assert page.evaluate(CARET) == "none"
