"""Rate limit headers of each provider. Pure.

Sources: the OpenAI API, "Rate limits in headers" (also used by Groq); the Anthropic API, "Response headers".
"""

from collections.abc import Callable

from tokenfall.wire.api_error import Headers, LimitState
from tokenfall.wire.times import rfc3339

_LIMITS = ("requests", "tokens")
_MEMBERS = ("limit", "remaining", "reset")
_OPENAI = {of: [f"x-ratelimit-{member}-{of}" for member in _MEMBERS] for of in _LIMITS}
_ANTHROPIC = {of: [f"anthropic-ratelimit-{of}-{member}" for member in _MEMBERS] for of in _LIMITS}


def openai(limit_state: LimitState) -> Headers:
    """`x-ratelimit-...-requests` and `-tokens`; the reset as a duration, `1m2.5s`."""
    return _headers(limit_state, _OPENAI, reset=duration)


def anthropic(limit_state: LimitState) -> Headers:
    """`anthropic-ratelimit-requests-...` and `-tokens-...`; the reset as an RFC 3339 timestamp."""
    now_s = limit_state.now_s
    return _headers(limit_state, _ANTHROPIC, reset=lambda reset_s: rfc3339(now_s + reset_s))


def _headers(limit_state: LimitState, names: dict[str, list[str]], *, reset: Callable[[float], str]) -> Headers:
    headers: list[tuple[str, str]] = []
    for of, state in (("requests", limit_state), ("tokens", limit_state.tokens)):
        if state is not None and state.limit:
            headers += zip(names[of], (str(state.limit), str(state.remaining), reset(state.reset_s)), strict=True)
    return tuple(headers)


def duration(seconds: float) -> str:
    """A duration in Go's format: `120ms`, `2.5s`, `1m3s`."""
    seconds = round(seconds, 3)
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, seconds = divmod(seconds, 60)
    return (f"{int(minutes)}m" if minutes else "") + f"{seconds:g}s"
