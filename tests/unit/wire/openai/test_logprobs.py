import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from tokenfall.errors import InvalidRequest
from tokenfall.wire.openai.logprobs import ALTERNATIVES, MAX_LOGPROBS, check_size, logprob_of, logprobs, logprobs_lazily


def test_token_has_its_bytes_and_most_likely_alternatives() -> None:
    assert msgspec.to_builtins(logprobs(["é"], 2)) == {
        "content": [
            {
                "token": "é",
                "logprob": -0.9326,
                "bytes": [195, 169],
                "top_logprobs": [
                    {"token": "é", "logprob": -0.9326, "bytes": [195, 169]},
                    {"token": " the", "logprob": -1.9325999999999999, "bytes": [32, 116, 104, 101]},
                ],
            }
        ],
        "refusal": None,
    }


def test_zero_alternatives_give_none() -> None:
    assert [each.top_logprobs for each in logprobs([" a", " b"], 0).content] == [[], []]


@given(st.sampled_from([*ALTERNATIVES, "x"]), st.integers(min_value=1, max_value=20))
def test_alternatives_are_unique_and_begin_with_the_token(token: str, top: int) -> None:
    [only] = logprobs([token], top).content

    assert only.top_logprobs is not UNSET
    tokens = [each.token for each in only.top_logprobs]
    assert tokens[0] == token
    assert len(set(tokens)) == len(tokens) == top


@given(st.text())
def test_token_always_has_the_same_logprob(token: str) -> None:
    assert -1 < logprob_of(token) <= 0
    assert logprob_of(token) == logprob_of(token)


def test_complete_response_with_too_many_logprobs_is_refused() -> None:
    check_size(MAX_LOGPROBS // 21, 20)

    with pytest.raises(InvalidRequest, match="at most 131072 log probabilities"):
        check_size(MAX_LOGPROBS // 21 + 1, 20)


def test_lazy_logprobs_equal_logprobs() -> None:
    lazily = logprobs_lazily(("a", " b"), 2)

    assert list(lazily.content) == logprobs(("a", " b"), 2).content
