import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tokenfall.conversations import ConversationInfo, Variant
from tokenfall.errors import InvalidRequest
from tokenfall.events import Usage
from tokenfall.wire.plain import conversations
from tokenfall.wire.plain.chat import decode_chat

from tests.unit.wire.plain.samples import TURN, body


@pytest.mark.parametrize("name", ["a", "A-z.0_9:@", "x" * 64])
def test_valid_conversation_id_is_accepted(name: str) -> None:
    assert conversations.conversation_id(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "a\0", "é", "a\r\nset-cookie: b", "abc\n"])
def test_invalid_conversation_id_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="conversation"):
        conversations.conversation_id(name)
    with pytest.raises(InvalidRequest, match="conversation"):
        decode_chat(body(conversation=name))


def test_history_of_a_complete_turn() -> None:
    document = b"".join(conversations.history([replace(TURN, finish_reason="length", usage=Usage(1, 2))]))

    assert document == (
        b'[{"role":"user","content":"Why?","turn":"t1","created":1.5},'
        b'{"role":"assistant","content":"So.","turn":"t1","created":2.5,"model":"m","finish_reason":"length",'
        b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}]'
    )


@pytest.mark.parametrize(
    ("fields", "members"),
    [
        ({}, {}),
        ({"ttft_s": 0.25, "tokens_per_s": 12.5, "replaces": "t0"}, {"ttft_s": 0.25, "tokens_per_s": 12.5}),
        ({"status": "interrupted"}, {"status": "interrupted"}),
        ({"status": "interrupted", "end_code": "stopped"}, {"status": "interrupted", "end_code": "stopped"}),
    ],
)
def test_history_has_what_is_known_of_a_response(fields: dict[str, Any], members: dict[str, Any]) -> None:
    _, response = json.loads(b"".join(conversations.history([replace(TURN, **fields)])))

    common = {"role": "assistant", "content": "So.", "turn": "t1", "created": 2.5, "model": "m"}
    assert response == {**common, **members}


def test_history_has_variants_on_request() -> None:
    variants = (
        Variant(content="No.", status="interrupted", model="m", answered_at=0.5, end_code="stopped"),
        Variant(content="Yes.", status="complete", model="n", answered_at=1.0, finish_reason="length"),
    )
    turn = replace(TURN, variants=variants)
    _, response = json.loads(b"".join(conversations.history([turn], variants=True)))

    assert response["variants"] == [
        {"content": "No.", "created": 0.5, "model": "m", "status": "interrupted", "end_code": "stopped"},
        {"content": "Yes.", "created": 1.0, "model": "n", "finish_reason": "length"},
    ]
    assert b"variants" not in b"".join([*conversations.history([turn]), *conversations.history([TURN], variants=True)])


def test_history_is_oldest_first_and_may_be_empty() -> None:
    both = json.loads(b"".join(conversations.history([TURN, replace(TURN, id="t2")])))

    assert [message["turn"] for message in both] == ["t1", "t1", "t2", "t2"]
    assert b"".join(conversations.history([])) == b"[]"


def test_conversation_list_has_all_fields() -> None:
    listed = b"".join(
        conversations.conversation_list(
            [ConversationInfo("b", 2.5, 4, "Why?", pinned=True), ConversationInfo("a", 1.0, 2)]
        )
    )

    assert listed == (
        b'[{"id":"b","last_activity":2.5,"messages":4,"title":"Why?","pinned":true},'
        b'{"id":"a","last_activity":1.0,"messages":2,"title":"","pinned":false}]'
    )


@pytest.mark.parametrize("fields", [{"title": "a"}, {"title": "é" * 200}, {"title": "a\nb", "pinned": False}])
def test_change_of_a_conversation_is_decoded(fields: dict[str, Any]) -> None:
    change = conversations.decode_conversation(json.dumps(fields).encode())

    assert change == conversations.ConversationBody(**fields)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        b'{"title":""}',
        b'{"title":null}',
        b'{"title":"a","x":1}',
        b'{"title":"\xff"}',
        b'{"pinned":1}',
        b"[" * 99_999,
        json.dumps({"title": "a" * 201}).encode(),
    ],
    ids=lambda document: repr(document[:20]),
)
def test_invalid_title_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidRequest, match="1 to 200 characters"):
        conversations.decode_conversation(document)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ((), (100, None, ())),
        ((("limit", "1"),), (1, None, ())),
        ((("limit", "1000"), ("after", "a:1")), (1_000, "a:1", ())),
        ((("search", " Blue\tsky "),), (100, None, ("Blue", "sky"))),
        ((("search", "é" * 200),), (100, None, ("é" * 200,))),
    ],
)
def test_list_query_is_decoded(
    query: Sequence[tuple[str, str]], expected: tuple[int, str | None, tuple[str, ...]]
) -> None:
    assert msgspec.structs.astuple(conversations.page(query)) == expected


@pytest.mark.parametrize(
    "query",
    [
        (("limit", "0"),),
        (("limit", "1001"),),
        (("limit", "99999"),),
        (("limit", "-1"),),
        (("limit", "٣"),),
        (("limit", ""),),
        (("after", ""),),
        (("after", "a b"),),
        (("limit", "1"), ("limit", "2")),
        (("before", "a"),),
        (("search", "a"), ("search", "b")),
    ],
)
def test_invalid_query_is_refused(query: Sequence[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest):
        conversations.page(query)


@pytest.mark.parametrize("search", ["", " \t", "a" * 201, "a " * 17])
def test_invalid_search_is_refused_with_its_limits(search: str) -> None:
    with pytest.raises(InvalidRequest, match="search takes 1 to 16 words of 200 characters in all"):
        conversations.page((("search", search),))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([], ("default", False)),
        ([("conversation", "a")], ("a", False)),
        ([("variants", "true"), ("conversation", "a")], ("a", True)),
        ([("variants", "false")], ("default", False)),
    ],
)
def test_history_query_is_read(query: list[tuple[str, str]], expected: tuple[str, bool]) -> None:
    assert conversations.history_query(query) == expected


@pytest.mark.parametrize(
    "query", [[("variants", "1")], [("limit", "1")], [("conversation", "a")] * 2, [("conversation", "a b")]]
)
def test_invalid_history_query_is_refused(query: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest, match="conversation"):
        conversations.history_query(query)


@pytest.mark.parametrize(
    ("search", "encoded"), [((), ""), (("a",), "&search=a"), (("é&b", "c"), "&search=%C3%A9%26b+c")]
)
def test_next_page_is_relative_and_keeps_the_search(search: tuple[str, ...], encoded: str) -> None:
    link = conversations.next_page(conversations.ListQuery(2, None, search), last="z")

    assert link == f'<conversations?limit=2&after=z{encoded}>; rel="next"'


def test_new_conversation_has_its_id() -> None:
    assert conversations.new_conversation("a") == b'{"id":"a"}'
