"""SQL statements name their parameters or count them by `?`: Python 3.12.0 to 3.12.3 warns of numbered ones (`?1`)."""

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "tokenfall"
NUMBERED = re.compile(r"[ (=,]\?\d")


def test_parameters_of_statements_are_not_numbered() -> None:
    modules = sorted(PACKAGE.rglob("*sqlite*.py"))

    assert modules
    assert [path.name for path in modules if NUMBERED.search(path.read_text(encoding="utf-8"))] == []


def test_numbered_parameter_is_detected() -> None:
    assert NUMBERED.search("SELECT 1 WHERE id = ?1")
    assert not NUMBERED.search("SELECT 1 WHERE id = ?")
