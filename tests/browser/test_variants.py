"""Variants of a response after a regeneration: one is shown at a time, also after a reload."""

from itertools import product

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import axe
from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import (
    ask,
    contents,
    expect_text,
    last_response,
    message,
    press,
    set_sim,
    texts,
    wait_until_ended,
)
from tests.browser.test_look import DESK, PHONE, look
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

QUESTION = "one two three"
FIRST, SECOND, THIRD = "one", "one two", "one two three"


def place(page: Page) -> Locator:
    return last_response(page).locator(".place")


def step(page: Page, which: str) -> None:
    last_response(page).get_by_role("button", name=f"{which} response", exact=True).click()


@pytest.fixture
def server(serve: Serve) -> ServerProcess:
    return serve(SIM="text=echo,gap=1ms,tokens=1")


def thrice(page: Page, server: ServerProcess) -> None:
    """Sends the question and regenerates twice: each response is one word longer."""
    ask(page, QUESTION)
    wait_until_ended(page)
    for tokens, text in [(2, SECOND), (3, THIRD)]:
        set_sim(server, f"text=echo,gap=1ms,tokens={tokens}")
        press(page, "Regenerate")
        expect_text(page, text)
        wait_until_ended(page)


@pytest.mark.parametrize("reloaded", [False, True])
def test_earlier_responses_are_a_step_away(open_page: Pages, server: ServerProcess, reloaded: bool) -> None:
    page = open_page(server)
    thrice(page, server)
    if reloaded:
        page.reload()
    expect_text(page, THIRD)
    expect(place(page)).to_have_text("3 / 3")
    for text, position in [(SECOND, "2 / 3"), (FIRST, "1 / 3")]:
        step(page, "Previous")
        expect_text(page, text)
        expect(place(page)).to_have_text(position)
        expect(last_response(page).locator(".variants")).to_contain_text("not sent to the model")
        expect(last_response(page).get_by_role("button", name="Previous response")).to_be_focused()
    previous = last_response(page).get_by_role("button", name="Previous response")
    expect(previous).to_have_attribute("aria-disabled", "true")
    assert texts(page) == [QUESTION, FIRST]
    step(page, "Next")
    step(page, "Next")
    expect_text(page, THIRD)
    expect(last_response(page).locator(".variants")).not_to_contain_text("not sent")
    assert contents(server) == [QUESTION, THIRD]


def test_conversation_continues_while_an_earlier_variant_is_shown(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    thrice(page, server)
    step(page, "Previous")
    expect_text(page, SECOND)
    set_sim(server, "text=echo,gap=1ms")
    press(page, "Regenerate")
    expect(place(page)).to_have_text("4 / 4")
    wait_until_ended(page)
    ask(page, "more")
    expect_text(page, "more")
    wait_until_ended(page)
    assert texts(page) == contents(server) == [QUESTION, THIRD, "more", "more"]


def test_edited_question_has_no_variants(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    thrice(page, server)
    set_sim(server, "text=echo,gap=1ms")
    press(page, "Edit", of=0)
    page.get_by_label("Edit your message").fill("other words")
    page.get_by_role("button", name="Save and send").click()
    expect_text(page, "other words")
    wait_until_ended(page)
    expect(place(page)).to_have_count(0)
    page.reload()
    expect_text(page, "other words")
    expect(place(page)).to_have_count(0)


def test_variant_buttons_have_no_violation_on_phone_and_desktop_in_both_themes(
    open_page: Pages, server: ServerProcess, artefact: Artefact
) -> None:
    page = open_page(server)
    thrice(page, server)
    step(page, "Previous")
    expect_text(page, SECOND)
    buttons = message(page, -1).locator(".variants button")
    smaller_sides = "(all) => all.map((each) => Math.min(each.offsetWidth, each.offsetHeight))"
    for theme, size in product(("light", "dark"), (PHONE, DESK)):
        look(page, theme, size)
        assert axe(page) == [], (theme, size)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert min(buttons.evaluate_all(smaller_sides)) >= 44
        page.screenshot(path=artefact(f"variants-{size[0]}-{theme}.png"))
