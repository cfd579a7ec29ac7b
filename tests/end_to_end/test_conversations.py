"""Titles, lists and deletion of conversations."""

import json
from typing import Any

import pytest

from tests.end_to_end.chatting import chat, code_of, history
from tests.end_to_end.client import ClientResponse, fetch, request
from tests.end_to_end.in_process import running


async def list_conversations(port: int, **headers: str) -> list[dict[str, Any]]:
    response = await fetch(port, request("/conversations", **headers))
    assert response.status == 200
    conversations: list[dict[str, Any]] = json.loads(response.body)
    return conversations


async def rename(port: int, name: str, title: Any, **headers: str) -> ClientResponse:
    body = json.dumps({"title": title})
    return await fetch(port, request(f"/conversations/{name}", method="PATCH", body=body, **headers))


async def delete(port: int, name: str, **headers: str) -> ClientResponse:
    return await fetch(port, request(f"/conversations/{name}", method="DELETE", **headers))


async def test_conversation_title_is_the_first_question_until_renamed() -> None:
    async with running() as here:
        await fetch(here.port, chat("Why is the sky blue?", conversation="sky"))
        (before,) = await list_conversations(here.port)
        assert (before["id"], before["title"], before["messages"]) == ("sky", "Why is the sky blue?", 2)
        response = await rename(here.port, "sky", "Blåtime 🌆")
        assert (response.status, response.body) == (204, b"")
        (after,) = await list_conversations(here.port)
        assert after == before | {"title": "Blåtime 🌆"}
        await fetch(here.port, chat("And at night?", conversation="sky"))
        assert [each["title"] for each in await list_conversations(here.port)] == ["Blåtime 🌆"]


async def test_second_deletion_of_a_conversation_is_404() -> None:
    async with running() as here:
        for name in ("a", "b"):
            await fetch(here.port, chat("x", conversation=name))
        assert (await delete(here.port, "a")).status == 204
        assert [each["id"] for each in await list_conversations(here.port)] == ["b"]
        for response in (
            await delete(here.port, "a"),
            await rename(here.port, "a", "x"),
            await fetch(here.port, request("/history?conversation=a")),
        ):
            assert (response.status, code_of(response)) == (404, "not_found")


@pytest.mark.parametrize("name", ["a:b@c.d_e-f", "a%3Ab%40c.d_e-f", "%61:b@c.d_e-f"])
async def test_conversation_name_may_be_percent_encoded(name: str) -> None:
    async with running() as here:
        first = "a:b@c.d_e-f"
        await fetch(here.port, chat("x", conversation=first))
        assert (await rename(here.port, name, "named")).status == 204
        assert [(each["id"], each["title"]) for each in await list_conversations(here.port)] == [(first, "named")]
        assert (await delete(here.port, name)).status == 204


@pytest.mark.parametrize("name", ["a%20b", "a" * 65, "%2e%2e%5c", "%00", "é".encode().hex() + "%0a"])
async def test_invalid_conversation_name_is_400(port: int, name: str) -> None:
    for response in (await rename(port, name, "x"), await delete(port, name)):
        assert (response.status, code_of(response)) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["", "a/b", "a%2Fb", "a/"])
async def test_path_without_exactly_one_name_is_404(port: int, name: str) -> None:
    assert (await delete(port, name)).status == 404


@pytest.mark.parametrize("title", ["", "a" * 201, None, 1, ["a"]])
async def test_invalid_title_is_400(port: int, title: Any) -> None:
    response = await rename(port, "any", title)
    assert (response.status, code_of(response)) == (400, "invalid_request")


async def test_other_methods_are_405_with_the_allowed_methods(port: int) -> None:
    response = await fetch(port, request("/conversations/a"))
    assert response.status == 405
    assert set(response.headers["allow"].split(", ")) >= {"PATCH", "DELETE"}


async def test_conversation_of_another_key_is_404() -> None:
    async with running(API_KEY="alice,bob") as here:
        await fetch(here.port, chat("x", conversation="c", headers={"X_API_Key": "alice"}))
        for response in (
            await rename(here.port, "c", "mine", X_API_Key="bob"),
            await delete(here.port, "c", X_API_Key="bob"),
        ):
            assert (response.status, code_of(response)) == (404, "not_found")
        assert (await delete(here.port, "c")).status == 401
        assert await list_conversations(here.port, X_API_Key="bob") == []
        assert len(await history(here.port, "?conversation=c", X_API_Key="alice")) == 2


async def test_token_budget_omits_complete_turns() -> None:
    async with running(CONTEXT_TOKENS="60") as here:
        counts = []
        for _ in range(6):
            response = await fetch(here.port, chat("one two", stream=False, model="sim:gap=0ms,tokens=3"))
            counts.append(json.loads(response.body)["usage"]["prompt_tokens"])
        assert counts[:2] == [2, 7]
        assert counts[-1] == counts[-2] < 2 + 5 * 5
        assert all((count - 2) % 5 == 0 for count in counts), (
            "the prompt is not the question (2 words) and complete turns (5 words each)"
        )


async def test_readiness_checks_the_stores(port: int) -> None:
    response = await fetch(port, request("/readyz"))
    assert (response.status, json.loads(response.body)) == (200, {"status": "ready"})
