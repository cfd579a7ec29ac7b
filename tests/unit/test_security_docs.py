"""docs/security.md: each threat names a test that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)`(?:: `(test_\w+)`)?")


def threats() -> list[str]:
    table = PAGE.partition("## Threats")[2].partition("## Out of scope")[0]
    return [line for line in table.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("threat", threats())
def test_each_threat_names_a_test_that_exists(threat: str) -> None:
    named = NAMED.findall(threat.split(" | ")[2])

    assert named
    for file, function in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert f"def {function}(" in source if function else "def test_" in source, f"{file}: {function}"


def test_security_policy_links_to_the_page() -> None:
    assert "(docs/security.md)" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "## Report a vulnerability" in PAGE
