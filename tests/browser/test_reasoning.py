"""What a model thinks before it answers, on the chat page."""

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.pages import Pages
from tests.browser.steps import answer, ask, begun, ended, gate, history, says, set_sim
from tests.end_to_end.conftest import Serve

SCRIPT = """
- say:
    - think: "They greet me."
    - text: "Good morning."
"""


def test_reasoning_is_shown_folded_during_the_response_and_stored(
    open_page: Pages, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "thinks.yaml").write_text(SCRIPT, encoding="utf-8")
    server = serve(SIM_FILES=str(tmp_path))
    set_sim(server, "script=thinks.yaml,gap=1ms,gate=hold@2")
    page = open_page(server)
    ask(page, "Hello")
    begun(page)
    thoughts = answer(page).locator(".reasoning")
    expect(thoughts.locator("summary")).to_have_text("Thinking…")
    expect(thoughts.locator("p")).to_be_hidden()
    thoughts.locator("summary").click()
    expect(thoughts.locator("p")).to_have_text("They greet")
    page.reload()
    expect(thoughts.locator("p")).to_have_text("They greet")
    gate(server, "hold")
    says(page, "Good morning.")
    ended(page)
    expect(thoughts.locator("summary")).to_contain_text("Thought for")
    kept = history(server)[-1]
    assert (kept["content"], kept["reasoning"]) == ("Good morning.", "They greet me.")
    page.reload()
    ended(page)
    expect(thoughts.locator("summary")).to_contain_text("Thought for")
    thoughts.locator("summary").click()
    expect(thoughts.locator("p")).to_have_text("They greet me.")
