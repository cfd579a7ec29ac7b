"""What a reader does with the chat page, and what the server says meanwhile: the steps that the tests share."""

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
"""The conversation of a page whose address names none."""

_MESSAGES = """() => [...document.querySelectorAll('#messages > .message:not([hidden])')].map((message) => [
  message.classList.contains('user') ? 'user' : 'assistant',
  message.dataset.state ?? '',
  message.querySelector('.text').innerText.trim(),
])"""


# The page

_LOADED = """() => performance.getEntriesByType('resource').some(({ name, responseEnd }) =>
  name.includes('/conversations?') && responseEnd > 0)"""


def loaded(page: Page) -> Page:
    """It has shown what the server has, and will do nothing more by itself."""
    page.wait_for_function(_LOADED)  # a function: the page's policy lets no text be evaluated a second time
    return page


def draft(page: Page) -> Locator:
    """The text area that the next message is written in."""
    return page.locator("#draft")


_PASTE = """(area, text) => {
  area.focus();
  area.value = text;
  area.dispatchEvent(new InputEvent('input', { inputType: 'insertFromPaste', bubbles: true }));
}"""


def write(page: Page, text: str) -> None:
    """Makes `text` the draft. Long ones come in one input event, as a paste does.

    When Chromium inserts a text by `fill`, it lays the page out three times a line: 1,000 lines take seconds.
    """
    if text.count("\n") < 20:
        draft(page).fill(text)
    else:
        draft(page).evaluate(_PASTE, text)


def ask(page: Page, text: str) -> None:
    """Returns at once; `ended` and `says` wait."""
    write(page, text)
    draft(page).press("Enter")


def message(page: Page, place: int) -> Locator:
    """A message that is shown, from 0; -1 is the last."""
    return page.locator("#messages > .message:visible").nth(place)


def answer(page: Page) -> Locator:
    """The last answer that is shown."""
    return page.locator("#messages > .message.assistant:visible").last


def said(page: Page) -> Locator:
    """What the last answer says, without its name and its buttons."""
    return answer(page).locator(".text")


def says(page: Page, text: str) -> None:
    """The last answer comes to say just this."""
    expect(said(page)).to_have_text(text)


def begun(page: Page) -> str:
    """The id of the turn under way, once the page knows it: the answer's head has come, maybe no token."""
    expect(answer(page)).to_have_attribute("data-turn", re.compile("^turn_"))
    return answer(page).get_attribute("data-turn") or ""


def ended(page: Page, state: str = "complete") -> None:
    """The last answer comes to this end: complete, stopped, interrupted or failed; and another may be asked for."""
    idle(page)
    expect(answer(page)).to_have_attribute("data-state", state)


def idle(page: Page) -> None:
    """No turn is under way."""
    expect(page.locator("#stop")).to_be_hidden()


def asked_and_answered(page: Page, text: str) -> None:
    """Asks, and waits for the whole answer."""
    before = len(messages(page))
    ask(page, text)
    expect(page.locator("#messages > .message:visible")).to_have_count(before + 2)
    ended(page)


def messages(page: Page) -> list[tuple[str, str, str]]:
    """Those that are shown: (role, state, text); a question has no state."""
    return [(role, state, text) for role, state, text in page.evaluate(_MESSAGES)]


def texts(page: Page) -> list[str]:
    """What the messages say that are shown."""
    return [text for _, _, text in messages(page)]


def status(page: Page) -> Locator:
    """The polite status: Generating…, Complete, Stopped."""
    return page.locator("#status")


def alert(page: Page) -> Locator:
    """What the page says went wrong."""
    return page.locator("#notice [role=alert]")


def press(page: Page, name: str, *, of: int = -1) -> None:
    """A button of a message that is shown: Copy, Edit, Regenerate."""
    message(page, of).get_by_role("button", name=name).first.click()


def asked_of(page: Page, path: str = "/chat") -> list[dict[str, Any]]:
    """The bodies that the page posts to `path` from now on."""
    posted: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.method == "POST" and request.url.endswith(path):
            posted.append(request.post_data_json or {})

    page.on("request", note)
    return posted


class Withheld:
    """Requests to `path`, a pattern, that have left the page and do not reach the server before they are released."""

    def __init__(self, page: Page, path: str) -> None:
        self._page = page
        self._path = path
        self._routes: list[Route] = []
        self._released = False
        page.route(path, self._hold)

    def wait(self) -> None:
        """Until there is one."""
        until_s = monotonic() + PATIENCE_S
        while not self._routes:
            assert monotonic() < until_s, f"the page asked nothing of {self._path}"
            self._page.evaluate("0")  # lets it go on; a timer would not, where the page's clock stands still

    def release(self) -> None:
        """Those that wait, and all that come."""
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
    """The status, and the document that was answered, if it is one."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        told = response.read()
    finally:
        connection.close()
    is_json = "json" in response.headers.get("Content-Type", "")
    return response.status, json.loads(told) if is_json else told.decode()


def relay_of(serve: Serve, model: ServerProcess, **settings: str) -> ServerProcess:
    """A server whose upstream is `model`, another Tokenfall; requests are not repeated."""
    return serve(UPSTREAM_URL=f"http://127.0.0.1:{model.port}/v1", MODEL="behind", UPSTREAM_RETRIES="0", **settings)


def history(server: ServerProcess, conversation: str = DEFAULT, *, key: str = "") -> list[dict[str, Any]]:
    """The messages that the server keeps; none of a conversation that does not exist."""
    status, found = call(server, f"/history?conversation={conversation}", key=key)
    assert status in {200, 404}, found
    return found if status == 200 else []


def contents(server: ServerProcess, conversation: str = DEFAULT, *, key: str = "") -> list[str]:
    """What the messages say that the server keeps."""
    return [each["content"] for each in history(server, conversation, key=key)]


def set_sim(server: ServerProcess, grammar: str, *, key: str = "") -> None:
    """What the simulator does from now on, and nothing of what it was told before."""
    status, found = call(server, "/sim", method="PUT", body={"sim": grammar}, key=key)
    assert status == 200, found


def gate(
    server: ServerProcess,
    name: str,
    *,
    open: bool = True,  # noqa: A002 - as the server calls it
    tokens: int | None = None,
    key: str = "",
) -> None:
    """Opens or closes a gate, or lets so many more tokens through."""
    body = {"open": open} if tokens is None else {"tokens": tokens}
    status, found = call(server, f"/sim/gates/{name}", method="PATCH", body=body, key=key)
    assert status == 200, found


def streams(server: ServerProcess, *, key: str = "") -> int:
    """How many answers the simulator has under way."""
    _, found = call(server, "/sim", key=key)
    return int(found["streams"])
