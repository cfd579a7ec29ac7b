"""Reasoning on the chat page, from the simulator and from an upstream."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.pages import Pages
from tests.browser.steps import (
    ask,
    call,
    complete_turn,
    expect_text,
    gate,
    history,
    last_response,
    serve_relay,
    set_sim,
    turn_id,
    wait_until_ended,
)
from tests.end_to_end.conftest import Serve

SCRIPT = """
- say:
    - think: "They greet me."
    - text: "Good morning."
"""


THINKS = "script=thinks.yaml,gap=1ms,gate=hold@2"


@pytest.mark.parametrize("is_relayed", [False, True])
def test_reasoning_is_shown_folded_during_the_response_and_stored(
    open_page: Pages, serve: Serve, tmp_path: Path, is_relayed: bool
) -> None:
    (tmp_path / "thinks.yaml").write_text(SCRIPT, encoding="utf-8")
    model = serve(SIM_FILES=str(tmp_path))
    set_sim(model, THINKS)
    server = serve_relay(serve, model) if is_relayed else model
    page = open_page(server)
    ask(page, "Hello")
    turn_id(page)
    thoughts = last_response(page).locator(".reasoning")
    expect(thoughts.locator("summary")).to_have_text("Thinking…")
    expect(thoughts.locator("p")).to_be_hidden()
    thoughts.locator("summary").click()
    expect(thoughts.locator("p")).to_have_text("They greet")
    page.reload()
    expect(thoughts.locator("p")).to_have_text("They greet")
    gate(model, "hold")
    expect_text(page, "Good morning.")
    wait_until_ended(page)
    expect(thoughts.locator("summary")).to_contain_text("Thought for")
    kept = history(server)[-1]
    assert (kept["content"], kept["reasoning"]) == ("Good morning.", "They greet me.")
    page.reload()
    wait_until_ended(page)
    expect(thoughts.locator("summary")).to_contain_text("Thought for")
    thoughts.locator("summary").click()
    expect(thoughts.locator("p")).to_have_text("They greet me.")


def test_stored_reasoning_is_sent_back_to_the_model(open_page: Pages, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "thinks.yaml").write_text(SCRIPT, encoding="utf-8")
    model = serve(SIM_FILES=str(tmp_path))
    set_sim(model, "script=thinks.yaml,gap=1ms")
    call(model, "/sim", method="PATCH", body={"journal": True})
    page = open_page(serve_relay(serve, model))
    complete_turn(page, "Hello")
    complete_turn(page, "Again")
    chats = [each for each in call(model, "/sim/requests")[1]["requests"] if each["path"].endswith("/chat/completions")]
    _, earlier, _ = json.loads(chats[-1]["body"])["messages"]
    assert (earlier["content"], earlier["reasoning_content"]) == ("Good morning.", "They greet me.")


def test_reasoning_counts_as_progress_and_its_time_is_shown(open_page: Pages, serve: Serve, tmp_path: Path) -> None:
    """The first text token comes after the timeout; until then there is only reasoning."""
    script = SCRIPT.replace("They greet me.", "They greet me. " * 20)
    (tmp_path / "thinks.yaml").write_text(script, encoding="utf-8")
    model = serve(SIM_FILES=str(tmp_path))
    set_sim(model, "script=thinks.yaml,gap=40ms")
    page = open_page(serve_relay(serve, model, UPSTREAM_FIRST_TOKEN_TIMEOUT="1s"))
    complete_turn(page, "Hello")
    expect(last_response(page).locator(".reasoning summary")).to_have_text(re.compile(r"^Thought for [23] s$"))
