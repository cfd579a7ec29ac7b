"""Normalizes the token usage that providers report. Pure."""

from typing import Any

from tokenfall.events import Usage


def usage_of(usage: dict[str, Any]) -> Usage:
    """Numbers may be floats, strings or null; a missing or invalid count is 0.

    Cached tokens are in `prompt_tokens_details` (OpenAI), `input_tokens_details`, or in `usage` itself (DeepSeek).
    """
    prompt = count(usage.get("prompt_tokens")) or count(usage.get("input_tokens"))
    completion = count(usage.get("completion_tokens")) or count(usage.get("output_tokens"))
    prompt_details = _details(usage, "prompt_tokens_details", "input_tokens_details")
    completion_details = _details(usage, "completion_tokens_details", "output_tokens_details")
    cached = count(prompt_details.get("cached_tokens")) or count(usage.get("prompt_cache_hit_tokens"))
    reasoning = count(completion_details.get("reasoning_tokens")) or count(usage.get("reasoning_tokens"))
    cached = min(cached or count(usage.get("cached_tokens")), prompt)
    written = min(count(prompt_details.get("cache_write_tokens")), prompt - cached)
    return Usage(prompt, completion, cached, written, reasoning)


def _details(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    return next((found for name in names if isinstance(found := usage.get(name), dict)), {})


def whole_number(value: object) -> int | None:
    """The integer value of an int, float or numeric string; None for everything else."""
    try:
        return int(float(value)) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def count(value: object) -> int:
    """A token count, 0 for everything else."""
    return max(0, whole_number(value) or 0)
