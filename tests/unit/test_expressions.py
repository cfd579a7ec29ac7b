"""Every regular expression of `src` is in the table and takes linear time on hostile texts."""

from pathlib import Path

import pytest

from tests.doubles.growth import cpu_s
from tests.unit.expressions import TABLE, Expression, expressions

NOTE = Path(__file__).parents[2] / "docs" / "decisions" / "0020-bounded-work.md"
SIZES = (1 << 10, 1 << 13, 1 << 16)
BOUND_S = 0.15
"""At the largest size a linear search takes less than a tenth of this, a quadratic one about twenty times this."""

UNITS = (
    " ", "\t\r\n", "a", "1", "-", "_", "\\", '"', "=", "{", "[", "(", "<", "`", ".", "/*", "a ", "1h", "1.", "a=",
    ", ", "Bearer ", '\\"', '":', '" : ', '"a":"b",', '"api_key":"', '"api_key" ', '\\"password\\": \\"', "sk-",
    "sk-a ", "AIza", "[1", "[1]", "e1", "\\\\Z'", "Expected `", "aaaa\r\n", '"content"', '"content":', "é", "😀",
    "http://", "q=0.",
)  # fmt: skip
ENDS = ("", "!")

ALL = list(expressions())


def test_table_lists_every_regular_expression_of_the_sources() -> None:
    found = {module: sum(each.module == module for each in ALL) for module in {each.module for each in ALL}}

    assert found == {module: len(uses) for module, uses in TABLE.items()}


@pytest.mark.parametrize("expression", ALL, ids=str)
@pytest.mark.slow
def test_regular_expression_takes_linear_time_on_hostile_texts(expression: Expression) -> None:
    use, why = TABLE[expression.module][expression.number]
    if use is None:
        assert why
        return
    pattern = expression.pattern
    assert pattern is not None, "only a literal can be tested"
    for size in SIZES:
        for unit in UNITS:
            for end in ENDS:
                text = unit * (size // len(unit)) + end
                given = text.encode() if isinstance(pattern.pattern, bytes) else text
                took_s = cpu_s(lambda: use(pattern, given), tries=2 if size == SIZES[-1] else 1)  # noqa: B023 - called in the same iteration
                assert took_s < BOUND_S, f"{took_s:.3f} s for {size} characters of {unit!r} and {end!r}"


@pytest.mark.parametrize("module", TABLE)
def test_decision_note_has_the_reason_of_each_regular_expression(module: str) -> None:
    lines = [line for line in NOTE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{module}` |")]

    assert [line.split(" | ")[2].removesuffix(" |") for line in lines] == [why for _, why in TABLE[module]]
