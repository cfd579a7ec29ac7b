"""The error messages of the chat page: the text of each failure, and what the user can do next."""

import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import axe
from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import (
    Withheld,
    alert,
    ask,
    call,
    complete_turn,
    contents,
    draft,
    expect_text,
    history,
    last_response,
    messages,
    posted_bodies,
    set_sim,
    status,
    texts,
    turn_id,
    wait_until_ended,
    wait_until_idle,
    wait_until_loaded,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

ECHO = "text=echo,gap=1ms"
COUNTING = "one two three four"
SERVERS_PROSE = re.compile(r"simulat|asked for|upstream|provider|[45]\d\d", re.IGNORECASE)


def failed(page: Page, words: str) -> None:
    """Asserts that the alert contains `words`, and none of the server's terms and status codes."""
    expect(alert(page)).to_contain_text(words)
    wait_until_idle(page)
    shown = re.sub(r"\(Request \S+\)", "", alert(page).inner_text())
    assert not SERVERS_PROSE.search(shown), shown
    expect(page.get_by_role("alert").filter(has_text=words)).to_have_count(1)
    assert "Complete" not in (status(page).text_content() or "")


def came_to_nothing(page: Page, words: str) -> None:
    """Asserts that the turn left nothing, and that the question is the draft again."""
    failed(page, words)
    expect(draft(page)).to_have_value(COUNTING)
    expect(draft(page)).to_be_editable()
    assert messages(page) == []


def expect_broken_off(page: Page, words: str, text: str = "one two") -> None:
    """Asserts that the partial response stays and is marked as incomplete."""
    failed(page, words)
    wait_until_ended(page, "failed")
    assert messages(page) == [("user", "", COUNTING), ("assistant", "failed", text)]
    expect(last_response(page).locator(".note")).to_contain_text("Interrupted")
    for name in ["Edit", "Try again"]:
        expect(page.get_by_role("button", name=name)).to_be_visible()


def sent_again(page: Page) -> None:
    """Sends the question again from the draft."""
    draft(page).press("Enter")
    expect_text(page, COUNTING)
    wait_until_ended(page)
    expect(alert(page)).to_be_empty()


# Before the response: statuses


def answers(page: Page, number: int, **headers: str) -> None:
    """Responds to every question with this status, and with a detail that the page must not show."""
    problem = {"status": number, "code": "new", "detail": f"{number}: the upstream was asked for the wrong provider"}
    page.route("**/chat", lambda route: route.fulfill(status=number, json=problem, headers=headers))


WORDS_BY_STATUS = {
    409: "This conversation was changed elsewhere. Check it, then send again.",
    500: "Something went wrong on the server.",
    502: "The model gave no usable response.",
    503: "The server is busy or restarting. Send again in a moment.",
    504: "The model took too long to respond.",
}


def test_each_status_has_its_own_message(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    draft(page).fill(COUNTING)
    for number, words in WORDS_BY_STATUS.items():
        open_page.expect(f"status of {number}")
        answers(page, number)
        draft(page).press("Enter")
        came_to_nothing(page, words)
    page.unroute("**/chat")
    sent_again(page)


def test_servers_reason_is_shown_if_the_page_has_no_text(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    draft(page).fill(COUNTING)
    for number in [400, 403, 422]:
        open_page.expect(f"status of {number}")
        answers(page, number)
        draft(page).press("Enter")
        expect(alert(page)).to_contain_text(f"It says: {number}: the upstream was asked for the wrong provider")
        expect(draft(page)).to_have_value(COUNTING)


def test_too_long_message_can_be_shortened(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 413")
    server = serve(SIM=ECHO, MAX_BODY="1KiB")
    page = open_page(server)
    ask(page, "long " * 400)
    failed(page, "This message is too long for the server. Shorten it, then send again.")
    expect(draft(page)).to_have_value("long " * 400)
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    draft(page).fill(COUNTING)
    sent_again(page)
    assert texts(page) == [COUNTING, COUNTING]


# Before the response: retry later


def left_s(page: Page) -> int:
    """The seconds that the countdown beside the alert shows."""
    minutes, seconds = page.locator("#notice-left").inner_text().split(":")
    return 60 * int(minutes) + int(seconds)


def test_retry_wait_is_counted_down_and_its_end_announced(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 429")
    page = open_page(serve(SIM=ECHO))
    answers(page, 429, **{"Retry-After": "90"})
    page.clock.install()
    ask(page, COUNTING)
    came_to_nothing(page, "Too many requests. Send again in 90 seconds.")
    shown = alert(page).text_content()
    assert 0 < left_s(page) <= 90
    expect(page.locator("#notice-left")).to_have_attribute("aria-hidden", "true")
    page.clock.fast_forward(60_000)
    assert 0 < left_s(page) <= 30
    assert alert(page).text_content() == shown
    page.clock.fast_forward(30_000)
    expect(alert(page)).to_have_text("You can send again.")
    expect(page.locator("#notice-left")).to_be_empty()
    expect(draft(page)).to_have_value(COUNTING)
    page.unroute("**/chat")
    sent_again(page)


def test_busy_model_shows_its_wait(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=ECHO))
    message = "the upstream rate-limited this server"
    error = f'{{"error":{{"code":"upstream_rate_limited","message":"{message}","retry_after":30}}}}'
    head = {"Content-Type": "text/event-stream", "X-Turn-Id": "turn_0"}
    page.route("**/chat", lambda route: route.fulfill(headers=head, body=f"event: error\ndata: {error}\n\n"))
    ask(page, COUNTING)
    came_to_nothing(page, "The model is busy. Send again in 30 seconds.")
    assert 0 < left_s(page) <= 30


def test_restored_network_is_announced(open_page: Pages, serve: Serve) -> None:
    open_page.expect("ERR_INTERNET_DISCONNECTED")
    page = wait_until_loaded(open_page(serve(SIM=ECHO)))
    page.context.set_offline(True)
    ask(page, COUNTING)
    came_to_nothing(page, "You are offline. Send again when the connection is back.")
    page.context.set_offline(False)
    expect(alert(page)).to_be_empty()
    expect(status(page)).to_have_text("Back online. You can send again.")
    sent_again(page)


def test_question_matched_by_no_script_turn_shows_the_nearest(open_page: Pages, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "turns.yaml").write_text("- when: {last: Hello}\n  say: Hi.\n", encoding="utf-8")
    server = serve(SIM_FILES=str(tmp_path))
    set_sim(server, "script=turns.yaml")
    page = open_page(server)
    ask(page, COUNTING)
    expect(alert(page)).to_contain_text("The server did not find what this needs. It says: no turn of the scenario")
    expect(alert(page)).to_contain_text("nearest")
    expect(draft(page)).to_have_value(COUNTING)


def test_retry_is_possible_before_the_wait_ends(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 429")
    server = serve(SIM=f"{ECHO},status=429:retry=90")
    page = open_page(server)
    page.clock.install()
    ask(page, COUNTING)
    came_to_nothing(page, "Too many requests.")
    set_sim(server, ECHO)
    page.get_by_role("button", name="Try again").click()
    expect_text(page, COUNTING)
    wait_until_ended(page)
    expect(draft(page)).to_have_value("")
    expect(alert(page)).to_be_empty()
    assert texts(page) == contents(server) == [COUNTING, COUNTING]
    page.clock.fast_forward(2000)
    expect(page.locator("#notice-left")).to_be_empty()


# A key


def give_key(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def key_dialog(page: Page, why: str) -> None:
    expect(page.get_by_role("dialog", name="API key")).to_contain_text(why)
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    expect(page.get_by_label("Key", exact=True)).to_have_value("")


NEEDED = "This server needs an API key."
REFUSED = "The server did not accept this key. Try another."


def test_key_dialog_is_shown_until_the_key_is_valid(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    server = serve(SIM=ECHO, API_KEY="right")
    page = open_page(server)
    key_dialog(page, NEEDED)
    give_key(page, "wrong")
    key_dialog(page, REFUSED)
    assert page.evaluate("sessionStorage['tokenfall:key']") is None
    give_key(page, " right ")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("sessionStorage['tokenfall:key']") == "right"
    complete_turn(page, COUNTING)
    assert contents(server, key="right") == [COUNTING, COUNTING]
    page.reload()
    wait_until_ended(page)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_key_is_stored_in_this_tab_only(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    server = serve(SIM=ECHO, API_KEY="right")
    page = open_page(server)
    key_dialog(page, NEEDED)
    give_key(page, "right")
    complete_turn(page, COUNTING)
    kept = page.evaluate("({ session: { ...sessionStorage }, local: { ...localStorage }, cookie: document.cookie })")
    assert [name for name, value in kept["session"].items() if "right" in value] == ["tokenfall:key"]
    assert (kept["local"], kept["cookie"], page.context.cookies()) == ({}, "", [])
    assert page.evaluate("indexedDB.databases()") == []
    assert page.evaluate("caches.keys()") == []
    assert "right" not in page.url
    assert "right" not in page.content()
    expect(page.locator("#key")).to_have_value("")
    beside = page.context.new_page()
    beside.goto(page.url)
    key_dialog(beside, NEEDED)


def test_key_can_be_stored_on_the_device_changed_and_deleted(
    open_page: Pages, serve: Serve, artefact: Artefact
) -> None:
    open_page.expect("status of 401")
    page = open_page(serve(SIM=ECHO, API_KEY="right,other"))
    key_dialog(page, NEEDED)
    remember = page.get_by_label("Remember this key on this device")
    expect(remember).not_to_be_checked()
    remember.check()
    assert axe(page, within="#key-dialog") == []
    page.screenshot(path=artefact("key-dialog.png"))
    give_key(page, "right")
    complete_turn(page, COUNTING)
    assert page.evaluate("[sessionStorage['tokenfall:key'], localStorage['tokenfall:key']]") == [None, "right"]
    beside = page.context.new_page()
    beside.goto(page.url)
    wait_until_ended(beside)
    change_key(beside)
    expect(beside.locator("#key")).to_have_value("")
    expect(beside.get_by_label("Remember this key on this device")).to_be_checked()
    give_key(beside, "other")
    expect(beside.locator("#empty")).to_be_visible()
    assert beside.evaluate("localStorage['tokenfall:key']") == "other"
    change_key(beside)
    beside.get_by_role("button", name="Forget the key").click()
    expect(beside.get_by_role("dialog")).to_have_count(0)
    expect(status(beside)).to_have_text("The key is forgotten.")
    assert beside.evaluate("[sessionStorage['tokenfall:key'], localStorage['tokenfall:key']]") == [None, None]
    page.reload()
    key_dialog(page, NEEDED)
    expect(page.get_by_role("button", name="Forget the key")).to_have_count(0)


def change_key(page: Page) -> None:
    page.locator("#menu summary").click()
    page.get_by_role("button", name="API key").click()
    expect(page.get_by_role("dialog", name="API key")).to_contain_text("Requests are sent with a key.")


def test_refused_key_is_deleted_from_the_device(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    page = open_page(serve(SIM=ECHO, API_KEY="right"))
    key_dialog(page, NEEDED)
    page.get_by_label("Remember this key on this device").check()
    give_key(page, "wrong")
    key_dialog(page, REFUSED)
    assert page.evaluate("localStorage['tokenfall:key']") is None
    expect(page.get_by_label("Remember this key on this device")).to_be_checked()


def test_key_dialog_has_fields_for_password_managers(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    for path in ("/web", "/board"):
        page = open_page(serve(SIM=ECHO, API_KEY="right"), path)
        form = page.locator("#key-form")
        expect(form).to_be_visible()
        assert form.locator("input").evaluate_all("(all) => all.map((each) => [each.type, each.autocomplete])") == [
            ["text", "username"],
            ["password", "current-password"],
            ["checkbox", ""],
        ]


def test_cancelled_key_dialog_keeps_the_message(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    server = serve(SIM=ECHO, API_KEY="right")
    page = open_page(server)
    key_dialog(page, NEEDED)
    give_up(page, "Cancel")
    failed(page, "This server needs an API key.")
    draft(page).fill(COUNTING)
    for by in ("Cancel", "Esc"):
        draft(page).press("Enter")
        key_dialog(page, NEEDED)
        give_up(page, by)
        came_to_nothing(page, "This server needs an API key.")
    page.get_by_role("button", name="Try again").click()
    key_dialog(page, NEEDED)
    give_key(page, "right")
    expect_text(page, COUNTING)
    wait_until_ended(page)
    expect(draft(page)).to_have_value("")
    assert contents(server, key="right") == [COUNTING, COUNTING]


def test_key_given_later_shows_its_conversations(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    server = serve(SIM=ECHO, API_KEY="right")
    posted = {"messages": [{"role": "user", "content": COUNTING}], "stream": False}
    assert call(server, "/chat", method="POST", body=posted, key="right")[0] == 200
    page = open_page(server)
    key_dialog(page, NEEDED)
    give_up(page, "Esc")
    page.get_by_role("button", name="Enter a key").click()
    key_dialog(page, NEEDED)
    give_key(page, "right")
    wait_until_ended(page)
    assert texts(page) == [COUNTING, COUNTING]
    expect(page.locator("#conversations a")).to_have_count(1)


def give_up(page: Page, by: str) -> None:
    """And the dialog does not open again at once."""
    if by == "Cancel":
        page.get_by_role("button", name="Cancel").click()
    else:
        page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_requests_that_are_refused_together_share_one_question(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    page = open_page(serve(SIM=ECHO, API_KEY="right"))
    key_dialog(page, NEEDED)
    give_up(page, "Esc")
    page.evaluate("""async () => {
      const { Keys } = await import('/web/dialogs.js');
      const { writeTab } = await import('/web/tab_storage.js');
      writeTab('key', 'old');
      const keys = new Keys();
      window.answers = Promise.all([keys.renew('old'), keys.renew('old')]);
    }""")
    expect(page.get_by_role("dialog")).to_have_count(1)
    give_key(page, "new")
    assert page.evaluate("window.answers") == [True, True]
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_key_that_becomes_invalid_is_requested_again(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    first = serve(SIM=ECHO, API_KEY="old")
    page = open_page(first)
    key_dialog(page, NEEDED)
    give_key(page, "old")
    complete_turn(page, "before")
    first.close()
    server = serve(SIM=ECHO, API_KEY="new", PORT=str(first.port))
    ask(page, COUNTING)
    key_dialog(page, REFUSED)
    open_page.expect("status of 409")  # the new server does not have the earlier turn
    give_key(page, "new")
    expect(page.locator(".forgotten")).to_be_visible()
    expect(draft(page)).to_have_value(COUNTING)
    draft(page).press("Enter")
    expect_text(page, COUNTING)
    wait_until_ended(page)
    assert contents(server, key="new") == [COUNTING, COUNTING]
    expect(alert(page)).to_be_empty()


def test_message_that_waits_for_a_key_survives_a_reload(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    page = open_page(serve(SIM=ECHO, API_KEY="right"))
    key_dialog(page, NEEDED)
    give_up(page, "Cancel")
    ask(page, COUNTING)
    key_dialog(page, NEEDED)
    page.reload()
    key_dialog(page, NEEDED)
    give_up(page, "Cancel")
    expect(draft(page)).to_have_value(COUNTING)


# The connection to the server


def test_stopped_server_is_reported(open_page: Pages, serve: Serve) -> None:
    open_page.expect("ERR_CONNECTION_REFUSED")
    open_page.allow("status of 503")  # while the server drains
    server = serve(SIM=ECHO)
    page = open_page(server)
    expect(page.locator("#no-conversations")).to_be_visible()
    server.close()
    ask(page, COUNTING)
    came_to_nothing(page, "The server cannot be reached. Check the connection, then try again.")
    serve(SIM=ECHO, PORT=str(server.port))
    sent_again(page)


@pytest.mark.parametrize(
    ("number", "words"),
    [(502, "The model gave no usable response."), (200, "Something other than the chat server")],
)
def test_html_page_of_a_proxy_is_reported(open_page: Pages, serve: Serve, number: int, words: str) -> None:
    open_page.allow("status of 502")
    server = serve(SIM=ECHO)
    page = open_page(server)
    html = "<!doctype html><title>nginx</title><h1>nginx says</h1><script>document.title = 'run'</script>"
    page.route("**/chat", lambda route: route.fulfill(status=number, content_type="text/html", body=html))
    ask(page, COUNTING)
    came_to_nothing(page, words)
    assert "nginx" not in page.inner_text("body")
    page.unroute("**/chat")
    posted = posted_bodies(page)
    with page.expect_response("**/conversations?*"):
        page.reload()
    expect(draft(page)).to_have_value(COUNTING)
    wait_until_idle(page)
    assert (posted, messages(page), contents(server)) == ([], [], [])
    sent_again(page)


STREAM = {"Content-Type": "text/event-stream", "X-Turn-Id": "turn_000000000000000000000000"}


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("", "The connection was lost, and the server no longer has the response."),
        ("data: <html>\n\ndata: [DONE]\n\n", "The response could not be read and is not complete."),
    ],
    ids=["ends", "garbage"],
)
def test_response_without_its_end_is_incomplete(open_page: Pages, serve: Serve, rest: str, words: str) -> None:
    open_page.allow("status of 404", "status of 409")
    server = serve(SIM=ECHO)
    page = open_page(server)
    body = f'id: 1\ndata: {{"content":"one"}}\n\nid: 2\ndata: {{"content":" two"}}\n\n{rest}'
    page.route("**/chat", lambda route: route.fulfill(headers=STREAM, body=body))
    ask(page, COUNTING)
    expect_broken_off(page, words)
    page.unroute("**/chat")
    page.get_by_role("button", name="Try again").click()
    expect_text(page, COUNTING)
    wait_until_ended(page)
    assert texts(page) == contents(server) == [COUNTING, COUNTING]


def test_question_lost_with_its_server_is_restored_as_draft_once(open_page: Pages, serve: Serve) -> None:
    open_page.expect("ERR_")
    open_page.allow("status of 404")
    server = serve(SIM=f"{ECHO},gate=hold@0")
    page = open_page(server)
    page.clock.install()
    ask(page, COUNTING)
    turn_id(page)
    server.expected_status = -signal.SIGKILL
    server.signal(signal.SIGKILL)
    server.wait()
    expect(status(page)).to_have_text("Connection lost. Reconnecting…")
    for _ in range(100):
        page.clock.fast_forward(4000)  # until the next attempt
        if alert(page).inner_text():
            break
    came_to_nothing(page, "The connection was lost before the response was complete.")
    serve(SIM=ECHO, PORT=str(server.port))
    with page.expect_response("**/conversations?*"):
        page.reload()
    wait_until_idle(page)
    expect(draft(page)).to_have_value(COUNTING)
    sent_again(page)
    assert texts(page) == [COUNTING, COUNTING]


# In the response: events

FAULTS = {
    "error": "The model failed in the middle of the response, which is not complete.",
    "close": "The model stopped before its end; the response is not complete.",
    "reset": "The connection to the model was lost; the response is not complete.",
    "garbage": "The model sent something unreadable; the response is not complete.",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_fault_in_the_middle_leaves_an_incomplete_response(open_page: Pages, serve: Serve, kind: str) -> None:
    server = serve(SIM=f"{ECHO},fault={kind}@2")
    page = open_page(server)
    ask(page, COUNTING)
    expect_broken_off(page, FAULTS[kind])
    expect(draft(page)).to_have_value("")
    assert [(each["content"], each.get("status")) for each in history(server)] == [
        (COUNTING, None),
        ("one two", "interrupted"),
    ]
    page.reload()
    wait_until_ended(page, "interrupted")


def test_fault_before_the_first_token_restores_the_draft(open_page: Pages, serve: Serve) -> None:
    server = serve()
    page = open_page(server)
    draft(page).fill(COUNTING)
    for kind, words in FAULTS.items():
        set_sim(server, f"{ECHO},fault={kind}@0")
        draft(page).press("Enter")
        came_to_nothing(page, words.partition(" in the middle")[0].partition(";")[0])
    assert contents(server) == []
    set_sim(server, ECHO)
    sent_again(page)


# In the response: a real upstream


def behind(upstream: ServerProcess, **settings: str) -> dict[str, str]:
    """The settings of a server with this upstream."""
    return {"UPSTREAM_URL": f"http://127.0.0.1:{upstream.port}/v1", "UPSTREAM_RETRIES": "0", **settings}


REFUSALS = {
    "500": "The model failed. Try again.",
    "401": "The model does not accept the key of this server.",
    "429:retry=60": "The model is busy.",
    "503:retry=30": "The model failed. Send again in 30 seconds.",
    "418": "The model gave no usable response.",
}


def test_upstream_error_before_the_response_is_reported(open_page: Pages, serve: Serve) -> None:
    upstream = serve()
    page = open_page(serve(**behind(upstream)))
    draft(page).fill(COUNTING)
    for refusal, words in REFUSALS.items():
        set_sim(upstream, f"{ECHO},status={refusal}")
        draft(page).press("Enter")
        came_to_nothing(page, words)
    set_sim(upstream, ECHO)
    sent_again(page)


def test_response_of_an_upstream_with_all_tokens_but_no_end_is_incomplete(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(**behind(serve(SIM=f"{ECHO},fault=nodone@0"))))
    ask(page, COUNTING)
    expect_broken_off(page, FAULTS["close"], COUNTING)


def test_refusal_of_a_model_shows_its_reason(open_page: Pages, serve: Serve) -> None:
    """The only case in which the page shows the upstream's message, because only that says what to change."""
    upstream = serve(SIM="status=400")
    page = open_page(serve(**behind(upstream)))
    ask(page, COUNTING)
    expect(alert(page)).to_contain_text("The model refused this message. It says: ")
    expect(draft(page)).to_have_value(COUNTING)


# Not failures


@pytest.mark.parametrize("where", ["here", "behind the server"])
def test_frame_split_inside_a_character_is_decoded(open_page: Pages, serve: Serve, where: str) -> None:
    server = serve(SIM=f"{ECHO},fault=split@1")
    if where == "behind the server":
        server = serve(**behind(server))
    page = open_page(server)
    complete_turn(page, COUNTING)
    assert texts(page)[1] == contents(server)[1] == "one twoé three four"


# The alert


def test_alert_is_removed_by_dismiss_and_by_the_next_message(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 502")
    page = open_page(serve(SIM=ECHO))
    expect(alert(page)).to_be_attached()  # a region that comes with its text is not announced
    assert alert(page).evaluate("element => getComputedStyle(element).display") != "none"
    expect(alert(page)).to_be_empty()
    answers(page, 502)
    ask(page, COUNTING)
    came_to_nothing(page, "The model gave no usable response.")
    page.get_by_role("button", name="Dismiss").press("Enter")
    expect(alert(page)).to_be_empty()
    expect(page.get_by_role("button", name="Dismiss")).to_have_count(0)
    expect(draft(page)).to_be_focused()
    draft(page).press("Enter")
    came_to_nothing(page, "The model gave no usable response.")
    page.unroute("**/chat")
    withheld = Withheld(page, "**/chat")
    draft(page).press("Enter")
    withheld.wait()
    expect(alert(page)).to_be_empty()
    expect(page.get_by_role("button", name="Dismiss")).to_have_count(0)
    withheld.release()
    wait_until_ended(page)


# Conversations that cannot be loaded


def test_failed_load_of_a_conversation_can_be_retried(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 500")
    page = open_page(serve(SIM=ECHO))
    complete_turn(page, COUNTING)
    page.route("**/history?*", lambda route: route.fulfill(status=500))
    page.reload()
    failed(page, "Something went wrong on the server.")
    expect(page.locator("#empty")).to_be_hidden()
    page.unroute("**/history?*")
    page.get_by_role("button", name="Load again").click()
    wait_until_ended(page)
    assert texts(page) == [COUNTING, COUNTING]


def test_refused_conversation_is_loaded_again_after_the_wait(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 503")
    page = open_page(serve(SIM=ECHO))
    complete_turn(page, COUNTING)
    page.clock.install()
    page.route("**/history?*", lambda route: route.fulfill(status=503, headers={"Retry-After": "30"}))
    page.reload()
    failed(page, "The server is busy or restarting.")
    page.unroute("**/history?*")
    page.clock.fast_forward(31_000)
    expect(page.locator("#notice-left")).to_be_empty()
    if not messages(page):
        page.get_by_role("button", name="Load again").click()
    wait_until_ended(page)
    assert texts(page) == [COUNTING, COUNTING]


def test_empty_response_is_marked_as_empty(open_page: Pages, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "silent.json").write_text('[{"say": ""}]', encoding="utf-8")
    page = open_page(serve(SIM=f"script={tmp_path / 'silent.json'}"))
    ask(page, COUNTING)
    wait_until_ended(page)
    expect(last_response(page).locator(".note")).to_contain_text("Empty response")
