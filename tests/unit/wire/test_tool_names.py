import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.messages import Tool
from tokenfall.wire.tool_names import MAX_EXTRA, MAX_NAME, client_id, client_names, extra_of, upstream_id, upstream_name

ALLOWED = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@given(st.text())
def test_every_upstream_name_is_valid(name: str) -> None:
    short = upstream_name(name)

    assert len(short) <= MAX_NAME
    assert set(short) <= ALLOWED
    assert (short == name) == (len(name) <= MAX_NAME and set(name) <= ALLOWED)


def test_long_names_with_a_common_prefix_stay_different() -> None:
    names = [f"mcp__{'x' * 100}__{number}" for number in range(100)]

    assert len({upstream_name(name) for name in names}) == 100
    assert client_names([Tool(name) for name in names]) == {upstream_name(name): name for name in names}
    assert client_names([Tool("short")]) == {}


@given(st.text())
def test_every_id_is_valid_for_clients_and_restored(call_id: str) -> None:
    for_client = client_id(call_id)

    assert set(for_client) <= ALLOWED
    assert upstream_id(for_client) == call_id


@pytest.mark.parametrize(
    "call_id",
    [
        "toolu_1", "call-b64-", "call-b64-*", "call-b64-_w", "call-b64-YQ", "call-b64-YQ=",
        "call-ext-", "call-ext-*", "call-ext-YQ", "call-ext-YQo", "call-ext-YQp7fQ=",
    ],
)  # fmt: skip
def test_id_of_another_origin_is_unchanged(call_id: str) -> None:
    assert upstream_id(call_id) == call_id
    assert extra_of(call_id) is None


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_id_with_extra_is_valid_for_clients_and_restored(call_id: str, extra: dict[str, str]) -> None:
    for_client = client_id(call_id, msgspec.json.encode(extra))

    assert set(for_client) <= ALLOWED
    assert upstream_id(for_client) == call_id
    assert extra_of(for_client) == extra
    assert upstream_id(client_id(for_client)) == upstream_id(for_client)


@pytest.mark.parametrize("extra", [b"[]", b"{", b'{"a":1}},{"b":2}', b"[" * 5_000])
def test_extra_that_is_not_an_object_is_dropped(extra: bytes) -> None:
    for_client = client_id("a", extra)

    assert upstream_id(for_client) == "a"
    assert extra_of(for_client) is None


def test_large_extra_is_not_put_into_an_id() -> None:
    assert client_id("a", b"x" * (MAX_EXTRA + 1)) == "a"
    assert client_id("a", b"x" * MAX_EXTRA) != "a"
