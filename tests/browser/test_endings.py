"""The display of each kind of end of a response, from the simulator and from an upstream."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.pages import Pages
from tests.browser.refusing_model import refusing_model
from tests.browser.steps import (
    alert,
    ask,
    expect_text,
    history,
    last_response,
    serve_relay,
    set_sim,
    status,
    wait_until_ended,
)
from tests.end_to_end.conftest import Serve

SCRIPT = """
- when: {last: length}
  say: "One two three"
  finish_reason: length
- when: {last: filter}
  say: "One two"
  finish_reason: content_filter
- when: {last: tool}
  say:
    - text: "Let me look."
    - call: {name: weather, arguments: {city: Paris}}
- when: {last: fails}
  say:
    - text: "One two"
    - error: planted
- say: "Good morning."
"""

ENDS = {
    "length": ("One two three", "Stopped at the limit", "Stopped at the limit of 3 tokens"),
    "filter": ("One two", "Filtered", "Cut off by the content filter of the provider"),
    "tool": ("Let me look.", "Ended with a tool call", "Ended with a tool call, which this page cannot run"),
}
"""By question: the text, the status, and the note below the response."""

FAILS = "The model failed in the middle of the response, which is not complete"


@pytest.mark.parametrize("question", ENDS)
@pytest.mark.parametrize("is_relayed", [False, True])
def test_end_of_each_kind_has_its_words_also_after_a_reload(
    open_page: Pages, serve: Serve, tmp_path: Path, is_relayed: bool, question: str
) -> None:
    (tmp_path / "ends.yaml").write_text(SCRIPT, encoding="utf-8")
    model = serve(SIM_FILES=str(tmp_path))
    set_sim(model, "script=ends.yaml,gap=1ms")
    page = open_page(serve_relay(serve, model) if is_relayed else model)
    text, state, note = ENDS[question]
    ask(page, question)
    wait_until_ended(page)
    expect_text(page, text)
    expect(status(page)).to_have_text(state)
    expect(alert(page)).to_be_empty()
    expect(last_response(page).locator(".note .ended")).to_have_text(note)
    page.reload()
    wait_until_ended(page)
    expect_text(page, text)
    expect(last_response(page).locator(".note .ended")).to_have_text(note)
    if question == "length":
        expect(last_response(page).get_by_role("button", name="Continue")).to_be_visible()


@pytest.mark.parametrize("is_relayed", [False, True])
def test_failed_response_has_its_reason_also_after_a_reload(
    open_page: Pages, serve: Serve, tmp_path: Path, is_relayed: bool
) -> None:
    (tmp_path / "ends.yaml").write_text(SCRIPT, encoding="utf-8")
    model = serve(SIM_FILES=str(tmp_path))
    set_sim(model, "script=ends.yaml,gap=1ms")
    page = open_page(serve_relay(serve, model) if is_relayed else model)
    ask(page, "fails")
    wait_until_ended(page, "failed")
    expect(alert(page)).to_contain_text(f"{FAILS}.")
    page.reload()
    wait_until_ended(page, "interrupted")
    expect_text(page, "One two")
    expect(last_response(page).locator(".note .ended")).to_have_text(f"Interrupted. {FAILS}")


def test_refusal_of_the_model_is_shown_also_after_a_reload(open_page: Pages, serve: Serve) -> None:
    with refusing_model("I cannot ", "help with that.") as model:
        server = serve(UPSTREAM_URL=model, MODEL="up-1", UPSTREAM_RETRIES="0")
        page = open_page(server)
        ask(page, "Why?")
        wait_until_ended(page)
        expect_text(page, "I cannot help with that.")
        expect(status(page)).to_have_text("Refused")
        expect(alert(page)).to_be_empty()
        expect(last_response(page).locator(".note .ended")).to_have_text("Refused by the model")
        page.reload()
        wait_until_ended(page)
        expect_text(page, "I cannot help with that.")
        expect(last_response(page).locator(".note .ended")).to_have_text("Refused by the model")
        assert history(server)[-1]["finish_reason"] == "refusal"
