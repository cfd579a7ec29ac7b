import json
from itertools import repeat

import pytest

from tokenfall.api.documents import MAX_BYTES, document, documented, joined, name_twice, refusal
from tokenfall.errors import InvalidRequest
from tokenfall.slices import at_once
from tokenfall.wire import ollama
from tokenfall.wire.faults import Fault

from tests.doubles.requests import lines_of, request


def test_a_document_is_json_that_no_cache_keeps() -> None:
    answer = document(b"{}", status=404)

    assert (answer.status, answer.body) == (404, b"{}")
    assert lines_of(answer.head)[1:3] == ["content-type: application/json", "cache-control: no-store"]


def test_a_refusal_is_told_in_the_dialects_words_with_what_any_head_says() -> None:
    asked = request()
    asked.id = "r-1"
    fault = Fault(status=429, code="rate_limited", message="later", retry_after_s=1.5)
    answer = refusal(asked, fault, error=ollama.error)

    assert answer.status == 429
    assert json.loads(answer.body) == {"error": "later"}
    assert "retry-after: 2" in lines_of(answer.head)
    assert asked.reply_headers == b"request-id: r-1\r\n"


def test_a_request_is_named_twice_and_no_more_often() -> None:
    asked = request()
    asked.id = "r-1"
    name_twice(asked)
    name_twice(asked)

    assert asked.reply_headers == b"request-id: r-1\r\n"


def test_pieces_are_joined_in_their_order_and_each_is_a_slice() -> None:
    work = joined(iter([b"a", b"b", b"c"]))

    assert [next(work), next(work)] == [None, None]
    assert at_once(work) == b"abc"


def test_a_response_that_is_too_large_is_refused_and_no_more_of_it_is_made() -> None:
    pieces = repeat(b" " * (MAX_BYTES // 4), 1_000)
    with pytest.raises(InvalidRequest, match="at most 16777216 bytes"):
        at_once(joined(pieces))

    assert len(list(pieces)) == 995


def test_pieces_become_a_document() -> None:
    assert at_once(documented(iter([b"{", b"}"]))).body == b"{}"
