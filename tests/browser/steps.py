"""Steps shared by the browser tests: user actions on the chat page, and direct requests to the server."""

import json
import re
from http.client import HTTPConnection
from time import monotonic
from typing import Any

from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

PATIENCE_S = 20.0
DEFAULT = "default"
"""The conversation that the tests open."""

_MESSAGES = """() => [...document.querySelectorAll('#messages > .message:not([hidden])')].map((message) => [
  message.classList.contains('user') ? 'user' : 'assistant',
  message.dataset.state ?? '',
  message.querySelector('.text').innerText.trim(),
])"""


# The page

_LOADED = """() => performance.getEntriesByType('resource').some(({ name, responseEnd }) =>
  name.includes('/conversations?') && responseEnd > 0)"""


def wait_until_loaded(page: Page) -> Page:
    """Waits until the page has loaded the conversation and the list, and sends no more requests by itself."""
    page.wait_for_function(_LOADED)  # a function, because the page's CSP forbids eval of a string
    return page


def draft(page: Page) -> Locator:
    """The text area of the next message."""
    return page.locator("#draft")


_PASTE = """(area, text) => {
  area.focus();
  area.value = text;
  area.dispatchEvent(new InputEvent('input', { inputType: 'insertFromPaste', bubbles: true }));
}"""


def write(page: Page, text: str) -> None:
    """Sets the draft to `text`; a long text is inserted by one input event, as by a paste.

    When Chromium inserts a text by `fill`, it lays the page out three times a line: 1,000 lines take seconds.
    """
    if text.count("\n") < 20:
        draft(page).fill(text)
    else:
        draft(page).evaluate(_PASTE, text)


def ask(page: Page, text: str) -> None:
    """Sends a question and returns at once; `wait_until_ended` and `expect_text` wait."""
    write(page, text)
    draft(page).press("Enter")


def message(page: Page, place: int) -> Locator:
    """A visible message, counted from 0; -1 is the last."""
    return page.locator("#messages > .message:visible").nth(place)


def last_response(page: Page) -> Locator:
    """The last visible response."""
    return page.locator("#messages > .message.assistant:visible").last


def response_text(page: Page) -> Locator:
    """The text of the last response, without author and buttons."""
    return last_response(page).locator(".text")


def expect_text(page: Page, text: str) -> None:
    """Waits until this is the text of the last response."""
    expect(response_text(page)).to_have_text(text)


def turn_id(page: Page) -> str:
    """The id of the current turn, once the page has received the head of the response; there may be no token yet."""
    expect(last_response(page)).to_have_attribute("data-turn", re.compile("^turn_"))
    return last_response(page).get_attribute("data-turn") or ""


def wait_until_ended(page: Page, state: str = "complete") -> None:
    """Waits until the last response has ended as complete, stopped, interrupted or failed, and the page is idle."""
    wait_until_idle(page)
    expect(last_response(page)).to_have_attribute("data-state", state)


def wait_until_idle(page: Page) -> None:
    """Waits until no turn is running."""
    expect(page.locator("#stop")).to_be_hidden()


def complete_turn(page: Page, text: str) -> None:
    """Sends a question and waits for the complete response."""
    before = len(messages(page))
    ask(page, text)
    expect(page.locator("#messages > .message:visible")).to_have_count(before + 2)
    wait_until_ended(page)


def messages(page: Page) -> list[tuple[str, str, str]]:
    """The visible messages as (role, state, text); a question has no state."""
    return [(role, state, text) for role, state, text in page.evaluate(_MESSAGES)]


def texts(page: Page) -> list[str]:
    """The texts of the visible messages."""
    return [text for _, _, text in messages(page)]


def status(page: Page) -> Locator:
    """The polite status: Generating…, Complete, Stopped."""
    return page.locator("#status")


def alert(page: Page) -> Locator:
    """The error message of the page."""
    return page.locator("#notice [role=alert]")


def press(page: Page, name: str, *, of: int = -1) -> None:
    """Presses a button of a visible message: Copy, Edit, Regenerate."""
    message(page, of).get_by_role("button", name=name).first.click()


def posted_bodies(page: Page, path: str = "/chat") -> list[dict[str, Any]]:
    """The bodies that the page posts to `path` from now on."""
    posted: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.method == "POST" and request.url.endswith(path):
            posted.append(request.post_data_json or {})

    page.on("request", note)
    return posted


class Withheld:
    """Holds back requests whose URL matches the pattern `path` until `release`."""

    def __init__(self, page: Page, path: str) -> None:
        self._page = page
        self._path = path
        self._routes: list[Route] = []
        self._released = False
        page.route(path, self._hold)

    def wait(self) -> None:
        """Waits for the first request."""
        until_s = monotonic() + PATIENCE_S
        while not self._routes:
            assert monotonic() < until_s, f"the page sent no request to {self._path}"
            self._page.evaluate("0")  # processes events; a timer would not fire while the page's clock is paused

    def release(self) -> None:
        """Lets the waiting requests and all later ones through."""
        self._released = True
        for route in self._routes:
            route.continue_()

    def _hold(self, route: Route) -> None:
        if self._released:
            route.continue_()
        else:
            self._routes.append(route)


# The server


def call(
    server: ServerProcess, path: str, *, method: str = "GET", body: object = None, key: str = ""
) -> tuple[int, Any]:
    """The status of the response, and its JSON document or text."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    is_json = "json" in response.headers.get("Content-Type", "")
    return response.status, json.loads(content) if is_json else content.decode()


def serve_relay(serve: Serve, model: ServerProcess, **settings: str) -> ServerProcess:
    """A server whose upstream is `model`, another Tokenfall server; without retries."""
    return serve(UPSTREAM_URL=f"http://127.0.0.1:{model.port}/v1", MODEL="behind", UPSTREAM_RETRIES="0", **settings)


def history(server: ServerProcess, conversation: str = DEFAULT, *, key: str = "") -> list[dict[str, Any]]:
    """The messages that the server has stored; none if there is no such conversation."""
    status, found = call(server, f"/history?conversation={conversation}", key=key)
    assert status in {200, 404}, found
    return found if status == 200 else []


def contents(server: ServerProcess, conversation: str = DEFAULT, *, key: str = "") -> list[str]:
    """The texts of the messages that the server has stored."""
    return [each["content"] for each in history(server, conversation, key=key)]


def set_sim(server: ServerProcess, grammar: str, *, key: str = "") -> None:
    """Replaces the simulator's settings."""
    status, found = call(server, "/sim", method="PUT", body={"sim": grammar}, key=key)
    assert status == 200, found


def gate(
    server: ServerProcess,
    name: str,
    *,
    open: bool = True,  # noqa: A002 - the name in the API
    tokens: int | None = None,
    key: str = "",
) -> None:
    """Opens or closes a gate, or lets this many more tokens through."""
    body = {"open": open} if tokens is None else {"tokens": tokens}
    status, found = call(server, f"/sim/gates/{name}", method="PATCH", body=body, key=key)
    assert status == 200, found


def streams(server: ServerProcess, *, key: str = "") -> int:
    """The number of streams that the simulator is sending."""
    _, found = call(server, "/sim", key=key)
    return int(found["streams"])
