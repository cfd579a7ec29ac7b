import re
from pathlib import Path

import pytest

from tokenfall.simulator.scenarios.files import read_script
from tokenfall.simulator.scenarios.nodes import InvalidScenario

PAGE = (Path(__file__).parents[4] / "docs" / "scenarios.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(yaml|json)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_has_examples_in_both_notations() -> None:
    assert sorted(notation for notation, _ in EXAMPLES) == ["json", "yaml", "yaml"]


@pytest.mark.parametrize(("notation", "text"), EXAMPLES)
def test_an_example_is_a_script(notation: str, text: str) -> None:
    assert read_script(text.encode(), name=f"example.{notation}").turns


def test_the_shown_refusal_is_what_is_said() -> None:
    with pytest.raises(InvalidScenario) as raised:
        read_script(b"- say:\n  - text: a\n  - cal: {}\n", name="weather.yaml")

    assert str(raised.value) in PAGE
