import json

from tokenfall.api.documents import document, joined, name_twice, refusal
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


async def test_pieces_are_joined_in_their_order() -> None:
    assert await joined(iter([b"a", b"b", b"c"])) == b"abc"
