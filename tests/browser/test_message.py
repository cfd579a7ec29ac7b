"""Parts of a message that are shown on demand: the rest of a long question, and the figures of a response."""

import re

from playwright.sync_api import expect

from tests.browser.axe import axe
from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import ask, complete_turn, draft, last_response, message, press, status, wait_until_ended
from tests.end_to_end.conftest import Serve


def test_speed_of_a_response_is_shown_on_hover_focus_and_tap(
    open_page: Pages, serve: Serve, artefact: Artefact
) -> None:
    page = open_page(serve(SIM="text=echo,gap=1ms"), viewport=(360, 640))
    complete_turn(page, "one two three four")
    button = last_response(page).get_by_role("button", name=re.compile("^Speed First token after "))
    pace = button.locator(".pace")
    small = "(pace) => pace.getBoundingClientRect().width <= 1"
    page.mouse.move(0, 0)
    assert pace.evaluate(small)
    button.hover()
    assert not pace.evaluate(small)
    page.mouse.move(0, 0)
    last_response(page).locator("[data-action=again]").focus()
    page.keyboard.press("Tab")
    expect(button).to_be_focused()
    assert not pace.evaluate(small)
    page.keyboard.press("Enter")  # as a tap
    expect(button).to_have_attribute("aria-expanded", "true")
    draft(page).focus()
    assert not pace.evaluate(small)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        assert axe(page, within="main") == [], theme
        page.screenshot(path=artefact(f"timing-{theme}.png"))
    button.click()
    page.mouse.move(0, 0)
    draft(page).focus()
    assert pace.evaluate(small)


def test_question_of_100_kb_is_folded_and_copied_completely(open_page: Pages, serve: Serve, artefact: Artefact) -> None:
    text = "\n".join(f"{number}: {'words ' * 15}".strip() for number in range(1000))
    assert len(text) > 90_000
    page = open_page(serve(SIM="text=words,tokens=2,gap=1ms"), permissions=["clipboard-read", "clipboard-write"])
    ask(page, text)
    wait_until_ended(page)
    page.reload()
    wait_until_ended(page)
    question = message(page, 0)
    shown = question.locator(".text")
    assert shown.inner_text() == "\n".join(text.split("\n")[:12])
    button = question.get_by_role("button", name="Show all (1,000 lines)")
    assert axe(page, within="main") == []
    page.screenshot(path=artefact("folded.png"))
    press(page, "Copy your message", of=0)
    expect(status(page)).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == text
    button.press("Enter")
    assert shown.inner_text() == text
    less = question.get_by_role("button", name="Show less")
    expect(less).to_be_focused()
    expect(less).to_have_attribute("aria-expanded", "true")
    less.press("Enter")
    assert shown.inner_text() == "\n".join(text.split("\n")[:12])
    page.emulate_media(media="print")
    assert shown.inner_text() == text
    page.emulate_media(media="screen")
    press(page, "Edit", of=0)
    expect(page.get_by_label("Edit your message")).to_have_value(text)
    expect(button).to_be_hidden()
