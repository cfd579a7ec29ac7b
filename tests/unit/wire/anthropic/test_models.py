import json

import pytest

from tokenfall.wire.anthropic import models as anthropic_models

from tests.unit.wire.refusals import refusal

ONE = b'{"type":"model","id":"%b","display_name":"%b","created_at":"2023-11-14T22:13:20Z","lifecycle":"active"}'


def test_token_count_is_encoded() -> None:
    assert anthropic_models.count(14) == b'{"input_tokens":14}'


def test_model_has_all_fields() -> None:
    assert anthropic_models.model("sim", 1_700_000_000.9) == ONE % (b"sim", b"sim")


def test_model_list_has_first_and_last_id() -> None:
    listed = anthropic_models.model_list(["a", "b"], 1_700_000_000)

    assert listed == b'{"data":[%b,%b],"has_more":false,"first_id":"a","last_id":"b"}' % (
        ONE % (b"a", b"a"),
        ONE % (b"b", b"b"),
    )


@pytest.mark.parametrize(
    ("query", "names", "has_more"),
    [
        ({"limit": "2"}, ["a", "b"], True),
        ({"limit": "1000"}, ["a", "b", "c", "d"], False),
        ({"after_id": "b"}, ["c", "d"], False),
        ({"after_id": "a", "limit": "1"}, ["b"], True),
        ({"after_id": "d"}, [], False),
        ({"before_id": "d", "limit": "2"}, ["b", "c"], True),
        ({"before_id": "a"}, [], False),
        ({"after_id": "unknown", "beta": "true"}, ["a", "b", "c", "d"], False),
    ],
)
def test_model_list_is_paginated(query: dict[str, str], names: list[str], has_more: bool) -> None:
    page = json.loads(anthropic_models.model_list(["a", "b", "c", "d"], 0, query=query.items()))

    assert ([each["id"] for each in page["data"]], page["has_more"]) == (names, has_more)
    assert [page["first_id"], page["last_id"]] == ([names[0], names[-1]] if names else [None, None])


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "\u0663", "1" * 20])
def test_invalid_page_limit_is_refused(limit: str) -> None:
    refused = refusal(anthropic_models.model_list, ["a"], 0, query=[("limit", limit)])

    assert refused == ("limit", "limit: Input should be an integer between 1 and 1000")
