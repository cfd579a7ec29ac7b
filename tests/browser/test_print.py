"""The printed conversation: all of its text, without controls."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import expect_text, response_text
from tests.browser.test_conversations import ECHO, post_turn
from tests.end_to_end.conftest import Serve

CUT = """() => [...document.querySelectorAll('html, body, .page, .stage, .log, .message, .text, pre')].filter(
  (each) => each.scrollHeight > each.clientHeight + 1 && getComputedStyle(each).overflowY !== 'visible'
).map(({ localName, className }) => `${localName}.${className}`)"""
WIDE = """() => [...document.querySelectorAll('body *:not(.unseen)')].filter(
  (each) => each.getBoundingClientRect().right > innerWidth
).map(({ localName, className }) => `${localName}.${className}`)"""
LONG_LINE = "a_long_line_of_code " * 30


def test_printed_conversation_is_complete_and_black_on_white_in_both_themes(
    open_page: Pages, serve: Serve, artefact: Artefact
) -> None:
    server = serve(SIM=ECHO)
    for number in range(30):
        post_turn(
            server, f"Question {number}\n\n```python\n{LONG_LINE}\n```\n\n> quoted\n\n| a | b |\n|--|--|\n| 1 | 2 |"
        )
    page = open_page(server)
    expect(response_text(page)).to_contain_text("Question 29")
    page.emulate_media(media="print")
    for hidden in ("#sidebar", ".foot", "#menu", "#messages button"):
        expect(page.locator(hidden).first).to_be_hidden()
    expect(page.get_by_role("heading", name="Question 0", level=1)).to_be_visible()
    assert page.evaluate(CUT) == []
    assert page.evaluate(WIDE) == []
    for theme in ("light", "dark"):
        page.emulate_media(media="print", color_scheme="dark" if theme == "dark" else "light")
        paper, ink = page.evaluate(
            "[document.body, document.querySelector('.text p')].map((each, place) => "
            "getComputedStyle(each)[place ? 'color' : 'backgroundColor'])"
        )
        assert (paper, ink) == ("rgb(255, 255, 255)", "rgb(0, 0, 0)")
        page.screenshot(path=artefact(f"print-{theme}.png"))
    pdf = page.pdf(path=artefact("print.pdf"))
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 6


def test_print_is_in_the_menu_of_the_conversation(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    post_turn(server, "hello")
    page = open_page(server)
    expect_text(page, "hello")
    page.evaluate("window.print = () => { window.printed = true; }")
    page.locator("#menu summary").click()
    page.locator("#menu").get_by_role("button", name="Print").click()
    assert page.evaluate("window.printed") is True
