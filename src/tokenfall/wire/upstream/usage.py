"""Normalizes the token usage that providers report. Pure."""

from typing import Any

from tokenfall.events import Usage


def usage_of(usage: dict[str, Any]) -> Usage | None:
    """Numbers may be floats, strings or null; a missing or invalid count is 0. None if there is no other count.

    Cached tokens are in `prompt_tokens_details` (OpenAI), `input_tokens_details`, or in `usage` itself (DeepSeek,
    LiteLLM). A missing completion is the total without the prompt. xAI does not count reasoning as completion.
    """
    prompt = _first(usage, "prompt_tokens") or _anthropic_prompt(usage)
    completion = _first(usage, "completion_tokens", "output_tokens") or max(
        0, count(usage.get("total_tokens")) - prompt
    )
    prompt_details = _details(usage, "prompt_tokens_details", "input_tokens_details")
    completion_details = _details(usage, "completion_tokens_details", "output_tokens_details")
    cached = _first(prompt_details, "cached_tokens") or _first(usage, *_CACHED)
    written = _first(prompt_details, "cache_write_tokens", "cache_creation_tokens") or _first(usage, _WRITTEN)
    reasoning = _first(completion_details, "reasoning_tokens") or _first(usage, "reasoning_tokens")
    if reasoning and (reasoning > completion or count(usage.get("total_tokens")) == prompt + completion + reasoning):
        completion += reasoning
    if not prompt and not completion:
        return None
    cached = min(cached, prompt)
    return Usage(prompt, completion, cached, min(written, prompt - cached), reasoning)


_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
_WRITTEN = "cache_creation_input_tokens"


def _anthropic_prompt(usage: dict[str, Any]) -> int:
    """The prompt in Anthropic's members, of which `input_tokens` excludes the cache."""
    return count(usage.get("input_tokens")) + count(usage.get("cache_read_input_tokens")) + count(usage.get(_WRITTEN))


def _first(counts: dict[str, Any], *names: str) -> int:
    """The first of these counts that is not 0."""
    return next(filter(None, (count(counts.get(name)) for name in names)), 0)


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
