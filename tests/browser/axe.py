"""Runs axe-core, an accessibility checker, in a page."""

from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SOURCE = Path(__file__).parents[1] / "npm" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")

_RUN = """([tags, within, without]) => axe.run(within ?? document, {
  runOnly: { type: 'tag', values: tags },
  rules: Object.fromEntries(without.map((rule) => [rule, { enabled: false }])),
  resultTypes: ['violations'],
})"""


def axe(page: Page, *, within: str | None = None, without: Collection[str] = ()) -> list[str]:
    """The violations in the current page, or in the element that the selector `within` matches.

    `without` lists rules to disable; the test states the reason. Use: `assert axe(page) == []`.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(_source())  # by the debugger, to which the page's CSP does not apply
    found = page.evaluate(_RUN, [TAGS, within, list(without)])
    return ["\n".join(_lines(violation)) for violation in found["violations"]]


@cache
def _source() -> str:
    if not SOURCE.is_file():
        raise FileNotFoundError(f"{SOURCE} is missing: make test installs it")
    return SOURCE.read_text(encoding="utf-8")


def _lines(violation: dict[str, Any]) -> Iterator[str]:
    yield f"{violation['id']} ({violation['impact']}): {violation['help']}"
    for node in violation["nodes"]:
        yield f"  {' '.join(map(str, node['target']))}  {node['html'][:200]}"
        yield from (f"    {line.strip()}" for line in node["failureSummary"].splitlines() if line.strip())
