import re
from pathlib import Path

import pytest

from tokenfall.simulator.scenarios.files import read_scenario
from tokenfall.simulator.scenarios.nodes import InvalidScenario

PAGE = (Path(__file__).parents[4] / "docs" / "scenarios.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(yaml|json)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_page_has_examples_in_both_formats() -> None:
    assert sorted(notation for notation, _ in EXAMPLES) == ["json", "yaml", "yaml"]


@pytest.mark.parametrize(("notation", "text"), EXAMPLES)
def test_example_on_the_page_is_a_valid_scenario(notation: str, text: str) -> None:
    assert read_scenario(text.encode(), name=f"example.{notation}").turns


def test_error_message_on_the_page_is_the_real_one() -> None:
    with pytest.raises(InvalidScenario) as raised:
        read_scenario(b"- say:\n  - text: a\n  - cal: {}\n", name="weather.yaml")

    assert str(raised.value) in PAGE
