from typing import Any

import pytest

from tokenfall.events import Usage
from tokenfall.wire.upstream.usage import usage_of


@pytest.mark.parametrize(
    ("fields", "usage"),
    [
        ({}, Usage(9, 5)),
        ({"prompt_tokens_details": {"cached_tokens": 4}}, Usage(9, 5, 4)),
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}, Usage(9, 5, 4, 3)),
        ({"prompt_tokens_details": None, "prompt_cache_hit_tokens": "4"}, Usage(9, 5, 4)),
        ({"input_tokens_details": {"cached_tokens": 4.0}}, Usage(9, 5, 4)),
        ({"cached_tokens": 4}, Usage(9, 5, 4)),
        ({"prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 3}}, Usage(9, 5, 9)),
        ({"prompt_tokens_details": {"cached_tokens": None}, "completion_tokens_details": []}, Usage(9, 5)),
        ({"completion_tokens_details": {"reasoning_tokens": 2}}, Usage(9, 5, reasoning_tokens=2)),
        ({"output_tokens_details": {"reasoning_tokens": 2}}, Usage(9, 5, reasoning_tokens=2)),
        ({"cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}, Usage(9, 5, 4, 3)),
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_creation_tokens": 3}}, Usage(9, 5, 4, 3)),
        ({"completion_tokens": None, "total_tokens": 14}, Usage(9, 5)),
        ({"completion_tokens": None, "total_tokens": 4}, Usage(9, 0)),
        ({"reasoning_tokens": 2}, Usage(9, 5, reasoning_tokens=2)),
        ({"reasoning_tokens": 2, "total_tokens": 14}, Usage(9, 5, reasoning_tokens=2)),
        ({"reasoning_tokens": 2, "total_tokens": 16}, Usage(9, 7, reasoning_tokens=2)),
        ({"reasoning_tokens": 8}, Usage(9, 13, reasoning_tokens=8)),
    ],
)
def test_cached_and_reasoning_tokens_are_found_in_any_place(fields: dict[str, Any], usage: Usage) -> None:
    assert usage_of({"prompt_tokens": 9, "completion_tokens": 5, **fields}) == usage


def test_members_of_anthropic_exclude_the_cache_from_the_prompt() -> None:
    usage = {"input_tokens": 2, "output_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}

    assert usage_of(usage) == Usage(9, 5, 4, 3)
