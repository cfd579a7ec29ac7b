"""Markdown of responses in the real page, when complete and while streaming."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import axe
from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import (
    ask,
    complete_turn,
    gate,
    last_response,
    response_text,
    status,
    wait_until_ended,
    wait_until_loaded,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

RICH = """# Pancakes

A **quick** batch for *two*, ~~three~~ people: see [the recipe](https://example.org/pan?cakes=2 "With pictures") or
<https://example.org/>, write to <mailto:cook@example.org>.

## What you need

- flour
  - white **or** brown
    1. sieve it
    2. weigh it
- milk

3. third
4. fourth

- [ ] buy eggs
- [x] buy `sugar`

| what  | how much |   why |
|:------|:--------:|------:|
| flour | 200 g    | *all* |
| milk  | 0.3 l    |       |

> Never stir too long.
>
> - A cook

```python
    # Slowly!
def stir(bowl: Bowl) -> None:
\tfor _ in range(3):  # not more
        bowl.turn()  \n

    return "<b>**done**</b> & 🥞"
```

![A pancake](https://example.org/pancake.png)

---

Enjoy."""

CODE = """    # Slowly!
def stir(bowl: Bowl) -> None:
\tfor _ in range(3):  # not more
        bowl.turn()  \n

    return "<b>**done**</b> & 🥞\""""

COLOURED = [["span"]] * 9
"""The colours of CODE: two comments, five keywords, a number and a string."""

LINK = {"target": "_blank", "rel": "noopener noreferrer nofollow", "referrerpolicy": "no-referrer"}
CLIPBOARD = ["clipboard-read", "clipboard-write"]

NARROW = f"""{"Unbreakable" * 30} and https://example.org/{"long/" * 60}

| {" | ".join(f"column {number}" for number in range(12))} |
|{"---|" * 12}
| {" | ".join(["cell"] * 12)} |

```
{"a line of code that does not end; " * 10}
```

- {"deep " * 40}
  - {"`code-without-a-break`" * 10}

> > > {"quoted " * 40}
"""

# The content of an element as nested lists of tags and texts.
_OUTLINE = """(root) => {
  const outline = (element) => [element.localName, ...[...element.children].map(outline)];
  return [...root.children].map(outline);
}"""

# Defines `flicker`, which compares the content of a box at each call of `look`. Violations: shown text that disappears
# or moves to other elements, visible Markdown syntax, and a box that shrinks.
_WATCH = r"""() => {
  globalThis.flicker = (box, wrong = []) => {
    const RAW = /\*\*|~~|``|\||\]\(|\[[ x]\]|https?:$|^ *(#+ |>|[-*+] |\d+\. )/;
    let before = [];
    let height = 0;
    const parts = () => {
      const found = [];
      const walk = (node, around) => node.childNodes.forEach((child) => {
        if (child.nodeType !== Node.TEXT_NODE) walk(child, `${around}/${child.localName}`);
        else found.push(...[...child.data].map((character) => `${character} ${around}`));
      });
      walk(box, '');
      return found;
    };
    const report = (what, now, at = 0) => wrong.push(`${what}: ${now.slice(at, at + 20).join('')}`.slice(0, 400));
    const look = () => {
      const now = parts();
      const at = before.findIndex((part, i) => part !== now[i]);
      if (at >= 0) report(`${before.slice(at, at + 20).join('')} became`, now, at);
      before = now;
      const texts = [...box.querySelectorAll('p, h3, h4, td, th')].map((element) => element.textContent);
      texts.filter((text) => RAW.test(text)).forEach((text) => wrong.push(`raw: ${text}`));
      const shrunk = height - box.getBoundingClientRect().height;
      if (shrunk > 1) wrong.push(`lower by ${shrunk} after ${now.slice(-20).map((part) => part[0]).join('')}`);
      height -= shrunk;
    };
    return { look, wrong };
  };
}"""

# Watches the next response at each change from now on; `seen` has the violations and the number of changes.
_OBSERVE = """() => {
  const messages = document.querySelector('#messages');
  const wrong = [];
  let watched = null;
  globalThis.seen = { wrong, looks: 0 };
  new MutationObserver(() => {
    const box = messages.querySelector('.assistant .text');
    if (!box) return;
    watched ??= flicker(box, wrong);
    watched.look();
    seen.looks += 1;
  }).observe(messages, { childList: true, subtree: true, characterData: true });
}"""

# The state of a response with this text, a frame later, and the visible text.
_DRAWN = """async (text) => {
  const { ResponseView } = await import('/web/message.js');
  const answer = new ResponseView('turn_0');
  document.querySelector('#messages').append(answer.element);
  answer.append(text);
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  return [answer.element.dataset.state, answer.element.querySelector('.text').textContent];
}"""

_STYLES = "(elements, name) => elements.map((element) => getComputedStyle(element)[name])"


def script(folder: Path, *texts: str) -> str:
    """Settings of the simulator for these texts, one per question."""
    path = folder / "markdown.json"
    path.write_text(json.dumps([{"say": text, "times": 1} for text in texts]), encoding="utf-8")
    return f"script={path}"


def answered(open_page: Pages, server: ServerProcess, **options: Any) -> Page:
    page = open_page(server, **options)
    complete_turn(page, "Tell me.")
    return page


@pytest.fixture
def rich(serve: Serve, tmp_path: Path) -> ServerProcess:
    """A server whose first response is RICH."""
    return serve(SIM=f"{script(tmp_path, RICH)},gap=0ms")


def attributes(locator: Locator) -> dict[str, str]:
    found: dict[str, str] = locator.evaluate(
        "(element) => Object.fromEntries([...element.attributes].map(({ name, value }) => [name, value]))"
    )
    return found


# Complete responses


def test_rich_response_has_the_elements_and_the_text_of_its_markdown(
    open_page: Pages, rich: ServerProcess, artefact: Artefact
) -> None:
    page = open_page(rich, viewport=(1280, 1900))
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    complete_turn(page, "Tell me.")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.screenshot(path=artefact(f"markdown-{scheme}.png"))
    assert response_text(page).evaluate(_OUTLINE) == [
        ["h3"],
        ["p", ["strong"], ["em"], ["del"], ["a"], ["a"], ["a"]],
        ["h4"],
        ["ul", ["li", ["p"], ["ul", ["li", ["p", ["strong"]], ["ol", ["li", ["p"]], ["li", ["p"]]]]]], ["li", ["p"]]],
        ["ol", ["li", ["p"]], ["li", ["p"]]],
        ["ul", ["li", ["p"]], ["li", ["p", ["code"]]]],
        [
            "div",
            [
                "table",
                ["thead", ["tr", ["th"], ["th"], ["th"]]],
                ["tbody", ["tr", ["td"], ["td"], ["td", ["em"]]], ["tr", ["td"], ["td"], ["td"]]],
            ],
        ],
        ["blockquote", ["p"], ["ul", ["li", ["p"]]]],
        ["figure", ["figcaption", ["span"], ["button"], ["button"]], ["pre", ["code", ["span", *COLOURED]]]],
        ["p", ["a"]],
        ["hr"],
        ["p"],
    ]
    assert axe(page, within="main") == []
    has_the_written_text(response_text(page))
    has_aligned_cells_of_one_look(response_text(page))
    has_safe_links_and_no_images(response_text(page))
    assert [url for url in requested if "example.org" in url] == []
    before = response_text(page).inner_html()
    page.reload()
    expect(last_response(page)).to_have_attribute("data-state", "complete")
    assert response_text(page).inner_html() == before


def has_the_written_text(response: Locator) -> None:
    expect(response.locator("h3")).to_have_text("Pancakes")
    expect(response.locator("h4")).to_have_text("What you need")
    expect(response.locator("ol").nth(1)).to_have_attribute("start", "3")
    assert response.locator("li.task").all_inner_texts() == ["☐ buy eggs", "☑ buy sugar"]
    assert response.locator("td").all_inner_texts()[:3] == ["flour", "200 g", "all"]
    expect(response.locator("figcaption .language")).to_have_text("python")
    assert response.locator("pre code").text_content() == CODE
    expect(response.locator("p").last).to_have_text("Enjoy.")


def has_aligned_cells_of_one_look(response: Locator) -> None:
    for row in ("thead tr", "tbody tr:first-child"):
        assert response.locator(f"{row} > *").evaluate_all(_STYLES, "textAlign") == ["start", "center", "right"]
    for style in ("color", "fontWeight", "paddingLeft", "paddingRight"):
        looks = response.locator("tbody tr:first-child > *").evaluate_all(_STYLES, style)
        assert len(set(looks)) == 1, f"{style}: {looks}"


def has_safe_links_and_no_images(response: Locator) -> None:
    assert [attributes(link) for link in response.locator("a").all()] == [
        {"href": "https://example.org/pan?cakes=2", "title": "With pictures", **LINK},
        {"href": "https://example.org/", **LINK},
        {"href": "mailto:cook@example.org", **LINK},
        {"href": "https://example.org/pancake.png", **LINK},
    ]
    expect(response.locator("a").last).to_have_text("A pancake")
    assert response.locator("img").count() == 0


def test_code_is_copied_unchanged(open_page: Pages, rich: ServerProcess) -> None:
    page = answered(open_page, rich, permissions=CLIPBOARD)
    button = response_text(page).locator("figure .copy")
    expect(button).to_have_accessible_name("Copy")
    button.click()
    expect(button).to_have_text("Copied")
    expect(status(page)).to_have_text("Copied")
    expect(button).to_have_text("Copy")
    expect(status(page)).to_have_text("Complete")
    assert page.evaluate("navigator.clipboard.readText()") == CODE


def test_long_content_does_not_widen_a_narrow_page(
    open_page: Pages, serve: Serve, artefact: Artefact, tmp_path: Path
) -> None:
    page = answered(open_page, serve(SIM=f"{script(tmp_path, NARROW)},gap=0ms"), viewport=(360, 640))
    page.screenshot(path=artefact("markdown-narrow.png"))
    for box in ("html", "#page", "#log", "#messages"):
        assert page.locator(box).evaluate("(box) => box.scrollWidth - box.clientWidth") <= 0, box
    for box in ("pre", ".table"):  # these scroll on their own, also by keyboard
        area = response_text(page).locator(box)
        assert area.evaluate("(box) => { box.scrollLeft = 100; return box.scrollLeft; }") == 100, box
        assert area.get_attribute("tabindex") == "0"


def test_markdown_text_direction_follows_its_script(open_page: Pages, serve: Serve, tmp_path: Path) -> None:
    text = "שלום **עולם**\n\nHello\n\n- פריט\n\n```\nשלום\n```"
    page = answered(open_page, serve(SIM=f"{script(tmp_path, text)},gap=0ms"))
    directions = response_text(page).locator("> p, > ul, pre").evaluate_all(_STYLES, "direction")
    assert directions == ["rtl", "ltr", "rtl", "ltr"]


# While streaming


def test_streamed_markdown_replaces_no_element_and_never_flickers(
    open_page: Pages, serve: Serve, tmp_path: Path
) -> None:
    page = open_page(serve(SIM=f"{script(tmp_path, RICH)},gap=5ms"))
    page.evaluate(_WATCH)
    page.evaluate(_OBSERVE)
    complete_turn(page, "Tell me.")
    assert page.evaluate("seen.wrong") == []
    assert page.evaluate("seen.looks") > 3
    assert response_text(page).locator("pre code").text_content() == CODE


def test_waiting_indicator_stays_until_there_is_visible_text(open_page: Pages, serve: Serve) -> None:
    page = wait_until_loaded(open_page(serve()))
    drawn = [
        page.evaluate(_DRAWN, start) for start in ("A", "- A", "**", "`", "| a ", "[the recipe](", "- ", "```", "1")
    ]
    assert drawn[:2] == [["streaming", "A"], ["streaming", "A"]]
    assert drawn[2:] == [["waiting", ""]] * 7


PLANTED_FLICKER = {
    "box.append('ab'); look(); box.textContent = 'ac';": "b  became: c",
    "box.append('ab'); look(); box.innerHTML = '<em>ab</em>';": "a b  became: a /em",
    "box.innerHTML = '<p>a</p><p>b</p>'; look(); box.lastChild.remove();": "b /p became",
    "box.innerHTML = '<p>**a</p>';": "raw: **a",
    "box.innerHTML = '<p>| a</p>';": "raw: | a",
    "box.innerHTML = '<p>- a</p>';": "raw: - a",
    "box.innerHTML = '<p>a</p>'; look(); box.style.height = '5px';": "lower by",
}


def test_planted_flicker_is_reported(open_page: Pages, serve: Serve) -> None:
    page = wait_until_loaded(open_page(serve(), bypass_csp=True))
    page.evaluate(_WATCH)
    for act, what in PLANTED_FLICKER.items():
        wrong = page.evaluate(f"""() => {{
            const box = document.querySelector('#messages').appendChild(document.createElement('div'));
            box.className = 'text';
            const {{ look, wrong }} = flicker(box);
            {act}
            look();
            return wrong;
        }}""")
        assert [each for each in wrong if each.startswith(what)], f"{act}: {wrong}"


FORMULAS = r"""Both \(a_1 * b_2 * c\) and $x_i*y_i*z$ hold:

\[
  \begin{pmatrix} a & b \\
- c & d \end{pmatrix}
\]"""


def test_formulas_are_shown_and_copied_as_they_were_written(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM="text=echo,gap=1ms"))
    complete_turn(page, FORMULAS)
    expect(response_text(page).locator(".math")).to_have_count(3)
    expect(response_text(page).locator("em, ul, li")).to_have_count(0)
    copied = page.evaluate(
        """() => {
          getSelection().selectAllChildren(document.querySelector('.assistant .text'));
          return getSelection().toString();
        }"""
    )
    assert copied.strip() == FORMULAS


# Code


LONG = "def f(x):\n" + "".join(f"    x += {number}  # {'long ' * 40}.\n" for number in range(60))


def test_code_is_highlighted_during_the_response_with_readable_colors(
    open_page: Pages, serve: Serve, artefact: Artefact, tmp_path: Path
) -> None:
    server = serve(SIM=f"{script(tmp_path, RICH, RICH)},gap=0ms,gate=hold@{len(RICH.split()) - 11}")
    for scheme in ("light", "dark"):
        page = open_page(server, color_scheme=scheme, viewport=(1280, 1500))
        ask(page, "Tell me.")
        for kind, text in {"comment": "# Slowly!\n", "keyword": "def", "number": "3"}.items():
            expect(response_text(page).locator(f".{kind}").first).to_have_text(text)
        gate(server, "hold")
        wait_until_ended(page)
        colours = response_text(page).locator(".comment, .string, .number, .keyword").evaluate_all(_STYLES, "color")
        assert len(set(colours)) == 4, scheme
        assert axe(page, within="figure") == []
        response_text(page).locator("figure").screenshot(path=artefact(f"code-{scheme}.png"))
        gate(server, "hold", open=False)


@pytest.mark.parametrize("viewport", [(1280, 600), (360, 640)])
def test_header_of_a_long_block_stays_in_view_and_wrap_breaks_its_lines(
    open_page: Pages, serve: Serve, artefact: Artefact, tmp_path: Path, viewport: tuple[int, int]
) -> None:
    page = open_page(
        serve(SIM=f"{script(tmp_path, f'```python{chr(10)}{LONG}```')},gap=0ms"),
        viewport=viewport,
        permissions=CLIPBOARD,
    )
    complete_turn(page, "Tell me.")
    log, header = page.locator("#log"), response_text(page).locator("figcaption")
    page.wait_for_function("() => document.querySelector('#to-end').hidden")
    log.evaluate("(log) => { log.scrollTop = log.scrollHeight / 2; }")
    expect(header.locator(".language")).to_be_in_viewport()
    assert header.bounding_box()["y"] == pytest.approx(log.bounding_box()["y"], abs=1)  # type: ignore[index]
    page.screenshot(path=artefact(f"code-{viewport[0]}.png"))
    pre = response_text(page).locator("pre")
    assert pre.evaluate("(pre) => pre.scrollWidth > pre.clientWidth")
    header.get_by_role("button", name="Wrap").click()
    expect(header.get_by_role("button", name="Wrap")).to_have_attribute("aria-pressed", "true")
    assert pre.evaluate("(pre) => pre.scrollWidth <= pre.clientWidth")
    header.get_by_role("button", name="Copy").press("Enter")
    expect(status(page)).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == LONG.removesuffix("\n")
    assert axe(page, within="figure") == []
