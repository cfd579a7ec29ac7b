"""Chat, generation, embeddings and models with the `ollama` client."""

import json
from base64 import b64decode
from typing import Any

import ollama as library
import pytest

from tests.sdk.conftest import SiteUnderTest
from tests.sdk.prompts import BOTH, FITS, MESSAGES, MODEL, PIXEL, QUESTION, TOOLS, Weather, user

STREAM_MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def chat(client: Any, messages: Any, *, stream: bool, **fields: Any) -> dict[str, Any]:
    """Return `content`, `thinking`, `calls` and the `last` document of a response."""
    response = client.chat(model=MODEL, messages=messages, stream=stream, **fields)
    parts = list(response) if stream else [response]
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    return {
        "content": "".join(part.message.content or "" for part in parts),
        "thinking": "".join(part.message.thinking or "" for part in parts),
        "calls": [call for part in parts for call in part.message.tool_calls or ()],
        "last": parts[-1],
    }


def test_stream_equals_the_non_streaming_response_token_by_token(ollama: Any) -> None:
    whole = ollama.chat(model=MODEL, messages=MESSAGES)
    *parts, last = ollama.chat(model=MODEL, messages=MESSAGES, stream=True)
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert len(parts) == last.eval_count == whole.eval_count > 10
    assert last.prompt_eval_count == whole.prompt_eval_count > 0
    assert last.message.content == ""
    assert last.done_reason == whole.done_reason == "stop"
    assert last.total_duration > 0
    assert last.eval_duration > 0


async def test_async_client_gets_the_same_response(async_ollama: Any) -> None:
    whole = await async_ollama.chat(model=MODEL, messages=MESSAGES)
    texts = [
        part.message.content async for part in await async_ollama.chat(model=MODEL, messages=MESSAGES, stream=True)
    ]
    assert "".join(texts) == whole.message.content


@STREAM_MODES
def test_generate_returns_the_requested_text(ollama: Any, *, stream: bool) -> None:
    response = ollama.generate(model=MODEL, prompt=QUESTION, system="Be brief.", stream=stream)
    parts = list(response) if stream else [response]
    assert "".join(part.response for part in parts) == ollama.generate(model=MODEL, prompt=QUESTION).response
    assert parts[-1].done
    assert parts[-1].eval_count == len(parts) - 1 if stream else parts[-1].eval_count > 10


@STREAM_MODES
def test_tools_are_called_and_their_results_get_a_response(ollama: Any, *, stream: bool) -> None:
    first = chat(ollama, [user(BOTH)], stream=stream, tools=TOOLS)
    functions = [call.function for call in first["calls"]]
    assert [function.name for function in functions] == ["get_weather", "get_time"]
    for function in functions:
        FITS[function.name].model_validate(function.arguments)
    assistant_message = {"role": "assistant", "content": "", "tool_calls": first["calls"]}
    results = [{"role": "tool", "tool_name": function.name, "content": "Rain."} for function in functions]
    final_response = chat(ollama, [user(BOTH), assistant_message, *results], stream=stream, tools=TOOLS)
    assert final_response["content"]
    assert final_response["calls"] == []


@STREAM_MODES
def test_response_has_the_requested_format(ollama: Any, *, stream: bool) -> None:
    Weather.model_validate_json(chat(ollama, MESSAGES, stream=stream, format=Weather.model_json_schema())["content"])
    assert isinstance(json.loads(chat(ollama, MESSAGES, stream=stream, format="json")["content"]), dict)


@pytest.mark.parametrize("think", [True, "low"])
@STREAM_MODES
def test_reasoning_is_sent_on_request(ollama: Any, think: Any, *, stream: bool) -> None:
    response = chat(ollama, MESSAGES, stream=stream, think=think)
    assert response["thinking"]
    assert response["content"]
    assert chat(ollama, MESSAGES, stream=stream, think=False)["thinking"] == ""
    assert ollama.generate(model=MODEL, prompt=QUESTION, think=think).thinking == response["thinking"]


@STREAM_MODES
def test_response_is_limited_and_stopped(ollama: Any, *, stream: bool) -> None:
    bounded = chat(ollama, MESSAGES, stream=stream, options={"num_predict": 7})["last"]
    assert (bounded.eval_count, bounded.done_reason) == (7, "length")
    text = chat(ollama, MESSAGES, stream=False)["content"]
    word = text.split()[5]
    stopped = chat(ollama, MESSAGES, stream=stream, options={"stop": [word]})
    assert stopped["content"] == text[: text.index(word)]
    assert stopped["last"].done_reason == "stop"


def test_images_are_accepted(ollama: Any) -> None:
    image = b64decode(PIXEL)
    assert ollama.chat(model=MODEL, messages=[{**user("This?"), "images": [image]}]).message.content
    assert ollama.generate(model=MODEL, prompt="This?", images=[image]).response


def test_empty_request_loads_and_unloads_the_model(ollama: Any) -> None:
    assert ollama.generate(model=MODEL).done_reason == "load"
    assert ollama.generate(model=MODEL, keep_alive=0).done_reason == "unload"


def test_texts_are_embedded(ollama: Any) -> None:
    vectors = ollama.embed(model=MODEL, input=["One", "Two"], dimensions=8).embeddings
    assert [len(vector) for vector in vectors] == [8, 8]
    assert vectors[0] != vectors[1]
    assert len(ollama.embed(model=MODEL, input="One").embeddings) == 1
    assert len(ollama.embeddings(model=MODEL, prompt="One").embedding) == 1536


def test_models_are_listed_shown_and_running(ollama: Any) -> None:
    assert "sim" in [model.model for model in ollama.list().models]
    assert "sim" in [model.model for model in ollama.ps().models]
    shown = ollama.show("sim")
    assert shown.modelinfo
    assert "tools" in shown.capabilities


def test_a_model_that_is_not_there_is_not_found(ollama: Any, site: SiteUnderTest) -> None:
    if not site.relayed:  # the simulator accepts every name
        assert ollama.show("nobody").capabilities
        return
    with pytest.raises(library.ResponseError) as caught:
        ollama.show("nobody")
    assert caught.value.status_code == 404
    assert caught.value.error == "model 'nobody' not found"
