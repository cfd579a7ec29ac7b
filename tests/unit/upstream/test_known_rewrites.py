from typing import Any

import pytest

from tokenfall.messages import ChatRequest
from tokenfall.upstream.known_rewrites import KNOWN_S, MAX_KNOWN, KnownRewrites

from tests.doubles.clocks import FakeClock


def request(*rewrites: str, model: str = "m", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=(), model=model, max_tokens=9, rewrites=frozenset(rewrites), **fields)


def test_accepted_rewrite_is_applied_to_the_model_until_it_expires() -> None:
    clock = FakeClock()
    known = KnownRewrites(clock)
    assert known.applied(request()) == request()
    known.remember(request("max_tokens", "stream_options"))
    clock.advance(KNOWN_S - 1)

    assert known.applied(request()).rewrites == {"max_tokens", "stream_options"}
    assert known.applied(request(model="other")).rewrites == frozenset()
    clock.advance(1)
    assert known.applied(request()).rewrites == frozenset()


@pytest.mark.parametrize(
    ("rewrite", "accepted", "other"),
    [
        ("reasoning_effort", {"effort": "xhigh"}, {"effort": "low"}),
        ("reasoning_effort", {"effort": "xhigh"}, {"reasoning": True}),
        ("logprobs", {"logprobs": 20}, {"logprobs": 5}),
    ],
)
def test_rewrite_that_omits_a_callers_value_applies_to_the_same_value_only(
    rewrite: str, accepted: dict[str, Any], other: dict[str, Any]
) -> None:
    known = KnownRewrites(FakeClock())
    known.remember(request(rewrite, **accepted))

    assert known.applied(request(**accepted)).rewrites == {rewrite}
    assert known.applied(request(**other)).rewrites == frozenset()


def test_oldest_rewrites_are_dropped_above_a_limit() -> None:
    known = KnownRewrites(FakeClock())
    for number in range(MAX_KNOWN + 1):
        known.remember(request("max_tokens", model=f"m{number}"))

    assert known.applied(request(model=f"m{MAX_KNOWN}")).rewrites == {"max_tokens"}
    assert known.applied(request(model="m1")).rewrites == {"max_tokens"}
    assert known.applied(request(model="m0")).rewrites == frozenset()
