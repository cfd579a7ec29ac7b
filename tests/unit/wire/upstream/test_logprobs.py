import json
from typing import Any

import pytest

from tokenfall.wire.upstream.logprobs import encoded, lenient_logprobs

A = {"token": "a", "logprob": -0.5}


def items(value: object) -> Any:
    found = lenient_logprobs(value)
    return None if found is None else json.loads(b"[%b]" % encoded(found))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (-0.5, None),
        ({}, None),
        ({"content": None, "refusal": None}, None),
        ({"content": [A, {"token": "b"}, None, {"token": "b", "logprob": True}, {"logprob": -1}]}, [A]),
        ({"content": [A], "refusal": [{**A, "bytes": None, "top_logprobs": []}]}, [A, A]),
        ({"content": [{**A, "bytes": [97], "id": 5}]}, [{**A, "bytes": [97]}]),
        ({"content": [{**A, "bytes": "a", "top_logprobs": "a"}]}, [A]),
        ({"content": [{**A, "top_logprobs": [A, {}]}]}, [{**A, "top_logprobs": [A]}]),
        ({"content": [{**A, "top_logprobs": [A] * 30}]}, [{**A, "top_logprobs": [A] * 20}]),
        ({"content": [{"token": "\ud800", "logprob": float("-inf")}]}, [{"token": "\ufffd", "logprob": -9999.0}]),
        ({"content": [{"token": "a", "logprob": float("nan")}]}, None),
        ({"content": [{"token": "a", "logprob": -1}]}, [{"token": "a", "logprob": -1.0}]),
        ({"tokens": ["a", "b"], "token_logprobs": [-0.5, None]}, [A]),
        (
            {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5, "b": None}]},
            [{**A, "top_logprobs": [A]}],
        ),
        ({"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{}]}, [A]),
        ({"tokens": ["a"], "token_logprobs": -0.5}, None),
    ],
)
def test_log_probabilities_are_read_in_every_form(value: object, expected: Any) -> None:
    assert items(value) == expected
