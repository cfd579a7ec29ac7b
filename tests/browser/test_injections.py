"""Script and markup injection, wherever the pages show text: it must not run, load anything, or imitate the page.

The Content-Security-Policy would block most of it. Everything is tested without the policy, because the page must be
safe without it. The policy allows nothing more, so only messages are also tested with it, in test_injection_count.py.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import alert, complete_turn, contents, message, wait_until_loaded
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

SOURCE = Path(__file__).parents[1] / "web" / "injections.mjs"
MODEL = "<img src=x onerror=window.hacked=1>"
PARTS = 4  # every n-th form, where each needs a turn of its own; `make torture` has turns of all forms
EACH_CHARACTER = re.compile(r"\s*\S(?:\s+\Z)?")  # a scenario cannot have a piece of white space only
OWN_PATH = re.compile(
    r"/(web(/[\w.]+)?|chat(/defaults|/context|/turns/turn_\w+(/stop)?)?|v1/models|history|conversations)"
    r"(\?((variants=true&)?conversation=[\w.:@%-]+|announce=true&details=true|limit=1000))?"
)

# Injections that the watch must detect, and its reports.
PLANTED = {
    "<img src=x onerror=window.hacked=1>": "a script ran",
    "<img src=y onerror=alert(1)>": "dialog 1",
    "<img src=https://evil.example/x.png>": "request for https://evil.example/x.png",
    "<iframe src=javascript:void(0)></iframe>": "is a iframe",
    "<p onclick=alert(1)>": "p has onclick=alert(1)",
    "<p style=color:red>": "p has style=color:red",
    "<article class=mine>": "article has class=mine",
    "<a href=javascript:alert(1)>": "leads to javascript:alert(1)",
    "<a href=data:,x target=_blank rel=noopener>": "leads to data:,x",
    "<a href=/web target=_blank rel=noopener>": "a has href=/web",
    "<a href=https://a.b/ rel=noopener>": "leads to https://a.b/",
    "<a href=https://a.b/ target=_blank>": "leads to https://a.b/",
}

# The allowed elements of a message, their attributes, and all allowed values of these.
_ALLOWED = r"""{
  '*': { dir: /^(auto|ltr)$/ },
  article: { class: /^message (user|assistant)$/, 'data-state': /^(waiting|streaming|complete|interrupted)$/,
             'data-turn': /^(turn_\w+)?$/, 'data-reason': /^(stop|length)?$/, 'data-outside': /^$/ },
  h2: { class: /^who( model)?$/ },
  div: { class: /^(text|text folded|actions|table)$/, tabindex: /^0$/, role: /^group$/, 'aria-label': /^Table$/ },
  button: { type: /^button$/, class: /^(action|action unfold|action timing|copy|wrap)$/, 'data-copy': /^code$/,
            'data-action': /^(copy|edit|again|continue)$/, 'data-wrap': /^$/, 'aria-pressed': /^false$/,
            'aria-expanded': /^false$/ },
  time: { class: /^at$/, datetime: /^[\d:.TZ-]+$/, title: /^[\w ,:]+$/ },
  p: { class: /^(note|progress|outside)$/, 'aria-hidden': /^true$/ },
  span: { class: /^(unseen|lines|language|math|ended|model|pace|comment|string|number|keyword|rest)$/,
          translate: /^no$/, hidden: /^$/, 'aria-hidden': /^true$/ },
  figure: { class: /^code$/, 'aria-label': /^Code(: \S{1,40})?$/ },
  figcaption: {}, pre: { tabindex: /^0$/ }, code: {}, h3: {}, h4: {}, h5: {}, h6: {}, blockquote: {}, hr: {}, ul: {},
  ol: { start: /^\d{1,9}$/ }, li: { class: /^(loose|task|loose task)$/ }, table: {}, thead: {}, tbody: {}, tr: {},
  th: { class: /^(center|right)$/, scope: /^col$/ }, td: { class: /^(center|right)$/ },
  strong: {}, em: {}, del: {}, br: {},
  a: { href: /^(https?:\/\/|mailto:)[^\s"<>]+$/, title: /^/, target: /^_blank$/, rel: /^noopener noreferrer nofollow$/,
       referrerpolicy: /^no-referrer$/ },
}"""

# Defines `watch`, which returns a line for each violation in the page.
_WATCH = f"""() => {{
  const allowed = {_ALLOWED};
  const changing = '#messages > *, #conversations > *, #intro > *, #model > *, .outside';
  const others = () => [...document.querySelectorAll('*')].filter((element) => !element.closest(changing))
    .map(({{ localName }}) => localName).sort().join(' ');
  const before = others();
  const ofAttribute = (element, {{ name, value }}) =>
    (allowed[element.localName]?.[name] ?? allowed['*'][name])?.test(value) ? [] :
      [`${{element.localName}} has ${{name}}=${{value}}`];
  const isSafe = (link) => ['http:', 'https:', 'mailto:'].includes(link.protocol) && link.username === ''
    && link.relList.contains('noopener') && link.target === '_blank';
  const ofLink = (link) => (!link.hasAttribute('href') || isSafe(link) ? [] : [`leads to ${{link.href}}`]);
  const ofElement = (element) => [
    ...(Object.hasOwn(allowed, element.localName) ? [] : [`is a ${{element.localName}}`]),
    ...[...element.attributes].flatMap((attribute) => ofAttribute(element, attribute)),
    ...(element.localName === 'a' ? ofLink(element) : []),
  ];
  globalThis.watch = {{
    within: (root) => [...root.querySelectorAll('*')].flatMap(ofElement),
    page: () => [
      ...watch.within(document.querySelector('#messages')),
      ...(others() === before ? [] : ['the page has other elements than before']),
      ...('hacked' in window ? ['a script ran'] : []),
    ],
  }};
}}"""

# Sends each text by the form and waits for the end of the turn; returns the violations with their texts.
ASK = """async (json) => {
  const draft = document.querySelector('#draft');
  const stop = document.querySelector('#stop');
  const idle = () => stop.hidden || new Promise((resolve) => {
    const seen = new MutationObserver(() => stop.hidden && (seen.disconnect(), resolve()));
    seen.observe(stop, { attributes: true });
  });
  const wrong = [];
  for (const text of JSON.parse(json)) {
    draft.value = text;
    draft.dispatchEvent(new Event('input'));
    draft.form.requestSubmit();
    await idle();
    const last = [...document.querySelectorAll('#messages > *')].slice(-2);
    wrong.push(...last.flatMap(watch.within).map((what) => `${text}: ${what}`));
  }
  return [...wrong, ...watch.page()];
}"""

# Streams each text into a response, character by character; returns the violations with their texts.
_GROW = """async (json) => {
  const { ResponseView } = await import('/web/message.js');
  const { StreamingMarkdown } = await import('/web/streaming_markdown.js');
  const wrong = [];
  for (const text of JSON.parse(json)) {
    const { element } = new ResponseView('turn_0');
    const box = element.querySelector('.text');
    document.querySelector('#messages').append(element);
    const growing = new StreamingMarkdown(box);
    const found = new Set();
    for (const character of text.split('')) {
      growing.append(character);
      watch.within(box).forEach((what) => found.add(what));
    }
    growing.end();
    watch.within(box).forEach((what) => found.add(what));
    wrong.push(...[...found].map((what) => `${text}: ${what}`));
    await null;
  }
  await new Promise((resolve) => setTimeout(resolve)); // until load and error events have fired
  return [...wrong, ...watch.page()];
}"""

# The error messages, one for each text, which the server refuses.
_REFUSED = """async (json) => {
  const outcomes = [];
  for (const text of JSON.parse(json)) {
    const outcome = new Promise((resolve) => {
      const alert = document.querySelector('#notice-text');
      const seen = new MutationObserver(() => alert.textContent && (seen.disconnect(), resolve(alert.textContent)));
      seen.observe(alert, { childList: true, subtree: true, characterData: true });
    });
    const draft = document.querySelector('#draft');
    draft.value = text;
    draft.form.requestSubmit();
    outcomes.push(await outcome);
  }
  return outcomes;
}"""

# The violations in the list of conversations, and the names of these.
_LISTED = r"""() => {
  const list = document.querySelector('#conversations');
  const allowed = {
    ul: /^(class=group|aria-labelledby=group-today)$/,
    p: /^(class=group-name|id=group-today)$/,
    li: /^class=entry$/,
    button: /^(type=button|class=more|aria-label=Actions for [^]*|popovertarget=entry-menu)$/,
    a: /^(class=conversation|href=\?conversation=[\w.%-]+|data-id=c\d+|aria-current=page)$/,
    span: /^(class=(name|when)|dir=auto|data-at=[\d.]+)$/,
  };
  const wrong = [...list.querySelectorAll('*')].filter((element) => !allowed[element.localName]
    || [...element.attributes].some(({ name, value }) => !allowed[element.localName].test(`${name}=${value}`)));
  return [wrong.map(({ outerHTML }) => outerHTML), [...list.querySelectorAll('.name')].map((name) => name.textContent)];
}"""

# For the messages of one role: the number of elements in their texts, and the texts.
TEXTS = """(role) => {
  const texts = [...document.querySelectorAll(`#messages > .${role} > .text`)];
  return [texts.reduce((sum, text) => sum + text.childElementCount, 0), texts.map((text) => text.textContent)];
}"""


@pytest.fixture(scope="module")
def all_forms() -> str:
    """As JSON in ASCII, because one of them has a lone surrogate."""
    script = f"import {{ INJECTIONS }} from '{SOURCE.as_uri()}'; console.log(JSON.stringify(INJECTIONS));"
    outcome = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    return json.dumps(json.loads(outcome.stdout))


@pytest.fixture(scope="module")
def forms(all_forms: str) -> list[str]:
    """The forms that can be sent."""
    found = [
        form for form in json.loads(all_forms) if form.isprintable() or form.encode(errors="ignore").decode() == form
    ]
    assert len(found) >= 300
    return found


class Watched:
    """A page and its violations: dialogs, requests to other hosts, elements that are not allowed."""

    def __init__(self, page: Page, server: ServerProcess) -> None:
        self.page = page
        self._root = f"http://127.0.0.1:{server.port}"
        self._seen: list[str] = []
        page.on("dialog", self._on_dialog)
        page.on("popup", lambda popup: self._seen.append(f"opened {popup.url}"))
        page.on("request", lambda request: self._on_request(request.url))
        page.on("framenavigated", lambda frame: self._on_request(frame.url))
        self.begin()

    def begin(self) -> None:
        """Starts to watch the page."""
        self.page.evaluate(_WATCH)

    def wrong(self) -> list[str]:
        found: list[str] = self.page.evaluate("watch.page()")
        return self._seen + found

    def reports(self, what: str) -> bool:
        """Waits for this violation."""
        for _ in range(200):
            if what in self.wrong():
                return True
            self.page.evaluate("new Promise((resolve) => setTimeout(resolve, 10))")
        return False

    def _on_dialog(self, dialog: Any) -> None:
        self._seen.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _on_request(self, url: str) -> None:
        if not (url.startswith(self._root) and OWN_PATH.fullmatch(url.removeprefix(self._root))):
            self._seen.append(f"request for {url}")


def watched(open_page: Pages, server: ServerProcess, *, bypass_csp: bool) -> Watched:
    return Watched(wait_until_loaded(open_page(server, bypass_csp=bypass_csp)), server)


def typed(text: str) -> str:
    """The value of a text area into which `text` was put."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def echo_script(forms: list[str], folder: Path) -> Path:
    """A scenario file that responds to each form with the form itself, one token per character."""
    turns = [
        {"when": {"last": typed(form)}, "say": [{"text": piece} for piece in EACH_CHARACTER.findall(form)]}
        for form in forms
    ]
    path = folder / "injections.json"
    path.write_text(json.dumps(turns), encoding="utf-8")
    return path


@pytest.mark.timeout(60)  # a hundred questions, on a busy machine
def test_question_and_response_stay_text(open_page: Pages, serve: Serve, forms: list[str], tmp_path: Path) -> None:
    """A part of the forms: test_stored_messages_stay_text and test_partial_responses_stay_text have all of them."""
    some = forms[::PARTS]
    server = serve(SIM=f"script={echo_script(some, tmp_path)},gap=0ms")
    shown = watched(open_page, server, bypass_csp=True)
    assert shown.page.evaluate(ASK, json.dumps(some)) == []
    assert shown.page.evaluate(TEXTS, "user") == [0, [typed(form) for form in some]]
    assert contents(server)[1::2] == some
    assert shown.wrong() == []
    shown.page.reload()  # now loaded from the history
    expect(shown.page.locator("#messages > .assistant")).to_have_count(len(some))
    shown.begin()
    assert shown.page.evaluate(TEXTS, "user") == [0, [typed(form) for form in some]]
    assert shown.wrong() == []


def test_stored_messages_stay_text(open_page: Pages, serve: Serve, forms: list[str]) -> None:
    kept = [
        {"role": role, "content": typed(form) if role == "user" else form, "turn": f"turn_{number}", "model": "sim"}
        for number, form in enumerate(forms)
        for role in ("user", "assistant")
    ]
    server = serve()
    page = open_page(server, bypass_csp=True)
    page.route("**/history?*", lambda route: route.fulfill(json=kept))
    shown = Watched(page, server)
    page.reload()
    expect(page.locator("#messages > .assistant")).to_have_count(len(forms))
    shown.begin()
    assert page.evaluate(TEXTS, "user") == [0, [typed(form) for form in forms]]
    assert shown.wrong() == []


def test_partial_responses_stay_text_at_every_character(open_page: Pages, serve: Serve, all_forms: str) -> None:
    shown = watched(open_page, serve(), bypass_csp=True)
    assert shown.page.evaluate(_GROW, all_forms) == []
    assert shown.page.locator("#messages > article").count() == len(json.loads(all_forms))
    assert shown.wrong() == []


# Outside messages


def name_conversations(server: ServerProcess, titles: list[str]) -> None:
    """Creates a conversation with each title; the last one is the newest."""
    hello = [{"role": "user", "content": "Hello"}]
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:

        def call(method: str, path: str, **body: object) -> None:
            connection.request(method, path, json.dumps(body))
            response = connection.getresponse()
            outcome = response.read()
            assert response.status in {200, 204}, outcome

        for number, title in enumerate(titles):
            call("POST", "/chat", messages=hello, conversation=f"c{number}", stream=False)
            call("PATCH", f"/conversations/c{number}", title=title)


def test_titles_stay_text(open_page: Pages, serve: Serve, forms: list[str]) -> None:
    server = serve(SIM="tokens=1,gap=0ms")
    name_conversations(server, forms)
    shown = watched(open_page, server, bypass_csp=True)
    names = shown.page.locator("#conversations .name")
    expect(names).to_have_count(len(forms))
    assert shown.page.evaluate(_LISTED) == [[], list(reversed(forms))]
    for place in range(0, len(forms), 64):
        names.nth(place).click()
        title = forms[len(forms) - 1 - place]
        shown.page.wait_for_function("(title) => document.querySelector('#title').textContent === title", arg=title)
        assert shown.page.locator("#title > *").count() == 0
    assert shown.wrong() == []


def test_names_of_models_stay_text(open_page: Pages, serve: Serve, forms: list[str]) -> None:
    kept = [{"role": "assistant", "content": "Hello", "turn": "turn_1", "model": form} for form in forms]
    server = serve()
    page = open_page(server, bypass_csp=True)
    page.route("**/history?*", lambda route: route.fulfill(json=kept))
    page.reload()
    expect(page.locator(".model")).to_have_count(len(forms))
    shown = Watched(page, server)
    assert page.evaluate("[...document.querySelectorAll('.model')].map((model) => model.textContent)") == forms
    assert shown.wrong() == []


class Provider(BaseHTTPRequestHandler):
    """A provider with one model: it responds to a greeting; for other questions, the question is its error message."""

    def do_GET(self) -> None:
        self._answer(200, "application/json", json.dumps({"data": [{"id": MODEL}]}))

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        chunk = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}]}
        if question == "Hello":
            self._answer(200, "text/event-stream", f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n")
        else:
            self._answer(400, "application/json", json.dumps({"error": {"message": question}}))

    def _answer(self, status: int, content_type: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Suppresses the log of `BaseHTTPRequestHandler`."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The base URL of a provider, for UPSTREAM_URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def test_provider_error_stays_text(open_page: Pages, serve: Serve, provider: str, forms: list[str]) -> None:
    shown = watched(open_page, serve(UPSTREAM_URL=provider, MODEL=MODEL), bypass_csp=True)
    complete_turn(shown.page, "Hello")
    expect(message(shown.page, -1).locator(".model")).to_have_text(MODEL)
    outcome = shown.page.evaluate(_REFUSED, json.dumps(forms[::16]))
    assert [text.partition(" It says: ")[0] for text in outcome] == ["The model refused this message."] * len(outcome)
    assert alert(shown.page).locator("*").count() == 0
    assert shown.wrong() == []


def test_watch_detects_planted_markup(open_page: Pages, serve: Serve) -> None:
    shown = watched(open_page, serve(), bypass_csp=True)
    open_page.allow(r"status of 404", r"host: https://evil\.example/", r"ERR_NAME_NOT_RESOLVED")
    for html, what in PLANTED.items():
        shown.page.evaluate("(html) => { document.querySelector('#messages').innerHTML = html; }", html)
        assert shown.reports(what), f"{html} is not seen: {shown.wrong()}"
    shown.page.evaluate("document.body.append(document.createElement('form'))")
    assert shown.reports("the page has other elements than before")
