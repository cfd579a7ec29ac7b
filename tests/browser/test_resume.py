"""Each question gets one complete response, despite reloads, lost connections and restarts of the server."""

import re
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import Pages
from tests.browser.proxy import Proxy
from tests.browser.steps import (
    alert,
    ask,
    call,
    complete_turn,
    contents,
    draft,
    expect_text,
    gate,
    history,
    last_response,
    messages,
    press,
    response_text,
    set_sim,
    status,
    streams,
    texts,
    turn_id,
    wait_until_ended,
    wait_until_idle,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.stores.fixtures import redis, redis_server
from tests.stores.redis_server import RedisServer

__all__ = ["redis", "redis_server"]

Behind = Callable[[ServerProcess], Proxy]
Proxied = Callable[..., tuple[ServerProcess, Proxy, Page]]

WORDS = [f"w{number}" for number in range(1, 41)]
QUESTION = " ".join(WORDS)
"""The question, which the simulator repeats as its response; each token has its position."""

BEGUN = " ".join(WORDS[:3])
HELD = "text=echo,gap=1ms,gate=hold@3"
"""Sends three tokens, and the others when the gate is opened."""

BEFORE_TOKENS = "text=echo,gap=1ms,gate=hold"
LOST = r"^console: Failed to load resource: net::ERR_"
TRIES = 20
"""Maximum number of attempts to resume a turn that does not continue."""

GONE = "status of 4(04|09)"
RECONNECTING = "Connection lost. Reconnecting…"
BROKEN_OFF = "Interrupted"
SERVER_HAS_NOT = "The connection was lost, and the server no longer has the response."


@pytest.fixture
def behind(serve: Serve) -> Iterator[Behind]:
    """Starts a proxy for a server: `proxy = behind(server)`. Set up before `open_page`, so that it ends after it."""
    proxies: list[Proxy] = []

    def start(server: ServerProcess) -> Proxy:
        proxies.append(Proxy(server.port))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.end()


@pytest.fixture
def proxied(behind: Behind, open_page: Pages, serve: Serve) -> Proxied:
    """Starts a server with these settings, and opens the page through a proxy."""

    def start(**settings: str) -> tuple[ServerProcess, Proxy, Page]:
        server = serve(**settings)
        proxy = behind(server)
        return server, proxy, open_page(proxy.root)

    return start


@pytest.fixture
def pair(serve: Serve, redis: RedisServer) -> tuple[ServerProcess, ServerProcess]:
    """Two servers that share only Redis."""
    first, second = (serve(SIM=HELD, REDIS_URL=redis.url, DRAIN_TIMEOUT="0.5s") for _ in range(2))
    return first, second


def start_held_turn(page: Page) -> str:
    """Sends the question and waits for three tokens. Returns the turn's id."""
    ask(page, QUESTION)
    expect_text(page, BEGUN)
    return turn_id(page)


def expect_complete(page: Page, server: ServerProcess, *, before: tuple[str, ...] = ()) -> None:
    """Waits for the complete response; the page and the server have it once, and equal."""
    wait_until_ended(page)
    assert texts(page) == [*before, QUESTION, QUESTION]
    assert contents(server) == [*before, QUESTION, QUESTION]
    assert {state for role, state, _ in messages(page) if role == "assistant"} == {"complete"}
    expect(alert(page)).to_be_empty()


def expect_broken_off(page: Page, words: str) -> None:
    """Waits for the failure; the partial response stays and is marked, and the alert contains `words`."""
    wait_until_ended(page, "failed")
    assert texts(page)[-2:] == [QUESTION, BEGUN]
    expect(last_response(page).locator(".ended")).to_have_text(BROKEN_OFF)
    expect(alert(page)).to_contain_text(words)


def watch_text(page: Page) -> None:
    """Collects texts of the response that are not a prefix of the question in `window.wrong`, from now on."""
    page.evaluate(
        """(whole) => {
          window.wrong = [];
          const shown = () => document.querySelector('.message.assistant .text')?.textContent.trim() ?? '';
          const look = () => whole.startsWith(shown()) || window.wrong.push(shown());
          new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
        }""",
        QUESTION,
    )


def lose_connection(page: Page, proxy: Proxy, open_page: Pages) -> None:
    """Resets the connection and refuses new ones, until `proxy.heal()`."""
    open_page.expect(LOST)
    proxy.refuse()
    expect(status(page)).to_have_text(RECONNECTING)


def try_again(page: Page) -> None:
    page.get_by_role("button", name="Try again").click()


def requests(page: Page) -> list[str]:
    """The requests of the page from now on, such as "POST /chat"."""
    sent: list[str] = []

    def note(method: str, url: str) -> None:
        sent.append(f"{method} /{url.split('/', 3)[3]}")

    page.on("request", lambda request: note(request.method, request.url))
    return sent


def kill(server: ServerProcess) -> None:
    server.expected_status = -signal.SIGKILL
    server.signal(signal.SIGKILL)
    server.wait()


# Reloads


def test_reload_during_a_response_loses_and_repeats_no_token(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    turn = start_held_turn(page)
    sent = requests(page)
    page.reload()
    expect_text(page, BEGUN)
    expect(status(page)).to_have_text("Generating…")
    assert texts(page) == [QUESTION, BEGUN]
    gate(server, "hold")
    expect_complete(page, server)
    expect(status(page)).to_have_text("Complete")
    assert last_response(page).get_attribute("data-turn") == turn
    assert sent.count(f"GET /chat/turns/{turn}?announce=true&details=true") == 1
    assert "POST /chat" not in sent


def test_repeated_reloads_end_in_one_response(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    start_held_turn(page)
    for count in range(4, 8):
        page.reload()
        gate(server, "hold", tokens=1)
        expect_text(page, " ".join(WORDS[:count]))
    gate(server, "hold")
    expect_complete(page, server)


def test_reload_before_the_first_token_resumes_the_turn(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=BEFORE_TOKENS)
    page = open_page(server)
    ask(page, QUESTION)
    turn = turn_id(page)
    page.reload()
    assert turn_id(page) == turn
    assert messages(page) == [("user", "", QUESTION), ("assistant", "waiting", "")]
    gate(server, "hold")
    expect_complete(page, server)


def test_reload_before_the_response_head_restores_the_draft(proxied: Proxied) -> None:
    _, proxy, page = proxied()
    expect(page.locator("#empty")).to_be_visible()
    proxy.swallowed.add("POST /chat")
    ask(page, QUESTION)
    expect(status(page)).to_have_text("Generating…")
    page.reload()
    expect(draft(page)).to_have_value(QUESTION)


def test_question_whose_response_head_was_lost_runs_once(proxied: Proxied, open_page: Pages) -> None:
    server, proxy, page = proxied(SIM=HELD)
    open_page.expect(LOST)
    proxy.dropped.add("POST /chat")
    ask(page, QUESTION)
    expect(alert(page)).to_contain_text("The server cannot be reached.")
    expect(draft(page)).to_have_value(QUESTION)
    assert streams(server) == 1
    proxy.dropped.clear()
    try_again(page)
    expect_text(page, BEGUN)
    expect(draft(page)).to_have_value("")
    gate(server, "hold")
    expect_complete(page, server)
    expect(last_response(page).locator(".model")).to_have_text("sim")


def test_received_question_is_removed_from_the_draft(proxied: Proxied, open_page: Pages) -> None:
    server, proxy, page = proxied(SIM="text=echo,gap=1ms")
    complete_turn(page, QUESTION)
    open_page.expect(LOST)
    proxy.dropped.add("POST /chat")
    with page.expect_request("**/chat") as posted:
        ask(page, QUESTION)  # the same text again, which is a new question
    expect(draft(page)).to_have_value(QUESTION)
    repeated = page.request.post(  # returns once the turn is stored
        f"http://127.0.0.1:{server.port}/chat", headers=posted.value.all_headers(), data=posted.value.post_data
    )
    assert "[DONE]" in repeated.text()
    page.reload()
    expect(draft(page)).to_have_value("")
    expect_complete(page, server, before=(QUESTION, QUESTION))


def test_edit_whose_response_head_was_lost_runs_once_in_its_place(proxied: Proxied, open_page: Pages) -> None:
    server, proxy, page = proxied(SIM="text=echo,gap=1ms")
    for text in ("first", "second"):
        complete_turn(page, text)
    open_page.expect(LOST)
    proxy.dropped.add("POST /chat")
    press(page, "Edit", of=2)
    page.get_by_label("Edit your message").fill(QUESTION)
    page.get_by_role("button", name="Save and send").click()
    expect(alert(page)).to_contain_text("The server cannot be reached.")
    proxy.dropped.clear()
    expect(page.get_by_label("Edit your message")).to_have_value(QUESTION)
    expect(draft(page)).to_have_value("")
    page.get_by_label("Edit your message").press("Enter")
    expect_complete(page, server, before=("first", "first"))


def test_question_to_workers_without_idempotency_is_sent_without_a_key(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 400")
    server = serve(SIM="text=echo,gap=1ms", WORKERS="2", HISTORY_URL="sqlite:///chat.db")
    page = open_page(server)
    sent = requests(page)
    complete_turn(page, "first")
    complete_turn(page, "second")
    assert contents(server) == ["first", "first", "second", "second"]
    assert sent.count("POST /chat") == 3


def test_reload_after_the_end_shows_the_same_messages(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM="text=echo,gap=1ms")
    page = open_page(server)
    complete_turn(page, QUESTION)
    sent = requests(page)
    page.reload()
    expect_complete(page, server)
    expect(last_response(page).locator(".note")).to_contain_text("tokens/s")
    expect(status(page)).to_be_empty()
    assert not [each for each in sent if each == "POST /chat" or "/chat/turns" in each]


def test_stopped_response_is_marked_as_stopped_after_a_reload(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    start_held_turn(page)
    page.reload()
    expect_text(page, BEGUN)
    page.get_by_role("button", name="Stop", exact=True).click()
    wait_until_ended(page, "stopped")
    page.reload()
    wait_until_ended(page, "stopped")
    assert texts(page) == contents(server) == [QUESTION, BEGUN]
    assert streams(server) == 0


def test_reload_during_a_regeneration_keeps_its_place(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM="text=echo,gap=1ms")
    page = open_page(server)
    for text in ("first", "second"):
        complete_turn(page, text)
    set_sim(server, HELD)
    press(page, "Edit", of=0)
    page.get_by_label("Edit your message").fill(QUESTION)
    page.get_by_role("button", name="Save and send").click()
    expect_text(page, BEGUN)
    assert contents(server) == ["first", "first", "second", "second"]
    page.reload()
    expect_text(page, BEGUN)
    assert texts(page) == [QUESTION, BEGUN]
    gate(server, "hold")
    expect_complete(page, server)


def test_response_continues_after_a_visit_to_the_dashboard(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    start_held_turn(page)
    open_page.allow(LOST)
    page.goto(f"http://127.0.0.1:{server.port}/board")
    page.go_back()
    expect_text(page, BEGUN)
    gate(server, "hold")
    expect_complete(page, server)


# Lost connections


def test_cut_connection_resumes_at_the_exact_token(proxied: Proxied, open_page: Pages) -> None:
    server, proxy, page = proxied(SIM=HELD)
    watch_text(page)
    start_held_turn(page)
    lose_connection(page, proxy, open_page)
    assert messages(page) == [("user", "", QUESTION), ("assistant", "streaming", BEGUN)]
    proxy.heal()
    expect(status(page)).to_have_text("Generating…")  # before the next token
    gate(server, "hold")
    expect_complete(page, server)
    assert page.evaluate("window.wrong") == []
    assert proxy.followed_after() == [3]
    assert proxy.count("POST", "/chat") == 1


def test_many_lost_connections_lose_and_repeat_no_token(proxied: Proxied, open_page: Pages) -> None:
    server, proxy, page = proxied(SIM=HELD)
    watch_text(page)
    start_held_turn(page)
    open_page.expect(LOST)
    steps = [3, 4, 6, 7, 11, 12, 20, 21, 22, 39]
    for here, there in pairwise([*steps, len(WORDS)]):
        proxy.cut(reset=here % 2 == 0)
        gate(server, "hold", tokens=there - here)
        expect_text(page, " ".join(WORDS[:there]))
    expect_complete(page, server)
    assert page.evaluate("window.wrong") == []
    assert proxy.followed_after() == steps
    assert proxy.count("POST", "/chat") == 1


def test_cleanly_closed_response_without_its_end_is_incomplete(proxied: Proxied) -> None:
    server, proxy, page = proxied(SIM="text=echo,gap=1ms")
    proxy.cuts.append(b"e\r\ndata: [DONE]")  # ends within a chunk
    proxy.last_words = b"0\r\n\r\n"  # the last chunk
    ask(page, QUESTION)
    expect_complete(page, server)
    assert proxy.followed_after() == [len(WORDS)]


def run_until_given_up(page: Page, proxy: Proxy) -> None:
    """Advances the page's installed clock until the page stops reconnecting."""
    for _ in range(200):
        if page.locator("#stop").is_hidden() or len(proxy.followed_after()) > TRIES:
            break
        page.clock.run_for(1000)
    assert len(proxy.followed_after()) <= TRIES
    wait_until_idle(page)


def test_connection_that_always_breaks_is_given_up(proxied: Proxied, open_page: Pages) -> None:
    server, proxy, page = proxied(SIM=HELD)
    page.clock.install()
    start_held_turn(page)
    lose_connection(page, proxy, open_page)
    gate(server, "hold")
    proxy.cuts.extend([0] * 1000)
    proxy.heal()
    run_until_given_up(page, proxy)
    expect_complete(page, server)


@pytest.mark.parametrize("how", ["by Try again", "by a reload"])
def test_abandoned_response_is_resumed_once_the_server_is_back(proxied: Proxied, open_page: Pages, how: str) -> None:
    server, proxy, page = proxied(SIM=HELD)
    page.clock.install()
    start_held_turn(page)
    lose_connection(page, proxy, open_page)
    run_until_given_up(page, proxy)
    expect_broken_off(page, "The connection was lost before the response was complete.")
    proxy.heal()
    if how == "by Try again":
        try_again(page)
    else:
        page.reload()
    expect(alert(page)).to_be_empty()
    expect_text(page, BEGUN)
    gate(server, "hold")
    expect_complete(page, server)
    assert proxy.count("POST", "/chat") == 1


@pytest.mark.parametrize("how", ["by itself", "when it is looked at"])
def test_response_that_ended_after_it_was_abandoned_is_shown(proxied: Proxied, open_page: Pages, how: str) -> None:
    server, proxy, page = proxied(SIM=HELD)
    page.clock.install()
    turn = start_held_turn(page)
    lose_connection(page, proxy, open_page)
    run_until_given_up(page, proxy)
    expect_broken_off(page, "The connection was lost before the response was complete.")
    gate(server, "hold")
    call(server, f"/chat/turns/{turn}")  # returns once the turn is stored
    page.clock.run_for(60_000)
    expect_broken_off(page, "The connection was lost before the response was complete.")
    proxy.heal()
    if how == "by itself":
        page.clock.run_for(20_000)
    else:
        page.evaluate("() => { dispatchEvent(new Event('focus')); }")
    expect_complete(page, server)
    assert proxy.count("POST", "/chat") == 1


def test_silent_connection_is_replaced(proxied: Proxied) -> None:
    server, proxy, page = proxied(SIM=HELD)
    page.clock.install()
    start_held_turn(page)
    proxy.hang()
    gate(server, "hold")
    page.clock.run_for(40_000)
    expect_text(page, BEGUN)
    page.clock.run_for(20_000)
    expect(status(page)).to_have_text(RECONNECTING)
    proxy.heal()
    expect_complete(page, server)
    assert proxy.followed_after() == [3]


def test_stop_on_a_hanging_connection_ends_the_response_at_once(proxied: Proxied) -> None:
    server, proxy, page = proxied(SIM=HELD)
    start_held_turn(page)
    proxy.hang()
    gate(server, "hold", tokens=1)
    page.keyboard.press("Escape")
    wait_until_ended(page, "stopped")
    proxy.heal()
    ask(page, "next")
    gate(server, "hold")
    expect_text(page, "next")
    wait_until_ended(page)
    assert texts(page)[:2] == [QUESTION, BEGUN]
    assert contents(server) == [QUESTION, " ".join(WORDS[:4]), "next", "next"]


def test_expired_turn_is_shown_from_the_history(proxied: Proxied, open_page: Pages) -> None:
    server, proxy, page = proxied(SIM=HELD, RESUME_FOR="1ms")
    turn = start_held_turn(page)
    open_page.expect(LOST, "status of 404")
    proxy.refuse()
    expect(status(page)).to_have_text(RECONNECTING)
    gate(server, "hold")
    call(server, f"/chat/turns/{turn}")  # returns once the turn is stored
    proxy.heal()
    expect_complete(page, server)
    expect(status(page)).to_have_text("Complete")


def test_offline_waits_for_online(proxied: Proxied, open_page: Pages) -> None:
    server, proxy, page = proxied(SIM=HELD)
    page.clock.install()
    start_held_turn(page)
    open_page.allow(LOST)
    page.context.set_offline(True)
    proxy.cut()
    for _ in range(20):
        expect(status(page)).to_have_text(RECONNECTING)
        page.clock.run_for(5_000)
    page.context.set_offline(False)
    gate(server, "hold")
    expect_complete(page, server)
    assert set(proxy.followed_after()) == {3}


# Questions that were not received


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("refused", "The server cannot be reached."),
        ("offline", "You are offline."),
    ],
)
def test_unsent_question_is_the_draft_again(proxied: Proxied, open_page: Pages, *, harm: str, words: str) -> None:
    server, proxy, page = proxied(SIM="text=echo,gap=1ms")
    expect(page.locator("#empty")).to_be_visible()
    open_page.expect(LOST)
    if harm == "refused":
        proxy.refuse()
    page.context.set_offline(harm == "offline")
    ask(page, QUESTION)
    expect(alert(page)).to_contain_text(words)
    expect(draft(page)).to_have_value(QUESTION)
    assert texts(page) == []
    page.context.set_offline(False)
    proxy.heal()
    draft(page).press("End")
    draft(page).press("Enter")
    expect_complete(page, server)
    expect(draft(page)).to_have_value("")


def test_unsent_regeneration_changes_nothing(proxied: Proxied, open_page: Pages) -> None:
    server, proxy, page = proxied(SIM="text=echo,gap=1ms")
    complete_turn(page, QUESTION)
    open_page.expect(LOST)
    proxy.refuse()
    press(page, "Regenerate")
    expect(alert(page)).to_contain_text("The server cannot be reached.")
    assert messages(page) == [("user", "", QUESTION), ("assistant", "complete", QUESTION)]
    expect(draft(page)).to_have_value("")
    proxy.heal()
    try_again(page)
    expect_complete(page, server)


# Restarts of the server


def test_killed_server_without_a_store_leaves_the_shown_text(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    start_held_turn(page)
    open_page.expect(LOST, GONE)
    kill(server)
    expect(status(page)).to_have_text(RECONNECTING)
    again = serve(SIM=HELD, PORT=str(server.port))
    expect_broken_off(page, SERVER_HAS_NOT)
    try_again(page)
    expect(alert(page)).to_be_empty()
    gate(again, "hold")
    expect_complete(page, again)
    expect(draft(page)).to_have_value("")


def test_killed_server_with_a_store_has_the_earlier_turns(open_page: Pages, serve: Serve, tmp_path: Path) -> None:
    where = {"HISTORY_URL": f"sqlite:///{tmp_path}/history", "SIM": HELD}
    server = serve(**where)
    page = open_page(server)
    ask(page, "before")
    gate(server, "hold")
    wait_until_ended(page)
    gate(server, "hold", open=False)
    ask(page, QUESTION)
    expect_text(page, BEGUN)
    open_page.expect(LOST, GONE)
    kill(server)
    expect(status(page)).to_have_text(RECONNECTING)
    again = serve(PORT=str(server.port), **where)
    expect_broken_off(page, SERVER_HAS_NOT)
    assert texts(page)[:2] == contents(again) == ["before", "before"]
    press(page, "Regenerate")
    gate(again, "hold")
    expect_complete(page, again, before=("before", "before"))
    page.reload()
    expect_complete(page, again, before=("before", "before"))


def test_reload_after_the_server_was_killed_restores_the_draft(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    start_held_turn(page)
    open_page.expect("status of 404")
    open_page.allow(LOST)
    kill(server)
    again = serve(SIM="text=echo,gap=1ms", PORT=str(server.port))
    page.reload()
    expect(alert(page)).to_contain_text(SERVER_HAS_NOT)
    expect(draft(page)).to_have_value(QUESTION)
    expect(page.locator("#messages > .message:visible")).to_have_count(0)
    try_again(page)
    expect_complete(page, again)
    expect(draft(page)).to_have_value("")


# Ended by the server


def test_response_finishes_in_a_long_drain(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM="text=echo,gap=1ms,fault=stall@3:2s", DRAIN_TIMEOUT="20s")
    page = open_page(server)
    start_held_turn(page)
    open_page.allow("status of 503", LOST)
    server.signal(signal.SIGTERM)
    wait_until_ended(page)
    assert texts(page) == [QUESTION, QUESTION]
    assert server.wait() == 0


def test_response_cut_by_a_short_drain_is_reported(open_page: Pages, serve: Serve, tmp_path: Path) -> None:
    where = {"HISTORY_URL": f"sqlite:///{tmp_path}/history", "SIM": HELD, "DRAIN_TIMEOUT": "100ms"}
    server = serve(**where)
    page = open_page(server)
    start_held_turn(page)
    open_page.allow("status of 503", LOST)
    server.signal(signal.SIGTERM)
    expect_broken_off(page, "The server is shutting down; the response is not complete.")
    assert server.wait() == 0
    again = serve(PORT=str(server.port), **where)
    assert [each.get("status") for each in history(again)] == [None, "interrupted"]
    page.reload()
    wait_until_ended(page, "interrupted")
    assert texts(page) == contents(again) == [QUESTION, BEGUN]
    press(page, "Regenerate")
    gate(again, "hold")
    expect_complete(page, again)


@pytest.mark.parametrize("sim", [HELD, BEFORE_TOKENS], ids=["in the middle", "before the first token"])
def test_response_stopped_elsewhere_is_marked_as_stopped(open_page: Pages, serve: Serve, sim: str) -> None:
    server = serve(SIM=sim)
    page = open_page(server)
    ask(page, QUESTION)
    turn = turn_id(page)
    if sim == HELD:
        expect_text(page, BEGUN)
    assert call(server, f"/chat/turns/{turn}/stop", method="POST")[0] == 204
    expect(alert(page)).to_contain_text("The response was stopped elsewhere.")
    wait_until_idle(page)
    if sim == HELD:
        assert texts(page) == contents(server) == [QUESTION, BEGUN]
    else:
        expect(draft(page)).to_have_value(QUESTION)
        assert texts(page) == contents(server) == []
    gate(server, "hold")
    try_again(page)
    expect_complete(page, server)


# Another server continues


def test_response_is_resumed_from_another_server(
    behind: Behind, open_page: Pages, pair: tuple[ServerProcess, ServerProcess]
) -> None:
    first, second = pair
    proxy = behind(first)
    page = open_page(proxy.root)
    start_held_turn(page)
    open_page.expect(LOST)
    proxy.to = second.port
    proxy.cut()
    gate(first, "hold")
    expect_complete(page, second)
    assert proxy.followed_after() == [3]


def test_loss_of_the_responding_server_is_reported_by_another(
    behind: Behind, open_page: Pages, pair: tuple[ServerProcess, ServerProcess]
) -> None:
    first, second = pair
    proxy = behind(first)
    page = open_page(proxy.root)
    start_held_turn(page)
    open_page.expect(LOST)
    open_page.allow("status of 503", GONE)
    proxy.to = second.port
    kill(first)
    expect_broken_off(page, "The server stopped during the response, which is not complete.")
    gate(second, "hold")
    try_again(page)
    expect_complete(page, second)


# Other tabs, other conversations


def test_two_pages_that_ask_at_once_get_their_own_responses(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    start_held_turn(page)
    other = open_page(server)
    ask(other, "one two three four")
    expect_text(other, "one two three")
    gate(server, "hold")
    for each, last in ((page, QUESTION), (other, "one two three four")):
        wait_until_ended(each)
        assert texts(each) == [last, last]
    each_once = sorted([QUESTION, QUESTION, "one two three four", "one two three four"])
    page.reload()
    expect(last_response(page)).to_have_attribute("data-state", "complete")
    assert sorted(texts(page)) == sorted(contents(server)) == each_once


def test_response_that_ended_meanwhile_is_shown_as_stored(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    turn = start_held_turn(page)
    page.get_by_role("button", name="New conversation").click()
    gate(server, "hold")
    call(server, f"/chat/turns/{turn}")  # returns once the turn is stored
    complete_turn(page, "elsewhere")
    assert texts(page) == ["elsewhere", "elsewhere"]
    sent = requests(page)
    page.locator(".conversation", has_text=WORDS[0]).click()
    expect_complete(page, server)
    assert not [each for each in sent if each == "POST /chat" or "/chat/turns" in each]
    page.go_back()
    expect(response_text(page)).to_have_text("elsewhere")


def test_two_running_responses_of_two_conversations_are_resumed(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    start_held_turn(page)
    page.get_by_role("button", name="New conversation").click()
    ask(page, "one two three four")
    expect_text(page, "one two three")
    page.go_back()
    expect_text(page, BEGUN)
    open_page.allow("status of 404")  # of a conversation that is not stored yet
    page.go_forward()
    expect_text(page, "one two three")
    gate(server, "hold")
    expect_text(page, "one two three four")
    wait_until_ended(page)
    page.go_back()
    expect_complete(page, server)


def test_unsent_question_is_the_draft_of_its_own_conversation(proxied: Proxied, open_page: Pages) -> None:
    _, proxy, page = proxied()
    expect(page.locator("#empty")).to_be_visible()
    proxy.hang()
    ask(page, QUESTION)
    expect(status(page)).to_have_text("Generating…")
    page.get_by_role("button", name="New conversation").click()
    open_page.expect(LOST)
    proxy.refuse()
    expect(draft(page)).to_have_value("")
    page.wait_for_function("() => sessionStorage.getItem('tokenfall:draft:default')")
    proxy.heal()
    page.go_back()
    expect(draft(page)).to_have_value(re.compile(QUESTION))
