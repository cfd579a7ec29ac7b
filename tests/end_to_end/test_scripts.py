"""Scripts, recordings and profiles over real sockets, in every dialect that they reach."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.chatting import chat, error_of, response_text
from tests.end_to_end.client import ClientResponse, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

SCRIPT = """
- when: {last: {contains: weather}}
  say:
    - call: {name: get_weather, arguments: {city: Paris}}
- when: {tool_result: get_weather}
  say: It is sunny in Paris.
- when: {last: boom}
  say:
    - text: I was about to
    - error: the model fell over
- when: {last: busy}
  sim: status=503:retry=7
  say: never
"""
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}


@pytest.fixture
def scripted(serve: Serve, tmp_path: Path) -> ServerProcess:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "s.yaml").write_text(SCRIPT, encoding="utf-8")
    return serve(SIM="gap=1ms", SIM_FILES=str(tmp_path / "files"))


def asking(*messages: dict[str, Any], sim: str = "script=s.yaml", **more: Any) -> bytes:
    document = {"model": "m", "messages": list(messages), **more}
    return request("/v1/chat/completions", method="POST", body=json.dumps(document), X_Sim=sim)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def requested(port: int, *messages: dict[str, Any], **more: Any) -> ClientResponse:
    return await fetch(port, asking(*messages, **more))


async def test_a_tool_loop_is_played_to_its_end(scripted: ServerProcess) -> None:
    first = json.loads((await requested(scripted.port, user("the weather?"))).body)["choices"][0]
    result = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    second = json.loads((await requested(scripted.port, user("the weather?"), called, result)).body)["choices"][0]

    assert first["finish_reason"] == "tool_calls"
    assert json.loads(first["message"]["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    assert second["message"]["content"] == "It is sunny in Paris."


async def test_script_error_is_encoded_in_the_dialect_at_its_step(scripted: ServerProcess) -> None:
    stream = await requested(scripted.port, user("boom"), stream=True)
    whole = await requested(scripted.port, user("boom"))
    in_chat = await fetch(scripted.port, chat("boom", headers={"X_Sim": "script=s.yaml"}))

    assert b'"content":" to"' in stream.body
    assert b"the model fell over" in stream.body
    assert b"[DONE]" not in stream.body
    assert whole.status == 500
    assert json.loads(whole.body)["error"]["message"] == "the model fell over"
    assert response_text(in_chat.body) == "I was about to"
    assert error_of(in_chat.body)["message"] == "the model fell over"


async def test_turn_has_its_own_grammar(scripted: ServerProcess) -> None:
    answer = await requested(scripted.port, user("busy"))

    assert answer.status == 503
    assert answer.headers["retry-after"] == "7"


async def test_unmatched_request_is_refused_with_the_nearest_turn(scripted: ServerProcess) -> None:
    answer = await requested(scripted.port, user("bom"))

    assert answer.status == 404
    assert "nearest: turn" in json.loads(answer.body)["error"]["message"]


async def test_changed_script_is_reloaded_unless_it_is_invalid(scripted: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "files" / "s.yaml"
    assert (await requested(scripted.port, user("new"))).status == 404
    path.write_text("- when: {last: new}\n  say: seen\n", encoding="utf-8")
    while (answer := await requested(scripted.port, user("new"))).status == 404:
        pass
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "seen"

    path.write_text("- when: {last: new}\n  sey: broken\n", encoding="utf-8")
    scripted.may_log_errors = True
    while "scenario not reloaded" not in scripted.log():
        assert (await requested(scripted.port, user("new"))).status == 200
    assert "s.yaml:2: turn 1" in scripted.log()


@pytest.mark.parametrize("name", ["../s.yaml", "/etc/passwd", "none.yaml"])
async def test_request_cannot_name_a_file_outside_the_folder(scripted: ServerProcess, name: str) -> None:
    answer = await requested(scripted.port, user("x"), sim=f"script={name}")

    assert answer.status == 400
    assert json.loads(answer.body)["error"]["param"] == "script"
    assert os.sep + "files" not in answer.body.decode()


async def test_a_named_profile_times_chats_and_plain_streams(scripted: ServerProcess) -> None:
    for data in (asking(user("x"), sim="profile=groq-70b,tokens=1"), request("/stream-sse?profile=groq-70b&tokens=1")):
        assert (await fetch(scripted.port, data)).status == 200
    unknown = await fetch(scripted.port, request("/stream-sse?profile=nope"))

    assert unknown.status == 400
    assert "groq-70b" in json.loads(unknown.body)["detail"]


async def test_recording_is_replayed_as_recorded(scripted: ServerProcess, tmp_path: Path) -> None:
    ask = {"model": "m", "messages": [user("hi")], "stream": True}
    frames = ['data: {"n":1}\n\n', 'data: {"n":2}\n\n', "data: [DONE]\n\n"]
    exchange: dict[str, Any] = {
        "v": 1,
        "time": "2026-01-01T00:00:00Z",
        "request": {"method": "POST", "path": "/v1/chat/completions", "headers": {}, "body": ask},
        "answer": {
            "status": 200,
            "headers": {"content-type": "text/event-stream"},
            "streamed": True,
            "chunks": [[0.001 * number, frame] for number, frame in enumerate(frames)],
        },
    }
    refused = json.loads(json.dumps(exchange))
    refused["request"]["body"]["messages"] = [user("no")]
    refused["answer"] = {"status": 429, "headers": {}, "streamed": False, "chunks": [[0.0, '{"error":"later"}']]}
    cut = json.loads(json.dumps(exchange))
    cut["request"]["body"]["messages"] = [user("cut")]
    cut["interrupted"] = "upstream"
    lines = "".join(json.dumps(each) + "\n" for each in (exchange, refused, cut))
    (tmp_path / "files" / "r.jsonl").write_text(lines, encoding="utf-8")

    replayed = await requested(scripted.port, user("hi"), stream=True, sim="script=r.jsonl,speed=2")
    assert replayed.body.decode() == "".join(frames)
    assert (await requested(scripted.port, user("no"), stream=True, sim="script=r.jsonl")).status == 429
    assert (await requested(scripted.port, user("else"), stream=True, sim="script=r.jsonl")).status == 404
    with pytest.raises(EOFError):
        await requested(scripted.port, user("cut"), stream=True, sim="script=r.jsonl")
