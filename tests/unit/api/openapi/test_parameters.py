import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenfall.api.openapi.parameters import PATTERNS
from tokenfall.simulator.grammar import KEYS, from_pairs


@pytest.mark.parametrize("key", sorted(PATTERNS))
def test_value_that_matches_the_schema_pattern_is_valid_grammar(key: str) -> None:
    @settings(max_examples=50, derandomize=True, database=None)
    @given(st.from_regex(PATTERNS[key].replace("$", r"\Z").replace(r"\d", "[0-9]")))
    def is_accepted(value: str) -> None:
        from_pairs([(key, value)])

    assert key in KEYS
    is_accepted()
