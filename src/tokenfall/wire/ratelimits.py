"""How each provider says what its rate limit leaves. Pure.

Sources: the OpenAI API, "Rate limits in headers"; Groq the same; the Anthropic API, "Response headers".
"""

from tokenfall.wire.dialect import Allowance, Headers
from tokenfall.wire.times import rfc3339


def openai(allowance: Allowance) -> Headers:
    """`x-ratelimit-...-requests`; the time as `1m2.5s`."""
    return (
        ("x-ratelimit-limit-requests", str(allowance.limit)),
        ("x-ratelimit-remaining-requests", str(allowance.remaining)),
        ("x-ratelimit-reset-requests", duration(allowance.reset_s)),
    )


def anthropic(allowance: Allowance) -> Headers:
    """`anthropic-ratelimit-requests-...`; the time as a moment."""
    return (
        ("anthropic-ratelimit-requests-limit", str(allowance.limit)),
        ("anthropic-ratelimit-requests-remaining", str(allowance.remaining)),
        ("anthropic-ratelimit-requests-reset", rfc3339(allowance.now_s + allowance.reset_s)),
    )


def duration(seconds: float) -> str:
    """As Go writes it: `120ms`, `2.5s`, `1m3s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return (f"{int(minutes)}m" if minutes else "") + f"{rest:g}s"
