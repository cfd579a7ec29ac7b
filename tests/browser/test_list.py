"""The list of conversations: search, groups by day, and the menu of an entry."""

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import axe
from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import alert, ask, call, draft, expect_text, gate, set_sim, status, turn_id, wait_until_ended
from tests.browser.test_conversations import ECHO, HELD, names, post_turn, shown, three, titled
from tests.browser.test_look import look
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

__all__ = ["three"]

DAY_S = 86_400
PHONE = (360, 640)


def field(page: Page) -> Locator:
    return page.get_by_role("searchbox", name="Search conversations")


def groups(page: Page) -> Locator:
    return page.locator("#conversations .group-name")


def open_menu(page: Page, title: str) -> Locator:
    page.get_by_role("button", name=f"Actions for {title}", exact=True).click()
    menu = page.locator("#entry-menu")
    expect(menu).to_be_visible()
    return menu


def act(page: Page, title: str, action: str) -> None:
    open_menu(page, title).get_by_role("button", name=action, exact=True).click()
    expect(page.locator("#entry-menu")).to_be_hidden()


# Search


def test_search_finds_conversations_by_messages_and_titles(open_page: Pages, three: ServerProcess) -> None:
    post_turn(three, "a BLUE sky", conversation="a")
    call(three, "/conversations/b", method="PATCH", body={"title": "Blue sea"})
    page = open_page(three, "/web?conversation=c")
    expect_text(page, "in c")
    field(page).fill("blue")
    expect(names(page)).to_have_text(["in a", "Blue sea"])
    expect(page.locator("#found")).to_have_text("2 conversations found.")
    expect(groups(page)).to_have_count(0)
    field(page).fill("sky blue")
    expect(names(page)).to_have_text(["in a"])
    names(page).click()
    expect_text(page, "a BLUE sky")
    expect(shown(page)).to_have_count(1)
    field(page).fill("nowhere")
    expect(page.locator("#found")).to_have_text("Nothing found.")
    expect(names(page)).to_have_count(0)
    field(page).press("Escape")
    expect(names(page)).to_have_count(3)
    expect(page.locator("#found")).to_be_hidden()


def test_refused_search_shows_the_reason(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=c")
    open_page.expect("status of 400")
    field(page).fill("x " * 17)
    expect(page.locator("#found")).to_contain_text("1 to 16 words of 200 characters")
    expect(names(page)).to_have_count(3)


def test_escape_in_the_search_field_does_not_stop_the_response(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=c")
    expect_text(page, "in c")
    set_sim(three, HELD)
    ask(page, "one two")
    turn_id(page)
    field(page).fill("one")
    field(page).press("Escape")
    expect(field(page)).to_have_value("")
    gate(three, "hold")
    expect_text(page, "one two")
    wait_until_ended(page)


# Groups


def test_conversations_are_grouped_by_day(open_page: Pages, three: ServerProcess) -> None:
    page = open_page("about:blank", "")
    for days, group in [(0, "Today"), (1, "Yesterday"), (2, "Previous 7 days"), (30, "Older")]:
        page.clock.set_fixed_time(time.time() + days * DAY_S)
        page.goto(f"http://127.0.0.1:{three.port}/web?conversation=a")
        expect(groups(page)).to_have_text([group])
        expect(page.get_by_role("list", name=group).get_by_role("listitem")).to_have_count(3)


# The menu of an entry


def test_pinned_conversation_is_first_also_after_a_reload(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=c")
    expect_text(page, "in c")
    act(page, "in a", "Pin")
    expect(groups(page)).to_have_text(["Pinned", "Today"])
    expect(names(page)).to_have_text(["in a", "in c", "in b"])
    expect(page.get_by_role("button", name="Actions for in a")).to_be_focused()
    page.reload()
    expect(names(page)).to_have_text(["in a", "in c", "in b"])
    act(page, "in a", "Unpin")
    expect(groups(page)).to_have_text(["Today"])
    expect(names(page)).to_have_text(["in c", "in b", "in a"])


def test_another_conversation_than_the_one_on_the_page_is_renamed_and_deleted(
    open_page: Pages, three: ServerProcess
) -> None:
    page = open_page(three, "/web?conversation=c")
    expect_text(page, "in c")
    act(page, "in a", "Rename")
    name = page.get_by_label("Name", exact=True)
    expect(name).to_have_value("in a")
    name.fill("named")
    name.press("Enter")
    expect(names(page)).to_have_text(["in c", "in b", "named"])
    titled(page, "in c")
    act(page, "named", "Delete")
    expect(page.locator("#delete-dialog")).to_contain_text("named and all its messages will be deleted.")
    page.locator("#delete-dialog").get_by_role("button", name="Cancel").click()
    expect(names(page)).to_have_count(3)
    act(page, "named", "Delete")
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()
    expect(names(page)).to_have_text(["in c", "in b"])
    expect(status(page)).to_have_text("Deleted")
    expect(page.get_by_role("button", name="Actions for in b")).to_be_focused()
    expect_text(page, "in c")


def test_menu_works_by_keyboard_and_escape_closes_only_it(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=c", viewport=PHONE)
    expect_text(page, "in c")
    page.locator("#sidebar-open").press("Enter")
    more = page.get_by_role("button", name="Actions for in b")
    more.press("Enter")
    expect(page.locator("#entry-menu").get_by_role("button", name="Rename")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#entry-menu")).to_be_hidden()
    expect(more).to_be_focused()
    expect(page.locator("#sidebar")).to_be_in_viewport()
    more.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(groups(page)).to_have_text(["Pinned", "Today"])
    page.keyboard.press("Escape")
    expect(page.locator("#sidebar")).to_be_hidden()


@pytest.mark.parametrize("viewport", [PHONE, (1280, 800)])
def test_list_and_its_menu_have_no_violation_in_both_themes(
    open_page: Pages, three: ServerProcess, artefact: Artefact, viewport: tuple[int, int]
) -> None:
    call(three, "/conversations/a", method="PATCH", body={"pinned": True, "title": "A long title of many words " * 4})
    page = open_page(three, "/web?conversation=c", viewport=viewport, reduced_motion="reduce")
    expect_text(page, "in c")
    if viewport == PHONE:
        page.locator("#sidebar-open").click()
    menu = open_menu(page, "in b")
    for theme in ("light", "dark"):
        look(page, theme, viewport)
        assert axe(page, within="#sidebar") == [], theme
        page.screenshot(path=artefact(f"list-{viewport[0]}-{theme}.png"))
    box = menu.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= viewport[0]
    assert all(each["height"] >= 44 for each in page.evaluate(_BOXES))


_BOXES = """[...document.querySelectorAll('#search, .more, #entry-menu button')].map(
    (each) => each.getBoundingClientRect().toJSON())"""


def test_conversation_without_a_response_has_no_menu(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    ask(page, "one two")
    expect_text(page, "one")
    expect(names(page)).to_have_text(["one two"])
    expect(page.locator(".more")).to_have_count(0)
    gate(server, "hold")
    expect(page.locator(".more")).to_have_count(1)


# Times


def test_messages_show_their_time(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    post_turn(server, "hello")
    page = open_page(server, locale="en-GB", timezone_id="UTC")
    times = page.locator("#messages time")
    expect(times).to_have_text([re.compile(r"^\d{1,2}:\d\d$")] * 2)
    expect(times.first).to_have_attribute("datetime", re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"))
    expect(times.first).to_have_attribute("title", re.compile(r"day.* \d{4} at \d{1,2}:\d\d:\d\d$"))
    draft(page).fill("again")
    draft(page).press("Enter")
    wait_until_ended(page)
    expect(times).to_have_count(4)
    expect(alert(page)).to_be_empty()
