"""Usage as providers count it. Pure."""

from typing import Any

from tokenfall.events import Usage


def usage_of(usage: dict[str, Any]) -> Usage:
    """Numbers may be floats, strings or null; a count that is missing or no number is 0."""
    return Usage(
        prompt_tokens=count(usage.get("prompt_tokens")) or count(usage.get("input_tokens")),
        completion_tokens=count(usage.get("completion_tokens")) or count(usage.get("output_tokens")),
    )


def whole_number(value: object) -> int | None:
    """A number that may be a float or a string; None for everything else."""
    try:
        return int(float(value)) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def count(value: object) -> int:
    """A count of tokens, 0 for everything that is none."""
    return max(0, whole_number(value) or 0)
