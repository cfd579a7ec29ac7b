"""Turns: resume, stop, completion after a disconnect, and idempotency keys."""

import asyncio
import json

import pytest

from tokenfall.conversations import Conversation
from tokenfall.ports import HistoryStore

from tests.end_to_end.chatting import (
    DONE,
    Stream,
    chat,
    code_of,
    error_of,
    history,
    response_text,
    resume,
    resumed,
    stop,
    streaming,
    whole_frames,
)
from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import Running, eventually, running
from tests.end_to_end.upstream import Exchange, respond_with, scripted

ENDLESS = "sim:ttft=1ms,gap=30s"
"""One token at once, the next long after the test."""

RUNNING = "sim:ttft=1ms,gap=3ms,tokens=60"
UNKNOWN_TURN = "turn_" + "0" * 24
DISCONNECTS = pytest.mark.parametrize("disconnect", [Client.close, Client.reset], ids=["FIN", "RST"])


def stored(here: Running) -> HistoryStore:
    history = here.server.parts.history
    assert history is not None, "the server has no history yet"
    return history


async def disconnect_and_wait(here: Running, stream: Stream, disconnect: object) -> None:
    """Disconnect and return once the server has closed the connection."""
    stream.client.close() if disconnect is Client.close else stream.client.reset()
    await eventually(lambda: here.resources()["connections"] == 0, here.resources)


async def status_of(port: int, query: str = "") -> list[str]:
    """Return the status of each response of a conversation."""
    return [response.get("status", "complete") for response in (await history(port, query))[1::2]]


# Resume


@pytest.mark.every_poller
async def test_ended_turn_is_resumed_from_each_event_byte_for_byte() -> None:
    async with running() as here:
        turn, frames = await whole_frames(here.port, chat("x", model="sim:gap=0ms,tokens=35"))
        assert len(frames) == 36
        assert frames[-1] == DONE
        for after in range(36):
            assert await resumed(here.port, turn, after) == frames[after:]
        assert await resumed(here.port, turn) == frames
        await here.wait_idle()


@pytest.mark.every_poller
async def test_two_clients_of_a_running_turn_get_the_same_events() -> None:
    async with running() as here, streaming(here.port, chat("x", model=RUNNING)) as first:
        begun = [await first.frame() for _ in range(20)]
        async with streaming(here.port, resume(first.turn, 7)) as second:
            frames, others = await asyncio.gather(first.frames(), second.frames())
        assert len(begun) + len(frames) == 61
        assert others == (begun + frames)[7:]
        assert others[-1] == DONE


async def test_resumed_stream_has_the_headers_of_the_turn(port: int) -> None:
    turn, _ = await whole_frames(port, chat("x", conversation="again"))
    async with streaming(port, resume(turn, 1)) as stream:
        assert stream.head.headers["content-type"] == "text/event-stream"
        assert stream.head.headers["x-conversation-id"] == "again"
        assert stream.turn == turn
        await stream.frames()


@pytest.mark.parametrize("junk", ["x", "-1", "1.5", "0x1", "1 2", "9" * 13, "%31", "+1"])
async def test_invalid_last_event_id_is_400(port: int, junk: str) -> None:
    turn, _ = await whole_frames(port, chat("x"))
    response = await fetch(port, resume(turn, junk))
    assert (response.status, code_of(response)) == (400, "invalid_request")


async def test_last_event_id_past_the_end_is_410(port: int) -> None:
    turn, frames = await whole_frames(port, chat("x"))
    response = await fetch(port, resume(turn, len(frames)))
    assert (response.status, code_of(response)) == (410, "resume_expired")


async def test_unknown_turn_is_404(port: int) -> None:
    for name in (UNKNOWN_TURN, "turn_1", "x", "%00", "..", "turn_" + "0" * 23 + "%0a"):
        for data in (resume(name), stop(name)):
            response = await fetch(port, data)
            assert (response.status, code_of(response)) == (404, "not_found")


async def test_head_of_a_turn_has_no_body_and_does_not_follow_it() -> None:
    async with running() as here, streaming(here.port, chat("x", model=ENDLESS)) as stream:
        await stream.frame()
        async with await Client.connect(here.port) as client:
            response = await client.fetch(resume(stream.turn, method="HEAD"))
            assert response.status == 200
            assert response.headers["x-turn-id"] == stream.turn
            assert (await client.fetch(resume(UNKNOWN_TURN, method="HEAD"))).status == 404
        await disconnect_and_wait(here, stream, Client.reset)
        await here.wait_idle()


async def test_turn_of_another_key_is_404() -> None:
    async with running(API_KEY="alice,bob") as here:
        data = chat("x", model=ENDLESS, headers={"X_API_Key": "alice"})
        async with streaming(here.port, data) as stream:
            await stream.frame()
            for data in (resume(stream.turn, X_API_Key="bob"), stop(stream.turn, X_API_Key="bob")):
                response = await fetch(here.port, data)
                assert (response.status, code_of(response)) == (404, "not_found")
            for data in (resume(stream.turn), stop(stream.turn)):
                assert (await fetch(here.port, data)).status == 401
            assert (await fetch(here.port, stop(stream.turn, X_API_Key="alice"))).status == 204
            assert error_of(b"".join(await stream.frames()))["code"] == "stopped"


async def test_expired_turn_cannot_be_resumed() -> None:
    async with running(RESUME_FOR="50ms") as here:
        turn, frames = await whole_frames(here.port, chat("x"))
        assert await resumed(here.port, turn) == frames
        async with asyncio.timeout(5):
            while (await fetch(here.port, resume(turn))).status == 200:
                pass
        assert (await fetch(here.port, resume(turn))).status == 404
        assert len(here.server.parts.chat_service().turns) == 0


async def test_oldest_resumable_turn_is_dropped_first() -> None:
    async with running(RESUME_MEMORY="3000") as here:
        turns = [(await whole_frames(here.port, chat("x")))[0] for _ in range(4)]
        statuses = [(await fetch(here.port, resume(turn))).status for turn in turns]
        assert statuses == [404, 404, 200, 200]


# Disconnect


@DISCONNECTS
@pytest.mark.every_poller
async def test_turn_ended_by_a_disconnect_is_resumable(disconnect: object) -> None:
    async with running() as here:
        async with streaming(here.port, chat("x", model=ENDLESS)) as stream:
            first = await stream.frame()
            await disconnect_and_wait(here, stream, disconnect)
        await here.wait_idle()
        assert await status_of(here.port) == ["interrupted"]
        frames = await resumed(here.port, stream.turn)
        assert frames[0] == first
        assert error_of(b"".join(frames))["code"] == "interrupted"
        at_the_end = await fetch(here.port, resume(stream.turn, len(frames) - 1))
        assert (at_the_end.status, code_of(at_the_end)) == (409, "interrupted"), "an error without a token is a status"


@DISCONNECTS
@pytest.mark.every_poller
async def test_turn_with_on_disconnect_finish_completes_after_a_disconnect(disconnect: object) -> None:
    async with running() as here:
        async with streaming(here.port, chat("x", model=RUNNING, on_disconnect="finish")) as stream:
            received = [await stream.frame() for _ in range(5)]
            await disconnect_and_wait(here, stream, disconnect)
        assert here.resources()["tasks"] == 1
        frames = await resumed(here.port, stream.turn)
        assert frames[:5] == received
        assert (len(frames), frames[-1]) == (61, DONE)
        question, response = await history(here.port)
        assert question["turn"] == stream.turn
        assert (response["content"], response["finish_reason"]) == (response_text(b"".join(frames)), "stop")
        assert "status" not in response
        await here.wait_idle()


async def test_on_disconnect_setting_can_be_overridden_by_a_request() -> None:
    async with running(ON_DISCONNECT="finish") as here:
        requests = (
            chat("x", model=RUNNING, conversation="set"),
            chat("x", model=RUNNING, conversation="overridden", on_disconnect="cancel"),
        )
        for data in requests:
            async with streaming(here.port, data) as stream:
                await stream.frame()
                await disconnect_and_wait(here, stream, Client.reset)
            await here.wait_idle()
        assert await status_of(here.port, "?conversation=set") == ["complete"]
        assert await status_of(here.port, "?conversation=overridden") == ["interrupted"]


async def test_non_streaming_response_that_finishes_after_a_disconnect_is_in_the_history() -> None:
    async with running() as here:
        async with await Client.connect(here.port) as client:
            await client.send(chat("x", model="sim:ttft=50ms,gap=3ms,tokens=9", stream=False, on_disconnect="finish"))
            turns = here.server.parts.chat_service().turns
            await eventually(lambda: any(turn.since(0) for turn in turns.running()), here.resources)
            client.reset()
            await eventually(lambda: here.resources()["connections"] == 0, here.resources)
        await here.wait_idle()
        assert await status_of(here.port) == ["complete"]


async def test_follower_keeps_a_detached_turn_running_until_it_disconnects() -> None:
    async with running() as here:
        async with streaming(here.port, chat("x", model="sim:ttft=1ms,gap=5ms,tokens=5000")) as first:
            await first.frame()
            async with streaming(here.port, resume(first.turn)) as second:
                await second.frame()
                first.client.reset()
                await eventually(lambda: here.resources()["connections"] == 1, here.resources)
                for _ in range(10):
                    assert b'"content"' in await second.frame()
                second.client.reset()
        await here.wait_idle()
        assert await status_of(here.port) == ["interrupted"]


# Stop


@pytest.mark.every_poller
async def test_running_turn_is_stopped_and_stored() -> None:
    async with running() as here, streaming(here.port, chat("x", model=ENDLESS)) as stream:
        first = await stream.frame()
        response = await fetch(here.port, stop(stream.turn))
        assert (response.status, response.body) == (204, b"")
        assert [message["content"] for message in await history(here.port)] == ["x", response_text(first)]
        assert await status_of(here.port) == ["interrupted"]
        rest = await stream.frames()
        assert error_of(b"".join(rest))["code"] == "stopped"
        assert await resumed(here.port, stream.turn) == [first, *rest]
        assert (await fetch(here.port, stop(stream.turn))).status == 204, "stopping an ended turn is not idempotent"
        metrics = (await fetch(here.port, request("/metrics"))).body
        assert b'tokenfall_requests_total{route="/chat",status="200"} 1' in metrics
        assert b'outcome="failed"' not in metrics
        assert b"streams_failed_total{" not in metrics


@pytest.mark.every_poller
async def test_a_turn_is_stopped_before_its_first_token() -> None:
    async with running() as here, await Client.connect(here.port) as client:
        await client.send(chat("x", model="sim:ttft=30s"))
        turns = here.server.parts.chat_service().turns
        await eventually(lambda: len(turns.running()) == 1, here.resources)
        (turn,) = turns.running()
        responses = await asyncio.gather(*(fetch(here.port, stop(turn.id)) for _ in range(2)))
        statuses = {response.status for response in responses}
        assert 204 in statuses
        assert statuses <= {204, 404}, "only 404 is allowed, for a turn already removed"
        refused = await client.read_response()
        assert code_of(refused) == "stopped"
        assert await history(here.port) == []
        assert (await fetch(here.port, resume(turn.id))).status == 404, "a turn without a token is resumable"


async def test_detached_turn_is_stopped() -> None:
    async with running() as here:
        async with streaming(here.port, chat("x", model=ENDLESS, on_disconnect="finish")) as stream:
            await stream.frame()
            await disconnect_and_wait(here, stream, Client.reset)
        assert here.resources()["tasks"] == 1
        assert (await fetch(here.port, stop(stream.turn))).status == 204
        assert await status_of(here.port) == ["interrupted"]
        assert error_of(b"".join(await resumed(here.port, stream.turn)))["code"] == "stopped"
        await here.wait_idle()


async def test_stopping_an_ended_turn_changes_nothing(port: int) -> None:
    turn, frames = await whole_frames(port, chat("x"))
    assert (await fetch(port, stop(turn))).status == 204
    assert await resumed(port, turn) == frames


# Idempotency keys


def keyed(key: str, text: str = "x", *, model: str = RUNNING, **body: object) -> bytes:
    return chat(text, model=model, headers={"Idempotency_Key": key}, **body)


@pytest.mark.every_poller
async def test_requests_with_one_key_are_one_turn_with_the_same_bytes() -> None:
    async with running() as here:
        responses = await asyncio.gather(*(whole_frames(here.port, keyed("k")) for _ in range(5)))
        assert all(response == responses[0] for response in responses)
        turn, frames = responses[0]
        assert (len(frames), frames[-1]) == (61, DONE)
        assert [message["turn"] for message in await history(here.port)] == [turn] * 2
        assert await whole_frames(here.port, keyed("k")) == responses[0], "the ended turn differs"
        assert len(await history(here.port)) == 2
        await here.wait_idle()


async def test_non_streaming_requests_with_one_key_are_one_turn() -> None:
    async with running() as here:
        data = keyed("k", stream=False)
        responses = await asyncio.gather(*(fetch(here.port, data) for _ in range(3)))
        assert {response.status for response in responses} == {200}
        assert {response.body for response in [*responses, await fetch(here.port, data)]} == {responses[0].body}
        assert len({response.headers["x-turn-id"] for response in responses}) == 1
        resumed_text = response_text(b"".join(await resumed(here.port, responses[0].headers["x-turn-id"])))
        assert json.loads(responses[0].body)["content"] == resumed_text, (
            "the stream of a non-streaming response differs"
        )
        assert len(await history(here.port)) == 2


async def test_key_is_bound_to_one_request_and_owner() -> None:
    async with running(API_KEY="alice,bob") as here:

        def owned(text: str, owner: str, **body: object) -> bytes:
            headers = {"Idempotency_Key": "k", "X_API_Key": owner}
            return chat(text, model="sim:gap=1ms,tokens=3", headers=headers, **body)

        turn, _ = await whole_frames(here.port, owned("x", "alice"))
        for other in (owned("y", "alice"), owned("x", "alice", stream=False)):
            response = await fetch(here.port, other)
            assert (response.status, code_of(response)) == (422, "idempotency_mismatch")
        others, _ = await whole_frames(here.port, owned("y", "bob"))
        assert others != turn
        for owner in ("alice", "bob"):
            assert len(await history(here.port, X_API_Key=owner)) == 2


async def test_key_is_free_again_after_a_failure_before_the_first_token() -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.respond(500)

    async with scripted() as upstream:
        upstream.script = refuse
        settings = {"UPSTREAM_URL": upstream.url, "UPSTREAM_RETRIES": "0", "API_KEY": "a"}
        async with running(**settings) as here:
            data = chat("x", model=None, headers={"Idempotency_Key": "k", "X_API_Key": "a"})
            failed = await fetch(here.port, data)
            assert failed.status == 502
            upstream.script = respond_with(b"Hel", b"lo")
            for _ in range(2):
                response = await fetch(here.port, data)
                assert response_text(response.body) == "Hello"
            assert len(await history(here.port, X_API_Key="a")) == 2


async def test_disconnect_before_the_first_token_frees_the_key() -> None:
    async with running() as here:
        async with await Client.connect(here.port) as client:
            await client.send(keyed("k", model="sim:ttft=30s"))
            await eventually(lambda: here.resources()["tasks"] == 1, here.resources)
            client.reset()
            await here.wait_idle()
        assert here.server.parts.chat_service().turns.claims == 0
        assert (await whole_frames(here.port, keyed("k")))[1][-1] == DONE


@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb"])
async def test_invalid_idempotency_key_is_400(port: int, key: str) -> None:
    response = await fetch(port, chat("x", headers={"Idempotency_Key": key}))
    assert (response.status, code_of(response)) == (400, "invalid_request")


# Shutdown


async def test_detached_turn_ended_by_the_drain_is_stored_as_interrupted() -> None:
    async with running() as here:
        async with streaming(here.port, chat("x", model=ENDLESS, on_disconnect="finish")) as stream:
            first = await stream.frame()
            await disconnect_and_wait(here, stream, Client.reset)
        kept = stored(here)
        await here.server.stop()
        (turn,) = await kept.turns(Conversation("", "default")) or ()
        assert (turn.id, turn.status, turn.answer.content) == (stream.turn, "interrupted", response_text(first))


async def test_detached_turn_may_finish_within_the_drain() -> None:
    async with running(DRAIN_TIMEOUT="10s") as here:
        async with streaming(here.port, chat("x", model=RUNNING, on_disconnect="finish")) as stream:
            await stream.frame()
            await disconnect_and_wait(here, stream, Client.reset)
        await here.server.stop()
        (turn,) = await stored(here).turns(Conversation("", "default")) or ()
        assert (turn.id, turn.status) == (stream.turn, "complete")


async def test_shutdown_frame_of_a_chat_has_its_turn_id(serve: Serve) -> None:
    server = serve(DRAIN_TIMEOUT="200ms")
    async with streaming(server.port, chat("x", model=ENDLESS)) as stream:
        first = await stream.frame()
        server.signal()
        error = error_of(b"".join([first, *await stream.frames()]))
        assert error["code"] == "shutting_down"
        assert (error["turn"], error["resumable"]) == (stream.turn, False)
        assert server.wait() == 0
