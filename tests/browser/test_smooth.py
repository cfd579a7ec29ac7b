"""Cost of rendering long responses: each frame renders only new text, and completed blocks are not changed.

The durations of frames and draws are written to `smooth-*.json` beside the screenshots, and are measured by
`make bench`. The tests assert only counts, which do not depend on the machine: draws and changes per token and frame.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Artefact
from tests.browser.frames import Frames, frames
from tests.browser.long_answers import LONG
from tests.browser.pages import Pages
from tests.browser.steps import ask, contents, last_response, response_text, wait_until_ended
from tests.end_to_end.conftest import Serve

ENDS_WITHIN_MS = 60_000
NODES_A_TOKEN = 8  # elements that are created or changed, at most

# Counts the draws of the page from now on, and its changes of completed blocks.
_COUNT = """async (half) => {
  const { StreamingMarkdown } = await import('/web/streaming_markdown.js');
  const sums = { draws: 0, drawsMs: [], changes: [0, 0], touched: [], behindPx: 0 };
  let characters = 0;
  const { append } = StreamingMarkdown.prototype;
  StreamingMarkdown.prototype.append = function (text) {
    const startMs = performance.now();
    characters += text.length;
    append.call(this, text);
    sums.drawsMs.push(performance.now() - startMs);
    sums.draws += 1;
  };
  const log = document.querySelector('#log');
  const look = () => {
    sums.behindPx = Math.max(sums.behindPx, log.scrollHeight - log.clientHeight - log.scrollTop);
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  const closed = new Set(); // blocks of the answer that have others after them
  const blockOf = (node, box) => {
    let block = node;
    while (block && block.parentNode !== box) block = block.parentNode;
    return block;
  };
  new MutationObserver((records) => {
    const box = document.querySelector('#messages > .assistant:last-child .text');
    for (const { target, addedNodes, removedNodes } of records) {
      if (!box?.contains(target)) continue;
      sums.changes[Number(characters > half)] += 1 + addedNodes.length + removedNodes.length;
      const touched = target === box ? [...removedNodes] : [blockOf(target, box)];
      sums.touched.push(...touched.filter((block) => closed.has(block)).map((block) => block.textContent.slice(0, 40)));
    }
    [...(box?.children ?? [])].slice(0, -1).forEach((block) => closed.add(block));
  }).observe(document.querySelector('#messages'), { childList: true, subtree: true, characterData: true });
  globalThis.counted = sums;
}"""

_NODES = "document.createTreeWalker(document, NodeFilter.SHOW_ALL)"


@pytest.fixture
def web() -> None:
    """The single files: the test changes a class that the page uses."""


@pytest.fixture(params=LONG)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def quiet(page: Page) -> Frames:
    """The frames of an idle page."""
    with frames(page) as seen:
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 500))")
    return seen


def figures(page: Page, seen: Frames, before: Frames, *, text: str) -> dict[str, Any]:
    counted = page.evaluate("counted")
    draws = sorted(counted["drawsMs"])
    half = len(counted["drawsMs"]) // 2
    return {
        "tokens": len(text.split()),
        "total_s": round(sum(seen.intervals_ms) / 1000, 2),
        "frames": len(seen.intervals_ms),
        "frame_ms": {"p50": seen.quantile_ms(0.5), "p95": seen.quantile_ms(0.95), "worst": seen.worst_ms},
        "frame_ms_before": {"p50": before.quantile_ms(0.5), "p95": before.quantile_ms(0.95), "worst": before.worst_ms},
        "long_tasks": len(seen.long_tasks_ms),
        "longest_task_ms": max(seen.long_tasks_ms, default=0),
        "draws": counted["draws"],
        "draw_ms": {"p50": draws[half], "p95": draws[int(len(draws) * 0.95)], "worst": draws[-1]},
        "draw_ms_p50_of_halves": [
            sorted(part)[len(part) // 2] for part in (counted["drawsMs"][:half], counted["drawsMs"][half:])
        ],
        "changes": counted["changes"],
        "touched": counted["touched"],
        "behind_px": counted["behindPx"],
        "nodes": page.evaluate(
            f"(() => {{ const walk = {_NODES}; let nodes = 0; while (walk.nextNode()) nodes += 1; return nodes; }})()"
        ),
    }


@pytest.mark.timeout(120)
def test_long_response_stays_smooth(
    open_page: Pages, serve: Serve, artefact: Artefact, tmp_path: Path, name: str
) -> None:
    text, gap = LONG[name]
    (tmp_path / "long.json").write_text(json.dumps([{"say": text}]), encoding="utf-8")
    server = serve(SIM=f"script={tmp_path / 'long.json'},gap={gap}", MAX_TOKENS="20000")
    page = open_page(server)
    page.evaluate(_COUNT, len(text) // 2)
    before = quiet(page)
    with frames(page) as seen:
        ask(page, "Go on.")
        expect(page.locator("#stop")).to_be_hidden(timeout=ENDS_WITHIN_MS)
    found = figures(page, seen, before, text=text)
    artefact(f"smooth-{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")

    wait_until_ended(page)
    assert contents(server) == ["Go on.", text]
    assert found["draws"] <= found["frames"] + 3
    assert found["touched"] == []
    early, late = found["changes"]
    assert early + late <= NODES_A_TOKEN * found["tokens"]
    assert late <= 1.5 * early  # the cost does not grow with the length
    assert found["behind_px"] <= 1
    grown = response_text(page).inner_html()
    page.reload()
    expect(last_response(page)).to_have_attribute("data-state", "complete")
    assert response_text(page).inner_html() == grown
