import pytest

from tokenfall.wire.api_error import LimitState, TokenLimitState
from tokenfall.wire.rate_limit_headers import anthropic, duration, openai

ALLOWANCE = LimitState(limit=20, remaining=3, reset_s=2.5, now_s=1_700_000_000.0)


def test_openai_reset_is_a_duration() -> None:
    assert openai(ALLOWANCE) == (
        ("x-ratelimit-limit-requests", "20"),
        ("x-ratelimit-remaining-requests", "3"),
        ("x-ratelimit-reset-requests", "2.5s"),
    )


def test_anthropic_reset_is_a_timestamp() -> None:
    assert anthropic(ALLOWANCE) == (
        ("anthropic-ratelimit-requests-limit", "20"),
        ("anthropic-ratelimit-requests-remaining", "3"),
        ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:22.500000Z"),
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.12, "120ms"),
        (0.9994, "999ms"),
        (0.9996, "1s"),
        (1.0, "1s"),
        (2.5, "2.5s"),
        (59.9999, "1m0s"),
        (63.0, "1m3s"),
        (61.1, "1m1.1s"),
        (119.999, "1m59.999s"),
    ],
)
def test_duration_is_formatted_as_in_go(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_no_limit_gives_no_headers() -> None:
    free = ALLOWANCE.replaced(limit=0)

    assert (openai(free), anthropic(free)) == ((), ())


def test_token_limit_has_headers_of_its_own() -> None:
    both = ALLOWANCE.replaced(tokens=TokenLimitState(6_000, 5_000, reset_s=61.0))

    assert openai(both)[3:] == (
        ("x-ratelimit-limit-tokens", "6000"),
        ("x-ratelimit-remaining-tokens", "5000"),
        ("x-ratelimit-reset-tokens", "1m1s"),
    )
    assert anthropic(both)[3:] == (
        ("anthropic-ratelimit-tokens-limit", "6000"),
        ("anthropic-ratelimit-tokens-remaining", "5000"),
        ("anthropic-ratelimit-tokens-reset", "2023-11-14T22:14:21.000000Z"),
    )
