"""The layout of the pages in each state: contrast, clipping and touch targets, in both themes and at every width.

A measurement returns a list of violations, so that a failed test shows what to fix.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.axe import axe
from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import DEFAULT, alert, ask, call, last_response, press, turn_id, wait_until_ended, write
from tests.end_to_end.conftest import Serve, check_clean_exit
from tests.end_to_end.preloaded import Preloaded
from tests.end_to_end.process import ServerProcess

PHONE, DESK, WALL, ZOOMED = (360, 640), (1280, 800), (3840, 2160), (320, 256)
PAGE_COLOURS = {"light": "rgb(246, 248, 250)", "dark": "rgb(15, 21, 27)"}

RICH = """# Streaming in short

A model says **one token** after *another*, and the page shows each as it comes: `data: {"content": "…"}` and so on,
until [the specification](https://html.spec.whatwg.org/multipage/server-sent-events.html) says that it is over.

## What to mind

- Characters that a packet has cut
- An end without its mark
  - which is an error, never an answer
1. First connect
2. Then read

- [x] Stop
- [ ] Regenerate

> Whoever reads along wants to see the first word soon, and then no more than a steady pace.

| Route | Method | Answers | Status |
|:------|:------:|---------|-------:|
| /chat | POST | a turn of a conversation, as events | 200 |
| /history | GET | the messages of a conversation | 404 |

```python
async def tokens(response: Response) -> AsyncIterator[str]:
    async for event in events(response):
        yield json.loads(event.data)["content"]
```

---

### The end

That is all.
"""

HARD = f"""A word of {"three-hundred-letters-without-a-place-to-break".replace("-", "") * 7}, and a bare link:
https://example.org/{"path/" * 60}

`{"inline_code_without_a_space" * 10}`

```
{"a line of code that goes on and on " * 12}
```

| {" | ".join(f"Column {n}" for n in range(12))} |
|{"---|" * 12}
| {" | ".join(f"a cell with words {n}" for n in range(12))} |

שלום עולם, זה משפט בעברית שהולך מימין לשמאל, ויש בו גם English words באמצע.

- פריט ראשון ברשימה
- פריט שני

> > > > - Deep in quotes and lists
> > > >   - {"deeper" * 30}
"""

TURNS = [
    {"when": {"last": "rich"}, "say": RICH},
    {"when": {"last": "half"}, "say": RICH, "sim": "gate=half@60"},
    {"when": {"last": {"contains": "hard"}}, "say": HARD},
    {"when": {"last": "wait"}, "say": "At last.", "sim": "gate=wait@0"},
    {"when": {"last": "break"}, "say": [{"text": "It began well, and then"}, {"error": "planted"}]},
    {"say": "Short and plain."},
]

QUESTIONS = [
    "How do I sort a list without a copy of it?",
    "A recipe for bread that rises overnight",
    "מה שלומך היום?",
    "Holidays",
    "x" * 90,
]

MEASURE = """() => {
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('[inert]');
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const name = (element) => `${element.localName}${element.id && `#${element.id}`}${[...element.classList]
    .map((each) => `.${each}`).join('')} ${JSON.stringify(element.textContent.trim().slice(0, 20))}`;
  const wrong = [];
  const report = (element, words) => wrong.push(`${name(element)} ${words}`);
  const MAY_SCROLL = 'pre, .table, textarea, input';
  const MAY_CUT = '.unseen, .pace, .title, .name, input';

  for (const element of all('body *')) {
    const { left, right } = element.getBoundingClientRect();
    const { overflowX } = getComputedStyle(element);
    const inScroller = element.parentElement.closest(MAY_SCROLL);
    if (!inScroller && !element.closest('svg') && (left < -0.5 || right > innerWidth + 0.5)) {
      report(element, `reaches from ${left} to ${right}`);
    }
    if (overflowX === 'visible' || element.scrollWidth <= element.clientWidth + 1) continue;
    if (['hidden', 'clip'].includes(overflowX)) {
      if (!element.matches(MAY_CUT)) report(element, 'is cut off');
    } else if (!element.matches(MAY_SCROLL)) report(element, 'scrolls sideways');
  }
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) wrong.push(`the page is ${root.scrollWidth} wide`);

  const layer = document.querySelector('dialog:modal') ?? document.querySelector('.menu[open]') ?? document;
  const isExempt = (element) => element.matches('a') && element.closest('.text');
  for (const target of all('button, summary, input, textarea, select, a[href]')) {
    const area = target.closest('label') ?? target;
    const { left, top, width, height } = area.getBoundingClientRect();
    if (!isExempt(target) && Math.min(width, height) < 43.99) report(target, `measures ${width} x ${height}`);
    if (!layer.contains(target) || target.closest('.log')) continue;
    const [x, y] = [left + width / 2, top + height / 2];
    const holds = (box) => x > box.left && x < box.right && y > box.top && y < box.bottom;
    let box = target;
    while (box && (getComputedStyle(box).overflowY === 'visible' || holds(box.getBoundingClientRect()))) {
      box = box.parentElement;
    }
    if (box || !holds({ left: 0, top: 0, right: innerWidth, bottom: innerHeight })) continue; // scrolled away
    const hit = document.elementFromPoint(x, y);
    if (hit && getComputedStyle(hit.closest('.bar') ?? hit).position === 'sticky') continue; // scrolled away below it
    if (!area.contains(hit)) report(target, `is covered by ${hit && name(hit)}`);
  }
  return wrong;
}"""

IN_VIEW = """() => {
  const boxes = ['.bar', '.stage', '.foot', '#composer']
    .map((each) => [each, document.querySelector(each).getBoundingClientRect()]);
  const [bar, stage, foot, composer] = boxes.map(([, box]) => box);
  const wrong = boxes.filter(([, box]) => box.top < -0.5 || box.bottom > innerHeight + 0.5).map(([each]) => each);
  if (bar.bottom > stage.top + 0.5 || stage.bottom > foot.top + 0.5) wrong.push('overlap');
  if (stage.height < 100) wrong.push(`a stage of ${stage.height}`);
  if (composer.top < foot.top) wrong.push('#composer above .foot');
  const page = document.querySelector('.page');
  if (page.scrollHeight > page.clientHeight + 1) wrong.push(`${page.scrollHeight} of .page scrolls away`);
  return wrong;
}"""


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded, bundled: Path) -> Iterator[ServerProcess]:
    """A server with a scenario for each question, and some conversations; each test uses a conversation of its own."""
    preloaded.web = bundled
    server = served(tmp_path_factory.mktemp("talking"), preloaded)
    for number, question in enumerate(QUESTIONS):
        store_turn(server, question, conversation=f"old-{number}")
    yield server
    check_clean_exit(server)


def served(folder: Path, preloaded: Preloaded) -> ServerProcess:
    script = folder / "turns.json"
    script.write_text(json.dumps(TURNS), encoding="utf-8")
    environment = {"SIM": f"script={script},gap=100us", "DRAIN_TIMEOUT": "100ms"}
    return ServerProcess(folder, environment=environment, preloaded=preloaded)


def store_turn(server: ServerProcess, question: str, *, conversation: str = DEFAULT) -> None:
    """Runs a complete turn by HTTP."""
    body = {"messages": [{"role": "user", "content": question}], "stream": False, "conversation": conversation}
    status, found = call(server, "/chat", method="POST", body=body)
    assert status == 200, found


def sound(page: Page) -> list[str]:
    """The violations in the current page: of axe's rules, small touch targets, clipped text."""
    found: list[str] = page.evaluate(MEASURE)
    return found + axe(page)


def look(page: Page, theme: str, size: tuple[int, int]) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_function("(width) => innerWidth === width", arg=size[0])
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


def refuse(page: Page, path: str, status: int, **headers: str) -> None:
    """Responds to requests for `path` with an error from now on."""

    def answered(route: Route) -> None:
        route.fulfill(status=status, headers=headers, content_type="application/problem+json", body="{}")

    page.route(f"**{path}", answered)


# The states of the chat page


def empty(page: Page) -> None:
    expect(page.locator("#empty")).to_be_visible()


def waiting(page: Page) -> None:
    ask(page, "wait")
    turn_id(page)
    expect(last_response(page)).to_have_attribute("data-state", "waiting")


def streaming(page: Page) -> None:
    ask(page, "half")
    expect(last_response(page).get_by_role("heading", name="What to mind")).to_be_attached()


def rich(page: Page) -> None:
    ask(page, "rich")
    wait_until_ended(page)


def hard(page: Page) -> None:
    ask(page, f"hard: {'unbreakable' * 40} {'מימין לשמאל ' * 8}")
    wait_until_ended(page)


def stopped(page: Page) -> None:
    streaming(page)
    page.locator("#stop").click()
    wait_until_ended(page, "stopped")


def failed(page: Page) -> None:
    ask(page, "break")
    wait_until_ended(page, "failed")
    expect(alert(page)).not_to_be_empty()


def outside_the_context(page: Page) -> None:
    rich(page)

    def newest(route: Route) -> None:
        first = page.locator(".message").last.get_attribute("data-turn")
        route.fulfill(json={"first": first, "messages": 2, "max_messages": 2, "max_tokens": 4000, "max_stored": 1000})

    page.route("**/chat/context", newest)
    ask(page, "anything")
    wait_until_ended(page)
    expect(page.locator(".outside")).to_be_visible()
    expect(page.locator("[data-outside]")).to_have_count(2)


def counting_down(page: Page) -> None:
    refuse(page, "/chat", 429, **{"Retry-After": "90"})
    ask(page, "anything")
    expect(page.locator("#notice-left")).not_to_be_empty()


def key_dialog(page: Page) -> None:
    refuse(page, "/history?*", 401)
    page.reload()
    expect(page.locator("#key-dialog")).to_be_visible()


def menu(page: Page) -> None:
    rich(page)
    page.locator("#menu summary").click()
    expect(page.locator("#rename")).to_be_visible()


def rename_dialog(page: Page) -> None:
    menu(page)
    page.locator("#rename").click()
    expect(page.locator("#rename-dialog")).to_be_visible()


def delete_dialog(page: Page) -> None:
    menu(page)
    page.locator("#delete").click()
    expect(page.locator("#delete-dialog")).to_be_visible()


def edit_form(page: Page) -> None:
    ask(page, "anything")
    wait_until_ended(page)
    press(page, "Edit", of=0)
    expect(page.get_by_role("button", name="Save and send")).to_be_visible()


def long_draft(page: Page) -> None:
    rich(page)
    write(page, "A line of a question.\n" * 60)


STATES: list[Callable[[Page], None]] = [
    empty,
    waiting,
    streaming,
    rich,
    hard,
    stopped,
    failed,
    outside_the_context,
    counting_down,
    key_dialog,
    menu,
    rename_dialog,
    delete_dialog,
    edit_form,
    long_draft,
]


def opened(open_page: Pages, server: ServerProcess, state: Callable[[Page], None], **options: Any) -> Page:
    """A page with a new conversation, in that state."""
    open_page.allow("status of 4")
    page = open_page(server, f"/web?conversation=look-{state.__name__}-{id(open_page)}", **options)
    state(page)
    return page


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_each_state_has_no_violation_on_phone_and_desktop_in_both_themes(
    open_page: Pages, talking: ServerProcess, artefact: Artefact, state: Callable[[Page], None]
) -> None:
    page = opened(open_page, talking, state, viewport=PHONE)
    for theme, size in [("light", PHONE), ("dark", DESK)]:
        look(page, theme, size)
        assert sound(page) == [], (theme, size)
        assert page.evaluate(IN_VIEW) == [], (theme, size)
        page.screenshot(path=artefact(f"state-{state.__name__.replace('_', '-')}-{theme}.png"))


def test_open_drawer_has_no_violation_in_both_themes(
    open_page: Pages, talking: ServerProcess, artefact: Artefact
) -> None:
    page = open_page(talking, viewport=PHONE, reduced_motion="reduce")
    expect(page.locator("#sidebar")).to_be_hidden()
    page.locator("#sidebar-open").click()
    expect(page.get_by_role("button", name="Hide")).to_be_visible()
    for theme in ("light", "dark"):
        look(page, theme, PHONE)
        assert page.evaluate(MEASURE) == [], theme
        # With an open drawer the page is inert, including the landmark and the heading that axe requires.
        assert axe(page, without=["landmark-one-main", "page-has-heading-one"]) == [], theme
        page.screenshot(path=artefact(f"state-drawer-{theme}.png"))


def test_rich_response_has_no_violation_at_any_width(open_page: Pages, talking: ServerProcess) -> None:
    page = opened(open_page, talking, rich)
    for theme, size in [("dark", PHONE), ("light", DESK), ("light", WALL), ("dark", WALL)]:
        look(page, theme, size)
        assert sound(page) == [], (theme, size)
        assert page.evaluate(IN_VIEW) == [], (theme, size)
        width = page.locator(".assistant .text").evaluate("(text) => text.getBoundingClientRect().width")
        em = page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
        assert width <= 48 * em  # about 80 characters: longer lines are hard to read
        assert width >= min(0.7 * size[0], 40 * em)


@pytest.mark.parametrize("state", [hard, failed, edit_form, rename_dialog], ids=lambda state: state.__name__)
def test_at_400_percent_all_content_is_reached_by_vertical_scrolling(
    open_page: Pages, talking: ServerProcess, state: Callable[[Page], None]
) -> None:
    page = opened(open_page, talking, state, viewport=ZOOMED)
    assert sound(page) == []
    last = page.locator("#rename-form .main" if state is rename_dialog else "#send")
    page.locator("#rename-dialog" if state is rename_dialog else ".foot").hover()
    page.mouse.wheel(0, 500)
    expect(last).to_be_in_viewport(ratio=1)
    page.mouse.wheel(0, -500)
    if state is not rename_dialog:
        expect(page.locator("#sidebar-open")).to_be_in_viewport(ratio=1)


def test_many_conversations_scroll_in_their_list(
    open_page: Pages, tmp_path: Path, artefact: Artefact, serve: Serve
) -> None:
    server = serve(SIM="gap=100us,tokens=1")
    for number in range(40):
        store_turn(server, f"{number} {QUESTIONS[number % len(QUESTIONS)]}", conversation=f"many-{number}")
    page = open_page(server)
    expect(page.locator("#conversations li")).to_have_count(40)
    assert sound(page) == []
    page.screenshot(path=artefact("state-many-conversations-light.png"))
    page.get_by_role("link", name="Dashboard").click(trial=True)
    page.locator("#conversations li").last.click()
    expect(page.locator("#title")).to_have_text(f"0 {QUESTIONS[0]}")


# Details


def test_buttons_are_inside_the_edit_form(open_page: Pages, talking: ServerProcess) -> None:
    page = opened(open_page, talking, edit_form)
    form, *buttons = page.evaluate(
        "[...document.querySelectorAll('.edit, .edit button')].map((each) => each.getBoundingClientRect().toJSON())"
    )
    assert len(buttons) == 2
    assert all(form["left"] <= button["left"] and button["right"] <= form["right"] for button in buttons)
    assert buttons[1]["right"] == pytest.approx(form["right"], abs=1)
    assert buttons[1]["left"] - buttons[0]["right"] >= 4


BROKEN_WORDS = """() => [...document.querySelectorAll('.table :is(th, td)')].flatMap((cell) => {
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  const broken = [];
  while (texts.nextNode()) {
    for (const { index, 0: word } of texts.currentNode.data.matchAll(/[\\w/]+/g)) {
      const range = document.createRange();
      range.setStart(texts.currentNode, index);
      range.setEnd(texts.currentNode, index + word.length);
      if (new Set([...range.getClientRects()].map(({ top }) => top)).size > 1) broken.push(word);
    }
  }
  return broken;
})"""


def scrolls_and_breaks_no_word(page: Page) -> None:
    assert page.evaluate(BROKEN_WORDS) == []
    width, room = page.locator(".table").evaluate("(table) => [table.scrollWidth, table.clientWidth]")
    assert width > room


def test_table_is_aligned_and_scrolls_and_the_composer_stays_above_a_phone_keyboard(
    open_page: Pages, talking: ServerProcess
) -> None:
    page = opened(open_page, talking, rich, viewport=PHONE)
    styles = page.evaluate("""() => [...document.querySelectorAll('.table tr:last-child > *')].map((cell) => {
      const { textAlign, color, fontWeight } = getComputedStyle(cell);
      return [textAlign.replace('start', 'left').replace('end', 'right'), color, fontWeight];
    })""")
    head, row = styles[:4], styles[4:]
    assert [align for align, *_ in row] == ["left", "center", "left", "right"]
    assert [align for align, *_ in head] == ["left", "center", "left", "right"]
    assert len({(color, weight) for _, color, weight in row}) == 1
    assert len({(color, weight) for _, color, weight in head}) == 1
    scrolls_and_breaks_no_word(page)
    look(page, "light", (360, 330))
    assert page.evaluate(IN_VIEW) == []


def test_hard_response_scrolls_its_table_and_directs_each_text_by_its_script(
    open_page: Pages, talking: ServerProcess
) -> None:
    page = opened(open_page, talking, hard, viewport=PHONE)
    scrolls_and_breaks_no_word(page)
    for block in page.locator(".assistant .text :is(p, ul)", has_text="פריט").or_(page.get_by_text("שלום")).all():
        assert block.evaluate("(block) => getComputedStyle(block).direction") == "rtl"
    assert page.locator(".code pre").evaluate("(pre) => getComputedStyle(pre).direction") == "ltr"
    assert page.get_by_text("A word of").evaluate("(block) => getComputedStyle(block).direction") == "ltr"


# Without scripts, and before they are loaded


@contextmanager
def held(open_page: Pages, server: ServerProcess, path: str, what: str, *, theme: str) -> Iterator[Page]:
    """The page at `path`, whose requests for files that match `what` hang."""
    page = open_page(server, "/livez", color_scheme=theme)
    open_page.allow("favicon.ico", "ERR_FAILED")
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    page.route(re.compile(f"/web/{what}"), hold)
    page.goto(f"http://127.0.0.1:{server.port}/{path}", wait_until="commit")
    yield page
    assert waiting
    for route in waiting:
        route.abort()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", ["web", "board"])
def test_first_paint_has_the_themes_background(open_page: Pages, talking: ServerProcess, theme: str, path: str) -> None:
    with held(open_page, talking, path, "(app|dashboard).js", theme=theme) as page:
        page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == PAGE_COLOURS[theme]
        assert page.locator("#conversations, #tiles").inner_html() == ""  # no script has run yet


@pytest.mark.parametrize("path", ["web", "board"])
def test_before_the_style_comes_the_canvas_is_the_themes(open_page: Pages, talking: ServerProcess, path: str) -> None:
    with held(open_page, talking, path, "(?!theme)", theme="dark") as page:
        page.wait_for_function("() => document.querySelector('link[rel=stylesheet]')")
        page.wait_for_function("() => getComputedStyle(document.documentElement).color === 'rgb(255, 255, 255)'")
        assert page.evaluate("document.styleSheets.length") == 0


@pytest.mark.parametrize("path", ["/web", "/board"])
def test_page_without_javascript_shows_a_notice(open_page: Pages, talking: ServerProcess, path: str) -> None:
    page = open_page(talking, path, java_script_enabled=False)
    noscript = page.locator("noscript p")
    expect(noscript).to_have_text("This page needs JavaScript.")
    expect(noscript).to_be_in_viewport()


# Preferences of the operating system


MOVING = "document.getAnimations().length"


def test_reduced_motion_disables_all_animations(open_page: Pages, talking: ServerProcess) -> None:
    page = opened(open_page, talking, waiting, reduced_motion="reduce", viewport=PHONE)
    assert page.evaluate(MOVING) == 0
    page.evaluate("document.querySelector('#sidebar-open').click()")
    assert page.evaluate(MOVING) == 0
    page.emulate_media(reduced_motion="no-preference")
    page.wait_for_function(f"() => {MOVING} > 0")


UNBORDERED = """() => [...document.querySelectorAll('button, input, textarea, summary')].filter((each) => {
  if (!each.checkVisibility({ visibilityProperty: true })) return false;
  const box = each.matches('#draft') ? each.closest('form') : each;
  const { borderTopWidth, borderTopColor, outlineStyle } = getComputedStyle(box);
  const { backgroundColor } = getComputedStyle(document.body);
  const isSeen = parseFloat(borderTopWidth) >= 1 && ![backgroundColor, 'rgba(0, 0, 0, 0)'].includes(borderTopColor);
  return !isSeen && !each.matches('summary, .copy, .wrap, .action');
}).map((each) => each.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("state", [rich, delete_dialog, edit_form, failed], ids=lambda state: state.__name__)
def test_in_forced_colours_buttons_keep_their_edges(
    open_page: Pages, talking: ServerProcess, artefact: Artefact, state: Callable[[Page], None]
) -> None:
    page = opened(open_page, talking, state, forced_colors="active")
    assert page.evaluate(UNBORDERED) == []
    page.screenshot(path=artefact(f"forced-{state.__name__.replace('_', '-')}.png"))


CARET = "getComputedStyle(document.querySelector('.message:last-child .text'), '::before').backgroundColor"


def test_caret_is_visible_in_forced_colours(open_page: Pages, talking: ServerProcess) -> None:
    page = opened(open_page, talking, waiting, forced_colors="active")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert page.evaluate(CARET) not in {ground, "rgba(0, 0, 0, 0)"}


# Screenshots


def test_pictures_of_the_pages(open_page: Pages, talking: ServerProcess, artefact: Artefact) -> None:
    store_turn(talking, "rich", conversation="pictures")
    page = open_page(talking, "/web?conversation=pictures")
    wait_until_ended(page)
    for theme, name, size in [
        (theme, name, size) for theme in ("light", "dark") for name, size in (("chat", DESK), ("chat-phone", PHONE))
    ]:
        look(page, theme, size)
        page.locator("#log").evaluate("(log) => log.scrollTo(0, 0)")
        expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
        page.screenshot(path=artefact(f"{name}-{theme}.png"))
        page.locator("#to-end").click()
        page.screenshot(path=artefact(f"{name}-end-{theme}.png"))


# The dashboard


def test_dashboard_has_no_violation_at_any_width_in_both_themes(
    open_page: Pages, talking: ServerProcess, artefact: Artefact
) -> None:
    page = open_page(talking, "/board")
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#requests").get_by_text("200 ok").first).to_be_visible()
    page.get_by_role("button", name="Tables").click()
    page.locator(".sim summary").click()
    page.locator("#sim").fill("gap=soon")
    page.locator("#sim").press("Enter")
    open_page.expect("status of 400")
    expect(page.locator("#sim-error")).not_to_be_empty()
    for theme, size in [("light", DESK), ("dark", PHONE), ("dark", DESK), ("light", WALL), ("light", ZOOMED)]:
        look(page, theme, size)
        assert sound(page) == [], (theme, size)
        page.screenshot(path=artefact(f"dashboard-{size[0]}-{theme}.png"), full_page=True)


def test_dashboard_buttons_keep_their_borders_in_forced_colors(
    open_page: Pages, talking: ServerProcess, artefact: Artefact
) -> None:
    page = open_page(talking, "/board", forced_colors="active")
    expect(page.locator("#state")).to_have_text("Live")
    assert page.evaluate(UNBORDERED) == []
    page.screenshot(path=artefact("forced-dashboard.png"))
