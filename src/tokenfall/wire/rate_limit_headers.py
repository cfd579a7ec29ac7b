"""Rate limit headers of each provider. Pure.

Sources: the OpenAI API, "Rate limits in headers" (also used by Groq); the Anthropic API, "Response headers".
"""

from tokenfall.wire.api_error import Headers, LimitState, TokenLimitState
from tokenfall.wire.times import rfc3339


def openai(limit_state: LimitState) -> Headers:
    """`x-ratelimit-...-requests` and `-tokens`; the reset as a duration, `1m2.5s`."""
    return (*_openai(limit_state, "requests"), *(_openai(limit_state.tokens, "tokens") if limit_state.tokens else ()))


def _openai(of: LimitState | TokenLimitState, what: str) -> Headers:
    if not of.limit:
        return ()
    return (
        (f"x-ratelimit-limit-{what}", str(of.limit)),
        (f"x-ratelimit-remaining-{what}", str(of.remaining)),
        (f"x-ratelimit-reset-{what}", duration(of.reset_s)),
    )


def anthropic(limit_state: LimitState) -> Headers:
    """`anthropic-ratelimit-requests-...` and `-tokens-...`; the reset as an RFC 3339 timestamp."""
    now_s, tokens = limit_state.now_s, limit_state.tokens
    requests = _anthropic(limit_state, "requests", now_s=now_s)
    return (*requests, *(_anthropic(tokens, "tokens", now_s=now_s) if tokens else ()))


def _anthropic(of: LimitState | TokenLimitState, what: str, *, now_s: float) -> Headers:
    if not of.limit:
        return ()
    return (
        (f"anthropic-ratelimit-{what}-limit", str(of.limit)),
        (f"anthropic-ratelimit-{what}-remaining", str(of.remaining)),
        (f"anthropic-ratelimit-{what}-reset", rfc3339(now_s + of.reset_s)),
    )


def duration(seconds: float) -> str:
    """A duration in Go's format: `120ms`, `2.5s`, `1m3s`."""
    seconds = round(seconds, 3)
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, seconds = divmod(seconds, 60)
    return (f"{int(minutes)}m" if minutes else "") + f"{seconds:g}s"
