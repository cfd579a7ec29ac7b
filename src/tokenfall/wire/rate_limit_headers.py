"""How each provider says what its rate limit leaves. Pure.

Sources: the OpenAI API, "Rate limits in headers"; Groq the same; the Anthropic API, "Response headers".
"""

from tokenfall.wire.api_error import Allowance, Headers, TokenAllowance
from tokenfall.wire.times import rfc3339


def openai(allowance: Allowance) -> Headers:
    """`x-ratelimit-...-requests` and `-tokens`; the time as `1m2.5s`."""
    return (*_openai(allowance, "requests"), *(_openai(allowance.tokens, "tokens") if allowance.tokens else ()))


def _openai(of: Allowance | TokenAllowance, what: str) -> Headers:
    if not of.limit:
        return ()
    return (
        (f"x-ratelimit-limit-{what}", str(of.limit)),
        (f"x-ratelimit-remaining-{what}", str(of.remaining)),
        (f"x-ratelimit-reset-{what}", duration(of.reset_s)),
    )


def anthropic(allowance: Allowance) -> Headers:
    """`anthropic-ratelimit-requests-...` and `-tokens-...`; the time as a moment."""
    now_s, tokens = allowance.now_s, allowance.tokens
    told = _anthropic(allowance, "requests", now_s=now_s)
    return (*told, *(_anthropic(tokens, "tokens", now_s=now_s) if tokens else ()))


def _anthropic(of: Allowance | TokenAllowance, what: str, *, now_s: float) -> Headers:
    if not of.limit:
        return ()
    return (
        (f"anthropic-ratelimit-{what}-limit", str(of.limit)),
        (f"anthropic-ratelimit-{what}-remaining", str(of.remaining)),
        (f"anthropic-ratelimit-{what}-reset", rfc3339(now_s + of.reset_s)),
    )


def duration(seconds: float) -> str:
    """As Go writes it: `120ms`, `2.5s`, `1m3s`."""
    seconds = round(seconds, 3)
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return (f"{int(minutes)}m" if minutes else "") + f"{rest:g}s"
