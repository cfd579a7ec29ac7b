import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.messages import Tool
from tokenfall.wire.tool_names import MAX_NAME, client_id, names_of, upstream_id, upstream_name

ALLOWED = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@given(st.text())
def test_every_name_is_one_that_the_upstream_takes(name: str) -> None:
    short = upstream_name(name)

    assert len(short) <= MAX_NAME
    assert set(short) <= ALLOWED
    assert (short == name) == (len(name) <= MAX_NAME and set(name) <= ALLOWED)


def test_long_names_of_one_beginning_stay_different() -> None:
    names = [f"mcp__{'x' * 100}__{number}" for number in range(100)]

    assert len({upstream_name(name) for name in names}) == 100
    assert names_of([Tool(name) for name in names]) == {upstream_name(name): name for name in names}
    assert names_of([Tool("short")]) == {}


@given(st.text())
def test_every_id_is_allowed_for_clients_and_comes_back(call_id: str) -> None:
    told = client_id(call_id)

    assert set(told) <= ALLOWED
    assert upstream_id(told) == call_id


@pytest.mark.parametrize(
    "call_id", ["toolu_1", "call-b64-", "call-b64-*", "call-b64-_w", "call-b64-YQ", "call-b64-YQ="]
)
def test_an_id_that_was_not_made_here_is_left_as_it_is(call_id: str) -> None:
    assert upstream_id(call_id) == call_id
