import asyncio
import json
import re
from collections.abc import Awaitable
from typing import Any
from urllib.parse import urljoin

import pytest
from msgspec.structs import replace

from tokenfall.api.chat import ChatRoutes
from tokenfall.api.guard import Keys
from tokenfall.chat.service import Defaults
from tokenfall.errors import (
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    ResumeExpired,
    Unauthorized,
    UpstreamBroken,
    UpstreamTimeout,
    shutting_down,
)
from tokenfall.events import Finished, ReasoningDelta, TextDelta, Usage
from tokenfall.history.memory import MemoryHistory
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.messages import Message
from tokenfall.ports import Engine, SharedTurns

from tests.doubles.callers import callers
from tests.doubles.connections import settle
from tests.doubles.engines import ScriptedEngine, Silence, text_engine
from tests.doubles.memory import ample_memory
from tests.doubles.requests import lines_of, request
from tests.doubles.sent import RecordingSend
from tests.doubles.stores import FakeSharedTurns
from tests.doubles.turns import ManualEngine, chat_service

Messages = list[dict[str, Any]]

DEFAULTS = Defaults(model="model-0", max_tokens=99, system=Message("system", "Be brief."), context_messages=4)


def routes(
    engine: Engine,
    keys: tuple[str, ...] = (),
    *,
    shared: SharedTurns | None = None,
    defaults: Defaults = DEFAULTS,
    relays: bool = False,
) -> ChatRoutes:
    history = MemoryHistory(limit=100, max_bytes=1_000_000)
    chat = chat_service(engine, history, defaults=defaults, shared=shared)
    return ChatRoutes(chat, Keys(keys), callers=callers(*keys), memory=ample_memory(), relays=relays)


def chat_request(text: str = "Why?", *, headers: dict[str, str] | None = None, **fields: object) -> Request:
    document = {"messages": [{"role": "user", "content": text}], **fields}
    return request("/chat", method="POST", headers=headers, body=json.dumps(document).encode())


def turn_id_of(incoming: Request) -> str:
    """The turn id in the response headers."""
    return dict(line.split(": ") for line in lines_of(incoming.response_headers))["x-turn-id"]


def turn_request(turn: str, *, query: str = "", headers: dict[str, str] | None = None, stop: bool = False) -> Request:
    path = f"/chat/turns/{turn}{'/stop' if stop else ''}{query}"
    incoming = request(path, method="POST" if stop else "GET", headers=headers)
    incoming.route = "/chat/turns/{turn}/stop" if stop else "/chat/turns/{turn}"
    return incoming


def conversation_request(name: str, *, body: bytes = b"", headers: dict[str, str] | None = None) -> Request:
    incoming = request(f"/conversations/{name}", method="PATCH", headers=headers, body=body)
    incoming.route = "/conversations/{conversation}"
    return incoming


class Reader:
    """Runs a live stream as the HTTP server does and records its frames."""

    def __init__(self) -> None:
        self.frames = RecordingSend()

    async def play(self, response: Response | LiveStream) -> list[bytes]:
        assert isinstance(response, LiveStream)
        self.frames.append(await response.run(self.frames))
        return self.frames


async def frames_of(chat: ChatRoutes, incoming: Request) -> list[bytes]:
    return await Reader().play(await chat.chat(incoming))


def complete(response: Response | LiveStream) -> Response:
    """Asserts that the response is complete, not streamed."""
    assert isinstance(response, Response)
    return response


async def messages_of(chat: ChatRoutes, target: str = "/history", headers: dict[str, str] | None = None) -> Messages:
    found: Messages = json.loads(complete(await chat.history(request(target, headers=headers))).body)
    return found


# Streams


async def test_stream_has_a_frame_per_token_and_done() -> None:
    assert await frames_of(routes(text_engine("Be", "cause")), chat_request()) == [
        b'id: 1\ndata: {"content":"Be"}\n\n',
        b'id: 2\ndata: {"content":"cause"}\n\n',
        b"data: [DONE]\n\n",
    ]


async def test_stream_has_content_type_turn_and_model_headers() -> None:
    incoming = chat_request(conversation="c-1")
    response = await routes(text_engine("Hi")).chat(incoming)
    assert isinstance(response, LiveStream)
    added = dict(line.split(": ") for line in lines_of(incoming.response_headers))

    assert b"\r\ncontent-type: text/event-stream\r\n" in response.head.lines
    assert added["x-conversation-id"] == "c-1"
    assert added["x-model"] == "model-0"
    assert added["x-turn-id"].startswith("turn_")
    assert response.keepalive == b": ping\n\n"


@pytest.mark.parametrize("model", ["", "m\r\nset-cookie: a=b"])
async def test_unset_model_and_one_that_is_invalid_in_a_header_have_no_header(model: str) -> None:
    incoming = chat_request(model=model) if model else chat_request()
    await frames_of(routes(text_engine("Hi"), defaults=replace(DEFAULTS, model="")), incoming)

    assert b"x-model" not in incoming.response_headers
    assert b"set-cookie" not in incoming.response_headers


@pytest.mark.parametrize("details", [True, False])
async def test_reasoning_is_sent_to_clients_that_request_details_and_stored(details: bool) -> None:
    engine = ScriptedEngine(ReasoningDelta("Hm,"), ReasoningDelta(" so"), TextDelta("Hi"), Finished("stop", "model-1"))
    chat = routes(engine)
    sent = await frames_of(chat, chat_request(details=details))

    frames = [b'event: reasoning\ndata: {"content":"Hm,"}\n\n', b'event: reasoning\ndata: {"content":" so"}\n\n']
    assert sent[: len(frames) + 1 if details else 1] == [
        *(frames if details else []),
        b'id: 1\ndata: {"content":"Hi"}\n\n',
    ]
    assert [request.reports_reasoning for request in engine.requests] == [details]
    _, response = await messages_of(chat)
    assert (response["content"], response["reasoning"]) == ("Hi", "Hm, so")
    assert response["thought_s"] >= 0


async def test_reasoning_is_not_part_of_a_non_streaming_response() -> None:
    engine = ScriptedEngine(ReasoningDelta("Hm"), TextDelta("Hi"), Finished("stop", "model-1"))
    response = await routes(engine).chat(chat_request(stream=False))

    assert isinstance(response, Response)
    assert json.loads(response.body)["content"] == "Hi"


@pytest.mark.parametrize("details", [True, False])
async def test_stream_reports_the_end_of_the_turn_if_details_are_requested(details: bool) -> None:
    engine = text_engine("Hi", end=Finished("length", "model-1", Usage(3, 1)))
    sent = await frames_of(routes(engine), chat_request(details=details))

    end = (
        b'event: end\ndata: {"finish_reason":"length",'
        b'"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4},"model":"model-1"}\n\n'
    )
    assert sent[1:] == [*([end] if details else []), b"data: [DONE]\n\n"]


@pytest.mark.parametrize("announce", [True, False])
async def test_stream_head_is_sent_early_on_request(announce: bool) -> None:
    response = await routes(text_engine("Hi")).chat(chat_request(announce=announce))

    assert isinstance(response, LiveStream)
    assert response.announced is announce


async def test_replacing_turn_removes_the_replaced_one_from_the_history() -> None:
    chat, first = routes(text_engine("Because.")), chat_request()
    await frames_of(chat, first)
    second = chat_request(replaces=turn_id_of(first))
    await frames_of(chat, second)

    assert [message["turn"] for message in await messages_of(chat)] == [turn_id_of(second)] * 2


@pytest.mark.parametrize(("shared", "resumable"), [(None, b"false"), (FakeSharedTurns(), b"true")])
async def test_shutdown_frame_indicates_whether_the_turn_can_be_resumed(
    shared: SharedTurns | None, resumable: bytes
) -> None:
    incoming = chat_request()
    response = await routes(text_engine("Hi"), shared=shared).chat(incoming)
    assert isinstance(response, LiveStream)

    assert response.failure(shutting_down()) == (
        b'event: error\ndata: {"error":{"code":"shutting_down","message":"the server is shutting down",'
        b'"turn":"%b","resumable":%b}}\n\n' % (turn_id_of(incoming).encode(), resumable)
    )


async def test_slow_client_makes_the_engine_wait() -> None:
    room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    frames: list[bytes] = []

    def send(frame: bytes, /, *, is_token: bool = True) -> Awaitable[None] | None:
        frames.append(frame)
        return room if len(frames) == 1 else None

    response = await routes(text_engine("a", "b")).chat(chat_request())
    assert isinstance(response, LiveStream)
    playing = asyncio.ensure_future(response.run(send))
    await asyncio.sleep(0)
    assert len(frames) == 1
    room.set_result(None)

    assert await playing == b"data: [DONE]\n\n"
    assert len(frames) == 2


async def test_broken_stream_ends_without_done_and_its_text_is_stored() -> None:
    chat = routes(text_engine("Be", end=UpstreamBroken("broke off")))
    response, reader = await chat.chat(chat_request()), Reader()
    with pytest.raises(UpstreamBroken):
        await reader.play(response)

    assert reader.frames == [b'id: 1\ndata: {"content":"Be"}\n\n']
    assert (await messages_of(chat))[1] | {"status": "interrupted", "content": "Be"} == (await messages_of(chat))[1]


async def test_expected_error_is_shown_with_its_code() -> None:
    response = await routes(text_engine()).chat(chat_request())
    assert isinstance(response, LiveStream)

    assert response.failure(UpstreamTimeout("too late")) == (
        b'event: error\ndata: {"error":{"code":"upstream_timeout","message":"too late"}}\n\n'
    )


async def test_engine_is_not_called_before_the_stream_starts() -> None:
    engine = text_engine("Hi")
    await routes(engine).chat(chat_request())

    assert engine.requests == []


# Complete responses


async def test_non_streaming_response_is_one_document() -> None:
    engine = text_engine("Be", "cause", end=Finished("length", "model-9", Usage(3, 2)))
    response = await routes(engine).chat(chat_request(stream=False, conversation="c-1"))
    assert isinstance(response, Response)

    assert json.loads(response.body) == {
        "content": "Because",
        "finish_reason": "length",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "model": "model-9",
        "conversation": "c-1",
    }
    assert lines_of(response.head)[:3] == [
        "HTTP/1.1 200 OK",
        "content-type: application/json",
        "cache-control: no-store",
    ]


async def test_broken_non_streaming_response_is_an_error() -> None:
    with pytest.raises(UpstreamTimeout):
        await routes(text_engine("Be", end=UpstreamTimeout("late"))).chat(chat_request(stream=False))


async def test_disconnect_during_a_non_streaming_response_cancels_it_and_stores_its_text() -> None:
    engine = text_engine("Be", end=Silence())
    chat = routes(engine)
    answering = asyncio.ensure_future(chat.chat(chat_request(stream=False)))
    await engine.silent.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    await settle()

    assert engine.ended == 1
    assert (await messages_of(chat))[1]["status"] == "interrupted"


# Request options


@pytest.mark.parametrize(
    ("headers", "fields", "options"),
    [
        ({"x-sim": "gap=0s"}, {"model": "m", "max_tokens": 7, "temperature": 0.5}, ("m", 7, 0.5, "gap=0s")),
        ({}, {}, ("model-0", 99, None, "")),
    ],
    ids=["given", "defaults"],
)
async def test_request_options_or_their_defaults_reach_the_engine(
    headers: dict[str, str], fields: dict[str, object], options: tuple[object, ...]
) -> None:
    engine = text_engine("Hi")
    await frames_of(routes(engine), chat_request("Why?", headers=headers, **fields))
    (incoming,) = engine.requests

    assert (incoming.model, incoming.max_tokens, incoming.temperature, incoming.simulation) == options
    assert incoming.messages == (Message("system", "Be brief."), Message("user", "Why?"))


@pytest.mark.parametrize(
    ("model", "relays", "simulated"),
    [
        ("model-0", True, False),
        ("", True, False),
        ("sim", True, True),
        ("sim:gap=1ms", True, True),
        ("sim", False, True),
    ],
)
async def test_defaults_have_the_model_and_whether_it_is_simulated(model: str, relays: bool, simulated: bool) -> None:
    chat = routes(text_engine(), defaults=replace(DEFAULTS, model=model), relays=relays)
    response = chat.defaults(request("/chat/defaults"))

    assert json.loads(response.body) == {
        "model": model,
        "simulated": simulated,
        "upstream": relays,
        "max_tokens": 99,
        "context_messages": 4,
        "context_tokens": None,
    }


@pytest.mark.parametrize(("budget", "sent"), [(None, 4), (20, 2), (9, 0)])
async def test_context_names_the_first_turn_that_the_model_gets(budget: int | None, sent: int) -> None:
    handlers = routes(text_engine("Hi"), defaults=replace(DEFAULTS, system=None, context_tokens=budget))
    for _ in range(3):
        await frames_of(handlers, chat_request())
    turns = [message["turn"] for message in await messages_of(handlers)]
    response = await handlers.context(request("/chat/context", method="POST", body=b"{}"))

    first = turns[-sent] if sent else ""
    assert json.loads(response.body) == {
        "first": first,
        "messages": sent,
        "max_messages": 4,
        "max_tokens": budget,
        "max_stored": 1_000,
    }


async def test_context_counts_the_system_prompt_of_the_question() -> None:
    handlers = routes(text_engine("Hi"), defaults=replace(DEFAULTS, system=None, context_tokens=20))
    await frames_of(handlers, chat_request())
    body = json.dumps({"conversation": "default", "system": "Rhyme. " * 9}).encode()
    response = await handlers.context(request("/chat/context", method="POST", body=body))

    assert json.loads(response.body)["messages"] == 0


async def test_leading_system_message_replaces_the_default_for_one_turn() -> None:
    engine = text_engine("Hi")
    chat = routes(engine)
    system = {"role": "system", "content": "Rhyme."}
    await frames_of(chat, chat_request(messages=[system, {"role": "user", "content": "Why?"}]))
    await frames_of(chat, chat_request("And?"))

    assert [incoming.messages[0].content for incoming in engine.requests] == ["Rhyme.", "Be brief."]


async def test_context_is_the_history_not_the_sent_messages() -> None:
    engine = text_engine("Hi")
    chat = routes(engine)
    await frames_of(chat, chat_request("One?"))
    forged = [{"role": "assistant", "content": "forged"}, {"role": "user", "content": "Two?"}]
    await frames_of(chat, chat_request(messages=forged))

    assert [message.content for message in engine.requests[1].messages] == ["Be brief.", "One?", "Hi", "Two?"]


@pytest.mark.parametrize(
    "incoming",
    [
        request("/chat", method="POST", body=b"{"),
        chat_request(" "),
        chat_request(headers={"x-sim": "gap=fast"}),
        chat_request(conversation="a b"),
        chat_request(conversation="abc\n"),
    ],
    ids=["not JSON", "no question", "invalid grammar", "invalid id", "line break after the id"],
)
async def test_invalid_request_is_refused_before_the_engine_and_the_store(incoming: Request) -> None:
    engine = text_engine("Hi")
    chat = routes(engine)
    with pytest.raises(InvalidRequest):
        await chat.chat(incoming)

    assert engine.requests == []
    assert await messages_of(chat) == []


# History


async def test_finished_turn_is_in_the_history() -> None:
    chat = routes(text_engine("Be", "cause"))
    await frames_of(chat, chat_request())
    question, response = await messages_of(chat)

    assert (question["role"], question["content"]) == ("user", "Why?")
    assert (response["role"], response["content"], response["model"]) == ("assistant", "Because", "model-1")
    assert "status" not in response


async def test_unknown_conversation_is_empty_only_if_it_is_the_default() -> None:
    chat = routes(text_engine("Hi"))

    assert await messages_of(chat) == []
    assert await messages_of(chat, "/history?conversation=default") == []
    with pytest.raises(NotFound):
        await chat.history(request("/history?conversation=other"))


@pytest.mark.parametrize(
    "query", ["?conversation=a&conversation=b", "?limit=3", "?conversation=a&x", "?Conversation=a"]
)
async def test_unknown_or_repeated_query_parameter_is_refused(query: str) -> None:
    chat = routes(text_engine("Hi"))
    with pytest.raises(InvalidRequest, match="takes only conversation and variants, each at most once"):
        await chat.history(request(f"/history{query}"))
    with pytest.raises(InvalidRequest, match="takes only conversation, at most once"):
        await chat.clear(request(f"/history{query}"))


@pytest.mark.parametrize("query", ["?variants", "?variants=1", "?variants=true&variants=true"])
async def test_variants_parameter_must_be_true_or_false(query: str) -> None:
    with pytest.raises(InvalidRequest, match="variants is true or false"):
        await routes(text_engine("Hi")).history(request(f"/history{query}"))


async def test_variants_parameter_is_accepted_only_by_the_history() -> None:
    chat = routes(text_engine("Hi"))
    await frames_of(chat, chat_request())
    (turn,) = {each["turn"] for each in await messages_of(chat)}
    await frames_of(chat, chat_request(replaces=turn))
    with pytest.raises(InvalidRequest, match="only conversation, at most once"):
        await chat.clear(request("/history?variants=true", method="DELETE"))

    assert [each.get("variants") for each in await messages_of(chat)] == [None, None]
    question, response = await messages_of(chat, "/history?variants=true")
    assert "variants" not in question
    assert [each["content"] for each in response["variants"]] == ["Hi"]


@pytest.mark.parametrize("query", ["?conversation=", "?conversation=a%20b", "?conversation=abc%0a"])
async def test_invalid_conversation_id_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 64 letters"):
        await routes(text_engine("Hi")).history(request(f"/history{query}"))


async def test_cleared_conversation_is_not_found() -> None:
    chat = routes(text_engine("Hi"))
    await frames_of(chat, chat_request(conversation="c-1"))
    cleared = await chat.clear(request("/history?conversation=c-1", method="DELETE"))

    assert (cleared.status, cleared.body) == (204, b"")
    with pytest.raises(NotFound):
        await chat.clear(request("/history?conversation=c-1", method="DELETE"))
    assert (await chat.clear(request("/history", method="DELETE"))).status == 204


async def test_private_responses_are_not_cached() -> None:
    chat = routes(text_engine("Hi"))
    for response in (await chat.history(request("/history")), await chat.conversations(request("/conversations"))):
        assert "cache-control: no-store" in lines_of(complete(response).head)


@pytest.mark.parametrize(("limit", "links"), [(1, 2), (2, 1), (3, 0), (4, 0)])
@pytest.mark.parametrize("search", ["", "&search=Why+s%C3%B6"])
async def test_link_header_has_the_next_page(limit: int, links: int, search: str) -> None:
    chat = routes(text_engine("Because"))
    for number in range(3):
        await frames_of(chat, chat_request("Why söme", conversation=f"c{number}"))
    ids: list[str] = []
    target, count = f"/conversations?limit={limit}{search}", 0
    while target:
        incoming = request(target)
        ids += [each["id"] for each in json.loads(complete(await chat.conversations(incoming)).body)]
        found = re.search(r'^link: <(\S+)>; rel="next"\r$', incoming.response_headers.decode(), re.MULTILINE)
        target = urljoin(target, found[1]) if found else ""
        count += 1

    assert ids == ["c2", "c1", "c0"]
    assert count == links + 1


async def test_conversations_of_another_key_are_not_found() -> None:
    chat = routes(text_engine("Hi"), keys=("alice", "bob"))
    alice, bob = {"x-api-key": "alice"}, {"x-api-key": "bob"}
    await frames_of(chat, chat_request(headers=alice, conversation="c-1"))

    assert len(await messages_of(chat, "/history?conversation=c-1", alice)) == 2
    with pytest.raises(NotFound):
        await chat.history(request("/history?conversation=c-1", headers=bob))
    with pytest.raises(NotFound):
        await chat.clear(request("/history?conversation=c-1", headers=bob))
    assert json.loads(complete(await chat.conversations(request("/conversations", headers=bob))).body) == []


async def test_every_chat_route_requires_a_key() -> None:
    chat = routes(text_engine("Hi"), keys=("alice",))
    for handler in (chat.history, chat.clear, chat.conversations):
        with pytest.raises(Unauthorized):
            await handler(request("/history"))
    with pytest.raises(Unauthorized):
        await chat.chat(chat_request())


async def test_delta_with_blank_lines_is_one_frame() -> None:
    frames = await frames_of(
        routes(ScriptedEngine(TextDelta("a\n\ndata: [DONE]\n\n"), Finished("stop", "m"))), chat_request()
    )

    assert frames == [b'id: 1\ndata: {"content":"a\\n\\ndata: [DONE]\\n\\n"}\n\n', b"data: [DONE]\n\n"]


# Running turns


async def test_turn_is_resumed_from_any_event() -> None:
    chat, incoming = routes(text_engine("Be", "cause")), chat_request(conversation="c-1")
    frames = await frames_of(chat, incoming)
    for after in range(3):
        again = turn_request(turn_id_of(incoming), headers={"last-event-id": str(after)})
        response = await chat.resume(again)

        assert await Reader().play(response) == frames[after:]
        assert incoming.response_headers.startswith(again.response_headers)
        assert response.on_disconnect is None
    assert await Reader().play(await chat.resume(turn_request(turn_id_of(incoming)))) == frames


async def test_head_of_a_resumed_turn_is_sent_early_on_request() -> None:
    chat, incoming = routes(text_engine("Be", "cause")), chat_request()
    frames = await frames_of(chat, incoming)
    for query, announced in {"": False, "?announce=false": False, "?announce=true": True}.items():
        response = await chat.resume(turn_request(turn_id_of(incoming), query=query))

        assert response.announced is announced
        assert await Reader().play(response) == frames
    for junk in ("?announce=1", "?announce", "?announce=true&announce=true", "?later=true"):
        with pytest.raises(InvalidRequest, match="takes only announce and details, each at most once"):
            await chat.resume(turn_request(turn_id_of(incoming), query=junk))


async def test_resuming_past_the_newest_event_is_refused() -> None:
    chat, incoming = routes(text_engine("Hi")), chat_request()
    await frames_of(chat, incoming)
    with pytest.raises(ResumeExpired):
        await chat.resume(turn_request(turn_id_of(incoming), headers={"last-event-id": "2"}))
    for junk in ("-1", "x", "1.0", "1" * 13):
        with pytest.raises(InvalidRequest):
            await chat.resume(turn_request(turn_id_of(incoming), headers={"last-event-id": junk}))


async def test_stopped_turn_ends_with_an_error_and_is_stored() -> None:
    engine = text_engine("Be", end=Silence())
    chat, incoming = routes(engine), chat_request()
    playing = asyncio.ensure_future(frames_of(chat, incoming))
    await engine.silent.wait()
    stopped = await chat.stop(turn_request(turn_id_of(incoming), stop=True))
    *_, last = await playing

    assert json.loads(last.partition(b"data: ")[2])["error"]["code"] == "stopped"
    assert (stopped.status, stopped.body) == (204, b"")
    assert (await messages_of(chat))[1]["status"] == "interrupted"


@pytest.mark.parametrize("turn", ["turn_1", "turn_" + "0" * 24, "x", "turn_" + "A" * 24, "of alice"])
async def test_unknown_turn_and_that_of_another_key_are_not_found(turn: str) -> None:
    chat = routes(text_engine("Hi"), keys=("alice", "bob"))
    incoming, bob = chat_request(headers={"x-api-key": "alice"}), {"x-api-key": "bob"}
    await frames_of(chat, incoming)
    turn = turn_id_of(incoming) if turn == "of alice" else turn
    with pytest.raises(NotFound):
        await chat.resume(turn_request(turn, headers=bob))
    with pytest.raises(NotFound):
        await chat.stop(turn_request(turn, headers=bob, stop=True))


@pytest.mark.parametrize(("on_disconnect", "continues"), [("finish", True), ("cancel", False), (None, False)])
async def test_on_disconnect_option_selects_cancel_or_finish(on_disconnect: str | None, continues: bool) -> None:
    engine = text_engine("Be", end=Silence())
    response = await routes(engine).chat(chat_request(on_disconnect=on_disconnect))
    assert isinstance(response, LiveStream)
    assert response.on_disconnect is not None
    playing = asyncio.ensure_future(response.run(RecordingSend()))
    await engine.silent.wait()

    assert response.on_disconnect() is continues
    playing.cancel()
    await settle()


# Idempotency keys


def keyed(key: str, text: str = "Why?", **fields: object) -> Request:
    return chat_request(text, headers={"idempotency-key": key}, **fields)


async def test_repeated_idempotency_key_returns_the_same_turn() -> None:
    engine = text_engine("Be", "cause")
    chat = routes(engine)
    first, second = keyed("k"), keyed("k")

    assert await frames_of(chat, first) == await frames_of(chat, second)
    assert first.response_headers.startswith(second.response_headers)
    assert len(engine.requests) == 1
    assert len(await messages_of(chat)) == 2


async def test_stream_and_non_stream_are_different_requests_for_idempotency() -> None:
    chat = routes(text_engine("Hi"))
    await frames_of(chat, keyed("k"))
    with pytest.raises(IdempotencyMismatch):
        await chat.chat(keyed("k", stream=False))


async def test_same_idempotency_key_with_other_simulator_settings_is_refused() -> None:
    chat = routes(text_engine("Hi"))
    await frames_of(chat, keyed("k"))
    with pytest.raises(IdempotencyMismatch):
        await chat.chat(chat_request(headers={"idempotency-key": "k", "x-sim": "gap=1ms"}))


async def test_non_streaming_response_is_sent_to_all_requests_of_its_key() -> None:
    engine = ManualEngine()
    chat = routes(engine)
    asking = asyncio.gather(*(chat.chat(keyed("k", stream=False)) for _ in range(3)))
    await engine.requested.wait()
    engine.emit("Hi")
    engine.finish()
    responses = await asking

    assert len({response.body for response in responses if isinstance(response, Response)}) == 1
    assert len(engine.requests) == 1


@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb", "é"])
async def test_invalid_idempotency_key_is_refused(key: str) -> None:
    incoming = chat_request()
    incoming.headers[b"idempotency-key"] = key.encode("latin-1")
    with pytest.raises(InvalidRequest, match="Idempotency-Key takes"):
        await routes(text_engine("Hi")).chat(incoming)


@pytest.mark.parametrize("key", ["a" * 255, '"quoted, with spaces"', "~!"])
async def test_any_printable_idempotency_key_is_accepted(key: str) -> None:
    assert len(await frames_of(routes(text_engine("Hi")), keyed(key))) == 2


# Conversations


async def test_conversation_can_be_renamed_and_deleted() -> None:
    chat = routes(text_engine("Hi"))
    await frames_of(chat, chat_request(conversation="a:1"))
    named = await chat.change(conversation_request("a:1", body=b'{"title":"Reasons"}'))
    (listed,) = json.loads(complete(await chat.conversations(request("/conversations"))).body)
    deleted = await chat.delete(conversation_request("a%3A1"))

    assert (named.status, deleted.status) == (204, 204)
    assert (listed["id"], listed["title"]) == ("a:1", "Reasons")
    for handler in (chat.delete, chat.change):
        with pytest.raises(NotFound):
            await handler(conversation_request("a:1", body=b'{"title":"x"}'))


async def test_conversation_can_be_pinned_and_found_by_search() -> None:
    chat = routes(text_engine("Hi"))
    for name in ("a", "b"):
        await frames_of(chat, chat_request(conversation=name))
    await chat.change(conversation_request("a", body=b'{"title":"Blue Sky","pinned":true}'))
    found = json.loads(complete(await chat.conversations(request("/conversations?search=SKY+blue"))).body)

    assert [(each["id"], each["title"], each["pinned"]) for each in found] == [("a", "Blue Sky", True)]
    assert (await chat.change(conversation_request("b", body=b'{"pinned":false}'))).status == 204


async def test_imported_conversation_gets_a_new_id() -> None:
    chat = routes(text_engine("Hi"))
    await frames_of(chat, chat_request(conversation="a"))
    exported = await messages_of(chat, "/history?conversation=a")
    added = await chat.add(
        request("/conversations", method="POST", body=json.dumps({"title": "Reasons", "messages": exported}).encode())
    )
    name = json.loads(added.body)["id"]
    (listed, _) = json.loads(complete(await chat.conversations(request("/conversations"))).body)

    assert added.status == 201
    assert (listed["id"], listed["title"], listed["messages"]) == (name, "Reasons", 2)
    messages = await messages_of(chat, f"/history?conversation={name}")
    (turn,) = {each.pop("turn") for each in messages}
    assert {turn} != {each.pop("turn") for each in exported}
    assert messages == exported


async def test_default_conversation_without_turns_cannot_be_deleted() -> None:
    with pytest.raises(NotFound):
        await routes(text_engine("Hi")).delete(conversation_request("default"))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"title":""}', b'{"title":"a","b":1}', b'{"title":1}'])
async def test_invalid_title_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await routes(text_engine("Hi")).change(conversation_request("c-1", body=body))


async def test_conversation_of_another_key_cannot_be_renamed_or_deleted() -> None:
    chat = routes(text_engine("Hi"), keys=("alice", "bob"))
    alice, bob = {"x-api-key": "alice"}, {"x-api-key": "bob"}
    await frames_of(chat, chat_request(headers=alice, conversation="c-1"))
    for handler in (chat.change, chat.delete):
        with pytest.raises(NotFound):
            await handler(conversation_request("c-1", body=b'{"title":"x"}', headers=bob))
        with pytest.raises(InvalidRequest):
            await handler(conversation_request("c 1", body=b'{"title":"x"}', headers=alice))

    assert len(await messages_of(chat, "/history?conversation=c-1", alice)) == 2
