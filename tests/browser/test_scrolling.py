"""Scrolling: the end stays in view for a user who is there; for others the position never changes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import ask, complete_turn, draft, gate, message, response_text, wait_until_ended
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

WORDS_EACH, PARAGRAPHS, PAUSE_AT = 20, 50, 400
LONG = "\n\n".join(
    " ".join(f"word{number}" for number in range(first, first + WORDS_EACH))
    for first in range(0, WORDS_EACH * PARAGRAPHS, WORDS_EACH)
)

TURNS = [
    {"when": {"last": "held"}, "say": LONG, "sim": f"gap=100us,gate=more@{PAUSE_AT}"},
    {"when": {"last": "pour"}, "say": LONG, "sim": f"gap=3ms,gate=more@{PAUSE_AT}"},
    {"when": {"last": "break"}, "say": [{"text": LONG}, {"error": "planted"}]},
    {"when": {"last": "short"}, "say": "Short."},
    {"say": LONG},
]

AT_END = """() => {
  const box = document.querySelector('#log');
  return box.scrollHeight > 1.5 * box.clientHeight && box.scrollHeight - box.clientHeight - box.scrollTop <= 1;
}"""

TO_END = "() => { const box = document.querySelector('#log'); box.scrollTop = box.scrollHeight; }"

COME_TO_REST = """() => new Promise((resolve) => {
  const box = document.querySelector('#log');
  let [last, since] = [box.scrollTop, 0];
  const look = () => {
    since = box.scrollTop === last ? since + 1 : 0;
    last = box.scrollTop;
    if (since < 6) requestAnimationFrame(look);
    else resolve(last);
  };
  look();
})"""


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> ServerProcess:
    """A server with long responses; the response to `held` pauses in the middle until the gate `more` is opened."""
    script = tmp_path / "turns.json"
    script.write_text(json.dumps(TURNS), encoding="utf-8")
    return serve(SIM=f"gap=100us,script={script}", DRAIN_TIMEOUT="100ms")


def start_held(page: Page, text: str = "held") -> None:
    """Starts a response that pauses in its middle, and waits for the pause."""
    ask(page, text)
    expect(response_text(page)).to_contain_text(f"word{PAUSE_AT - 1}")
    page.wait_for_function(AT_END)


def more(page: Page, server: ServerProcess, words: int = 100) -> None:
    """Releases `words` more words, and waits until they are shown."""
    shown = page.evaluate("document.querySelector('.message:last-child .text').textContent.match(/word/g).length")
    gate(server, "more", tokens=words)
    expect(response_text(page)).to_contain_text(f"word{shown + words - 1}")


def top(page: Page) -> float:
    """The scroll position, once scrolling has stopped."""
    return float(page.evaluate(COME_TO_REST))


def at_end(page: Page) -> bool:
    top(page)
    return bool(page.evaluate(AT_END)) and to_end(page).is_hidden()


def to_end(page: Page) -> Locator:
    return page.locator("#to-end")


def wheel(page: Page, by: int) -> None:
    page.locator("#log").hover()
    page.mouse.wheel(0, by)


def keys(key: str) -> Callable[[Page], None]:
    def press(page: Page) -> None:
        page.locator("#log").focus()
        page.keyboard.press(key)

    return press


def touch(page: Page) -> None:
    """Scrolls up by touch, without momentum."""
    session = page.context.new_cdp_session(page)

    def finger(event: str, *at: int) -> None:
        points = [{"x": 700, "y": y} for y in at]
        session.send("Input.dispatchTouchEvent", {"type": event, "touchPoints": points})

    finger("touchStart", 200)
    for y in [220, 240, 260, 280, 280, 280, 280]:
        finger("touchMove", y)
    finger("touchEnd")


UPWARD: dict[str, Callable[[Page], None]] = {
    "a_notch": lambda page: wheel(page, -100),
    "a_little": lambda page: wheel(page, -10),
    "arrow_up": keys("ArrowUp"),
    "page_up": keys("PageUp"),
    "touch": touch,
}


def scrolled_up(page: Page, how: Callable[[Page], None]) -> float:
    """Scrolls up by `how`, and returns the position after that."""
    before = page.locator("#log").evaluate("(log) => log.scrollTop")
    how(page)
    page.wait_for_function("(before) => document.querySelector('#log').scrollTop < before", arg=before)
    return top(page)


def test_wheel_outside_the_messages_keeps_following(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "short")
    start_held(page)
    for target in ("#log", ".edit textarea"):
        if target != "#log":
            page.evaluate("document.querySelector('[data-action=edit]').click()")
            page.evaluate(TO_END)
        page.locator(target).dispatch_event("wheel", {"deltaY": -100, "ctrlKey": target == "#log", "bubbles": True})
        assert at_end(page), target
        more(page, server)
        assert at_end(page), target


def test_end_stays_in_view_while_a_response_grows(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    start_held(page)
    for _ in range(2):
        more(page, server)
        assert at_end(page)
    gate(server, "more")
    wait_until_ended(page)
    assert at_end(page)
    expect(message(page, -1).get_by_role("button", name="Regenerate")).to_be_in_viewport(ratio=1)


def test_first_upward_scroll_ends_following(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server, has_touch=True)
    start_held(page)
    place = top(page)
    for how in ("a_little", "arrow_up", "page_up", "touch"):
        page.evaluate(TO_END)
        assert at_end(page), how
        place = scrolled_up(page, UPWARD[how])
        more(page, server)
        assert top(page) == place, how
        expect(to_end(page)).to_be_visible()
    gate(server, "more")
    wait_until_ended(page)
    assert top(page) == place


def test_upward_key_or_wheel_ends_following_before_the_box_scrolls(open_page: Pages, server: ServerProcess) -> None:
    """A smooth scroll starts with less than a pixel, which a word that arrives then would undo."""
    page = open_page(server)
    start_held(page)
    events: list[tuple[str, dict[str, object], bool]] = [
        ("keydown", {"key": "ArrowUp"}, False),
        ("keydown", {"key": "ArrowDown"}, True),
        ("keydown", {"key": "PageUp"}, False),
        ("keydown", {"key": " "}, True),
        ("keydown", {"key": " ", "shiftKey": True}, False),
        ("keydown", {"key": "Home"}, False),
        ("wheel", {"deltaY": 1}, True),
        ("wheel", {"deltaY": -1}, False),
    ]
    for event, fields, follows in events:
        page.evaluate(TO_END)
        assert at_end(page), fields
        page.locator("#log").dispatch_event(event, {**fields, "bubbles": True})
        expect(to_end(page)).to_be_visible(visible=not follows)
        more(page, server, 40)
        assert at_end(page) == follows, fields


@pytest.mark.parametrize("how", ["a_notch", "arrow_up", "page_up", "touch"])
def test_scrolling_up_during_a_fast_response_is_not_undone(open_page: Pages, server: ServerProcess, how: str) -> None:
    page = open_page(server, has_touch=how == "touch")
    start_held(page, "pour")
    page.locator("#log").focus()
    gate(server, "more")
    expect(response_text(page)).to_contain_text(f"word{PAUSE_AT + 20}")
    UPWARD[how](page)
    expect(to_end(page)).to_be_visible()
    place = top(page)
    expect(response_text(page)).to_contain_text(f"word{PAUSE_AT + 500}")
    assert top(page) == place
    expect(to_end(page)).to_be_visible()


def test_scrolling_to_the_end_and_the_jump_button_follow_again(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    start_held(page)
    for by in ("wheel", "button"):
        scrolled_up(page, UPWARD["a_notch"])
        more(page, server)
        if by == "wheel":
            wheel(page, 10_000)
            page.wait_for_function(AT_END)
        else:
            to_end(page).click()
        assert at_end(page), by
        more(page, server)
        assert at_end(page), by


def test_downward_scroll_above_the_end_does_not_follow(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    start_held(page)
    place = scrolled_up(page, keys("Home"))
    wheel(page, 200)
    page.wait_for_function("(place) => document.querySelector('#log').scrollTop > place", arg=place)
    place = top(page)
    more(page, server)
    assert top(page) == place


def longer_draft(page: Page) -> None:
    draft(page).fill("A line.\n" * 8)


def smaller(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 500})


def narrower(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})


def keyboard_opened(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 420})
    draft(page).focus()


CHANGES = [longer_draft, smaller, narrower, keyboard_opened]


def changed(page: Page, change: Callable[[Page], None]) -> None:
    before = page.locator("#log").evaluate("(log) => [log.clientHeight, log.clientWidth].join()")
    change(page)
    page.wait_for_function(
        """(before) => {
      const { clientHeight, clientWidth } = document.querySelector('#log');
      return [clientHeight, clientWidth].join() !== before;
    }""",
        arg=before,
    )


def test_end_stays_in_view_after_each_resize(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    start_held(page)
    for change in CHANGES:
        changed(page, change)
        assert at_end(page), change.__name__
        more(page, server)
        assert at_end(page), change.__name__


def test_scroll_position_stays_after_each_resize(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    start_held(page)
    place = scrolled_up(page, keys("PageUp"))
    for change in (longer_draft, smaller):
        changed(page, change)
        assert top(page) == place, change.__name__
        expect(to_end(page)).to_be_visible()


def test_end_stays_in_view_above_an_error(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    ask(page, "break")
    wait_until_ended(page, "failed")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert at_end(page)


def test_question_sent_while_scrolled_up_scrolls_to_the_end(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "anything")
    scrolled_up(page, keys("Home"))
    ask(page, "held")
    expect(response_text(page)).to_contain_text("word50")
    assert at_end(page)


def test_each_conversation_begins_at_its_end(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server, "/web?conversation=one")
    open_page.expect("status of 404")
    complete_turn(page, "first")
    page.get_by_role("button", name="New conversation").click()
    complete_turn(page, "second")
    scrolled_up(page, keys("Home"))
    page.locator("#conversations").get_by_text("first").click()
    expect(message(page, 0)).to_contain_text("first")
    assert at_end(page)
    page.go_back()
    expect(message(page, 0)).to_contain_text("second")
    assert at_end(page)
    page.reload()
    expect(message(page, 0)).to_contain_text("second")
    assert at_end(page)


READ = """() => {
  const { top } = document.querySelector('#log').getBoundingClientRect();
  const blocks = [...document.querySelectorAll('.message:last-child .text > *')];
  const seen = blocks.findIndex((block) => block.getBoundingClientRect().bottom > top);
  return [seen, blocks[seen].getBoundingClientRect().top - top];
}"""
MARK = """() => {
  const blocks = [...document.querySelectorAll('.message:last-child .text > *')].slice(0, -1);
  for (const block of blocks) block.wasMarked = true;
  return blocks.length;
}"""
MARKED = (
    "() => [...document.querySelectorAll('.message:last-child .text > *')].filter((block) => block.wasMarked).length"
)


def test_scroll_position_stays_while_the_response_continues_and_ends(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    start_held(page)
    scrolled_up(page, keys("PageUp"))
    before, marked = page.evaluate(READ), page.evaluate(MARK)
    more(page, server, words=300)
    assert page.evaluate(READ) == before
    gate(server, "more")
    wait_until_ended(page)
    assert page.evaluate(READ) == before
    assert page.evaluate(MARKED) == marked > 10  # their text stays selected, too


def test_short_conversation_has_no_button_to_the_end(open_page: Pages, server: ServerProcess) -> None:
    page = open_page(server)
    complete_turn(page, "short")
    wheel(page, -100)
    wheel(page, 100)
    top(page)
    expect(to_end(page)).to_be_hidden()


def test_empty_conversation_is_shown_from_its_start_and_has_no_end_to_jump_to(
    open_page: Pages, server: ServerProcess
) -> None:
    page = open_page(server, "/web", viewport=(360, 560))
    expect(page.locator(".examples")).to_be_attached()
    page.evaluate("() => document.querySelector('#new').click()")  # opens the tab while the examples are known
    log = page.locator("#log")
    assert log.evaluate("(log) => log.scrollHeight > log.clientHeight + 50")
    assert log.evaluate("(log) => log.scrollTop") == 0
    wheel(page, 400)
    page.wait_for_function("() => document.querySelector('#log').scrollTop > 20")
    below = page.evaluate(COME_TO_REST)
    draft(page).fill("a\nb\nc")  # the text area grows, so the log shrinks
    assert page.evaluate(COME_TO_REST) == below
    wheel(page, -20)
    page.wait_for_function("(below) => document.querySelector('#log').scrollTop < below", arg=below)
    expect(to_end(page)).to_be_hidden()
