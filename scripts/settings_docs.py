"""Writes the table of docs/settings.md from the fields of `tokenfall.settings.Settings`.

The table is between two markers; the rest of the page is not changed. A test fails if the page is not up to date.

Usage: settings_docs.py
"""

import sys
from pathlib import Path

from tokenfall.cli.flags import flag
from tokenfall.settings.fields import SETTINGS
from tokenfall.settings.loading import format_value

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
HEADINGS = ("environment", "flag", "default", "value", "meaning")


def table() -> str:
    """One row per setting, in the order of the fields."""
    rows = [
        (
            f"`{field.upper()}`",
            f"`{flag(field)}`" if about.flag else "none",
            _default(format_value(about.default, about.kind)),
            about.kind.takes,
            about.help,
        )
        for field, about in SETTINGS.items()
    ]
    return "\n".join(_line(cells) for cells in (HEADINGS, ("---",) * len(HEADINGS), *rows))


def with_table(text: str) -> str:
    """`text` with the table between its markers. Raises ValueError if they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Rewrite the page and return the exit status."""
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def _default(text: str) -> str:
    return text if text == "none" else f"`{text}`"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.exit(main())
