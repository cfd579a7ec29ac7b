"""The model, the settings of a conversation, and the examples of an empty one."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import (
    alert,
    ask,
    complete_turn,
    draft,
    last_response,
    messages,
    posted_bodies,
    press,
    response_text,
    status,
    wait_until_ended,
)
from tests.browser.test_look import DESK, PHONE, look, sound
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

FAST = "gap=1ms"
LONG = "A long response, to try Stop"


def intro(page: Page) -> Locator:
    return page.locator("#intro")


def example(page: Page, name: str) -> Locator:
    return intro(page).get_by_role("button", name=name)


def model(page: Page) -> Locator:
    return page.get_by_label("Model", exact=True)


def settings(page: Page) -> Locator:
    return page.locator("#settings")


def offered(page: Page) -> list[str]:
    names: list[str] = model(page).locator("option").all_inner_texts()
    return names


@contextmanager
def changed(page: Page) -> Iterator[Locator]:
    """Opens the dialog of the settings for the block, and saves it at the end."""
    settings(page).click()
    dialog = page.get_by_role("dialog", name="Settings of this conversation")
    expect(dialog).to_be_visible()
    yield dialog
    dialog.get_by_role("button", name="Save").click()


@pytest.fixture
def upstream(serve: Serve) -> ServerProcess:
    """A server whose upstream is another one, with the model name `big`."""
    provider = serve(SIM=f"text=echo,{FAST}")
    return serve(UPSTREAM_URL=f"http://127.0.0.1:{provider.port}/v1", MODEL="big", UPSTREAM_RETRIES="0")


# The first visit


def test_first_visit_explains_the_simulator_and_how_to_change_it(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST), "/web")
    expect(intro(page)).to_contain_text("The simulator responds here.")
    expect(intro(page)).to_contain_text("put GROQ_API_KEY=gsk_... into .env")
    example(page, "A streamed response").click()
    expect(intro(page)).to_be_hidden()
    wait_until_ended(page)
    expect(last_response(page).locator(".who")).to_have_text("sim")


def test_example_can_be_stopped(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(), "/web")
    example(page, LONG).click()
    expect(response_text(page)).to_contain_text("Large language")
    page.locator("#stop").click()
    wait_until_ended(page, "stopped")


def test_example_of_a_fault_fails_and_its_retry_succeeds(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST), "/web")
    example(page, "A failure in the middle").click()
    wait_until_ended(page, "failed")
    expect(response_text(page)).to_contain_text("Large language")
    expect(alert(page)).to_contain_text("failed in the middle")
    page.get_by_role("button", name="Try again").click()
    wait_until_ended(page)
    assert len(messages(page)) == 2


def test_with_an_upstream_its_model_is_named_and_the_examples_are_its_own(
    open_page: Pages, upstream: ServerProcess
) -> None:
    page = open_page(upstream, "/web")
    expect(intro(page)).to_contain_text("big responds here.")
    expect(intro(page)).not_to_contain_text("simulator")
    model(page).select_option("sim")
    expect(intro(page)).to_contain_text("Choose another model below")
    model(page).select_option("")
    example(page, "Code and a table").click()
    wait_until_ended(page)
    expect(response_text(page)).to_contain_text("Write a short Python function")


def test_without_a_model_set_the_upstreams_only_one_is_named(open_page: Pages, serve: Serve) -> None:
    open_page.allow("favicon.ico")
    server = serve(UPSTREAM_URL="http://127.0.0.1:9/v1", UPSTREAM_RETRIES="0")
    page = open_page(server, "/livez")
    names = ["sim", "small", "big"]
    page.route("**/v1/models", lambda route: route.fulfill(json={"data": [{"id": name} for name in names]}))
    page.goto(f"http://127.0.0.1:{server.port}/web")
    expect(model(page).locator("option", has_text="big")).to_be_attached()
    expect(intro(page)).to_contain_text("The upstream’s model responds here.")
    names.pop()
    page.reload()
    expect(intro(page)).to_contain_text("small responds here.")
    expect(model(page).locator("option").first).to_have_text("small (default)")


def test_without_its_key_the_first_visit_claims_nothing(open_page: Pages, serve: Serve) -> None:
    open_page.expect("status of 401")
    page = open_page(serve(SIM=FAST, API_KEY="right"), "/web")
    expect(page.locator("#key")).to_be_focused()
    expect(intro(page)).to_be_empty()
    page.locator("#key").fill("right")
    page.locator("#key").press("Enter")
    expect(intro(page)).to_contain_text("The simulator responds here.")


# The model


def test_selected_model_is_stored_for_its_conversation_only(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST), "/web")
    expect(model(page).locator("option").first).to_have_text("sim (default)")
    assert offered(page)[1] == "sim as groq-70b"
    posted = posted_bodies(page)
    model(page).select_option("sim as groq-70b")
    complete_turn(page, "first")
    page.get_by_role("button", name="New conversation").click()
    expect(model(page)).to_have_value("")
    complete_turn(page, "second")
    page.go_back()
    expect(model(page)).to_have_value("sim:profile=groq-70b")
    page.reload()
    expect(model(page)).to_have_value("sim:profile=groq-70b")
    press(page, "Regenerate")
    wait_until_ended(page)
    assert [body.get("model") for body in posted] == ["sim:profile=groq-70b", None, "sim:profile=groq-70b"]


def test_models_of_the_upstream_are_offered(open_page: Pages, upstream: ServerProcess) -> None:
    page = open_page(upstream, "/livez")
    open_page.allow("favicon.ico")

    def listed(route: Route) -> None:
        route.fulfill(json={"object": "list", "data": [{"id": name} for name in ("sim", "big", "small")]})

    page.route("**/v1/models", listed)
    page.goto(f"http://127.0.0.1:{upstream.port}/web")
    expect(model(page).locator("option", has_text="small")).to_be_attached()
    assert offered(page)[:4] == ["big (default)", "big", "small", "sim"]
    model(page).select_option("small")
    expect(intro(page)).to_contain_text("small responds here.")
    complete_turn(page, "first")
    expect(last_response(page).locator(".who")).to_have_text("small")


def test_failed_model_list_offers_the_default_and_the_simulator(open_page: Pages, upstream: ServerProcess) -> None:
    open_page.allow("favicon.ico")
    open_page.expect("status of 502")
    page = open_page(upstream, "/livez")
    page.route("**/v1/models", lambda route: route.fulfill(status=502, json={}))
    page.goto(f"http://127.0.0.1:{upstream.port}/web")
    expect(model(page).locator("option").first).to_have_text("big (default)")
    assert offered(page)[1:3] == ["sim", "sim as groq-70b"]
    expect(alert(page)).to_be_empty()


# The settings


def test_settings_are_sent_with_each_question_and_shown(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST))
    expect(model(page).locator("option").first).to_have_text("sim (default)")
    posted = posted_bodies(page)
    with changed(page) as dialog:
        expect(dialog.get_by_label("Token limit of a response")).to_have_attribute("placeholder", "4096")
        expect(dialog).to_contain_text("the model gets at most the newest 20 messages of the conversation.")
        dialog.get_by_label("System prompt").fill("Be brief.")
        dialog.get_by_label("Temperature").fill("0,5")
        dialog.get_by_label("Token limit of a response").fill("3")
    expect(settings(page)).to_have_text("Settings: system prompt, temperature 0.5, limit 3")
    expect(settings(page)).to_be_focused()
    ask(page, "Why?")
    wait_until_ended(page)
    expect(last_response(page).locator(".ended")).to_have_text("Stopped at the limit of 3 tokens")
    (body,) = posted
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert (body["temperature"], body["max_tokens"]) == (0.5, 3)
    with changed(page) as dialog:
        expect(dialog.get_by_label("Temperature")).to_have_value("0.5")
        dialog.get_by_role("button", name="Clear all").click()
    expect(settings(page)).to_have_text("Settings")
    press(page, "Regenerate")
    wait_until_ended(page)
    assert not posted[1].keys() & {"temperature", "max_tokens", "model"}


def test_settings_name_the_token_limit_of_the_context(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST, CONTEXT_MESSAGES="6", CONTEXT_TOKENS="900"))
    expect(model(page).locator("option").first).to_have_text("sim (default)")
    with changed(page) as dialog:
        expect(dialog).to_have_accessible_description(
            re.compile("gets at most the newest 6 messages, up to about 900 tokens of the conversation")
        )


def test_invalid_value_is_explained_at_its_field(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST))
    with changed(page) as dialog:
        temperature = dialog.get_by_label("Temperature")
        temperature.fill("3")
        dialog.get_by_label("Token limit of a response").fill("none")
        dialog.get_by_role("button", name="Save").click()
        expect(temperature).to_be_focused()
        expect(temperature).to_have_accessible_description("A number from 0 to 2, for example 0.7.")
        expect(dialog.locator("#option-max_tokens-error")).to_have_text("A whole number from 1 to 1000000.")
        temperature.fill("1")
        dialog.get_by_label("Token limit of a response").fill("")
    expect(settings(page)).to_have_text("Settings: temperature 1")
    settings(page).click()
    page.get_by_label("Temperature").fill("9")
    page.keyboard.press("Escape")
    expect(settings(page)).to_have_text("Settings: temperature 1")


def test_settings_of_a_deleted_conversation_are_deleted(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST))
    with changed(page) as dialog:
        dialog.get_by_label("System prompt").fill("Be brief.")
    complete_turn(page, "first")
    assert "Be brief." in page.evaluate("localStorage['tokenfall:options']")
    page.locator("#menu summary").click()
    page.locator("#delete").click()
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()
    expect(status(page)).to_have_text("Deleted")
    assert page.evaluate("localStorage.length") == 0


# Layout


def test_first_visit_and_settings_have_no_violation_on_phone_and_desktop(
    open_page: Pages, serve: Serve, artefact: Artefact
) -> None:
    page = open_page(serve(SIM=FAST), "/web")

    def check(name: str) -> None:
        for theme, size in [("light", PHONE), ("dark", DESK)]:
            look(page, theme, size)
            assert sound(page) == [], (name, theme)
            page.screenshot(path=artefact(f"{name}-{theme}.png"))

    expect(example(page, LONG)).to_be_visible()
    check("first-visit")
    with changed(page) as dialog:
        dialog.get_by_label("System prompt").fill("Respond in one sentence.")
        dialog.get_by_label("Temperature").fill("warm")
        dialog.get_by_role("button", name="Save").click()
        check("settings")
        dialog.get_by_label("Temperature").fill("0.2")
    draft(page).fill("A question.")
    check("composer")


def test_all_settings_fit_below_the_controls_on_a_phone(open_page: Pages, serve: Serve) -> None:
    page = open_page(serve(SIM=FAST), "/web", viewport=PHONE)
    send = page.get_by_role("button", name="Send")
    with changed(page) as dialog:
        dialog.get_by_label("System prompt").fill("Respond in one sentence.")
        dialog.get_by_label("Temperature").fill("0.25")
        dialog.get_by_label("Token limit").fill("1000000")
    expect(settings(page)).to_have_text("Settings: system prompt, temperature 0.25, limit 1000000")
    above, beside, below = (each.bounding_box() for each in (model(page), send, settings(page)))
    assert above
    assert beside
    assert below
    assert abs(above["y"] - beside["y"]) < above["height"], "the model and Send share a row"
    assert below["y"] >= above["y"] + above["height"]
    assert below["width"] > PHONE[0] * 0.75
    assert below["height"] < 64, "two lines at most"
