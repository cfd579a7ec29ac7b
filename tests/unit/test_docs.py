"""The documentation lists every route, setting and error, and its links resolve."""

import re
from datetime import date
from pathlib import Path

import pytest

from tokenfall.api.problems import CODE_OF_STATUS, STATUS_OF_CODE
from tokenfall.api.routing import Route
from tokenfall.bootstrap import Server
from tokenfall.reactor.loop import Reactor
from tokenfall.settings import Settings
from tokenfall.simulator.grammar import KEYS

from scripts.settings_docs import PAGE, with_table

ROOT = Path(__file__).parents[2]
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SETTINGS = PAGE.read_text(encoding="utf-8")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)`")
FENCED = re.compile(r"```.*?```", re.DOTALL)
HARMLESS_HOSTS = ("127.0.0.1", "localhost", "www.w3.org", "example.com")
LOCAL_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|work|Users)/")


def route_lines() -> list[str]:
    return [line for line in API.splitlines() if line.startswith("| `")]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub generates for a page's headings."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


async def registered_routes() -> list[Route]:
    reactor = Reactor()
    try:
        return Server(Settings(), None, reactor=reactor, json_logs=False).routes()
    finally:
        reactor.close()


async def test_api_page_has_a_line_for_every_route() -> None:
    for route in await registered_routes():
        lines = [line for line in route_lines() if line.startswith(f"| `{route.method} {route.path}`")]
        assert len(lines) == 1, f"{route.method} {route.path}"
        cells = [cell.strip() for cell in lines[0].strip("|").split("|")]
        while_draining = "503" if not route.open_while_draining or route.path == "/readyz" else "served"
        assert cells[2:] == ["yes" if route.keyed else "no", "yes" if route.limited else "no", while_draining], (
            route.path
        )


async def test_api_page_has_no_unknown_route() -> None:
    known = {f"{route.method} {route.path}" for route in await registered_routes()}
    listed = set(re.findall(r"^\| `((?:GET|POST|DELETE|PATCH|PUT) \S+)`", API, re.MULTILINE))

    assert listed <= known


def test_api_page_has_every_error_code_with_its_status() -> None:
    known = set(STATUS_OF_CODE.items()) | {(code, status) for status, code in CODE_OF_STATUS.items()}
    listed = re.findall(r"^\| `([a-z_]+)` *\| (\d{3}) +\|", API, re.MULTILINE)

    assert sorted(listed) == sorted((code, str(status)) for code, status in known)


def test_api_page_has_every_key_of_the_grammar() -> None:
    _, _, section = API.partition("### The simulator's grammar")

    for key in KEYS:
        assert re.search(rf"^\| `{key}` ", section, re.MULTILINE), key


def test_settings_page_is_up_to_date() -> None:
    assert with_table(SETTINGS) == SETTINGS, "run scripts/settings_docs.py"


def test_settings_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        with_table("# Settings\n")


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_decision_has_number_date_and_test(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    title, dated, tested_by = re.match(r"# (\d{4}): .+\n\nDate: (\d{4}-\d\d-\d\d)\nTested by: (.+)\n", text).groups()  # type: ignore[union-attr] # fails for a page without them
    tests = NAMED_TEST.findall(tested_by)

    assert title == page.name[:4]
    assert date.fromisoformat(dated) >= date(2026, 11, 20)
    assert tests
    assert [test for test in tests if not (ROOT / test).is_file()] == []


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [page.name[:4] for page in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert file.resolve().is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_contain_no_internal_host_or_path(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert [host for host in re.findall(r"http://([\w.-]+)", text) if host not in HARMLESS_HOSTS] == []
    assert LOCAL_PATH.findall(text) == []
