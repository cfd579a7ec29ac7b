"""Requests refused for an invalid field or key raise the client's own exception."""

from typing import Any

import anthropic as anthropic_library
import groq as groq_library
import ollama as ollama_library
import openai as openai_library
import pytest

from tests.sdk.clients import anthropic_client, groq_client, ollama_client, openai_client
from tests.sdk.conftest import API_KEY, SiteUnderTest
from tests.sdk.prompts import MESSAGES, MODEL, QUESTION

STREAM_MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
FIELDS = [
    ("temperature", {"temperature": 3}),
    ("messages", {"messages": []}),
    ("max_tokens", {"max_tokens": 0}),
    ("tool_choice", {"tool_choice": "required"}),
    ("response_format.json_schema", {"response_format": {"type": "json_schema"}}),
]


@STREAM_MODES
@pytest.mark.parametrize(("param", "fields"), FIELDS, ids=[param for param, _ in FIELDS])
def test_openai_names_the_field(openai: Any, param: str, fields: dict[str, Any], *, stream: bool) -> None:
    with pytest.raises(openai_library.BadRequestError) as caught:
        openai.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, "stream": stream, **fields})
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


@STREAM_MODES
@pytest.mark.parametrize(("param", "fields"), FIELDS, ids=[param for param, _ in FIELDS])
def test_groq_names_the_field(groq: Any, param: str, fields: dict[str, Any], *, stream: bool) -> None:
    with pytest.raises(groq_library.BadRequestError) as caught:
        groq.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, "stream": stream, **fields})
    assert caught.value.body["error"]["param"] == param  # type: ignore[index] # `object` to its class


@STREAM_MODES
def test_openai_names_the_field_of_a_response(openai: Any, *, stream: bool) -> None:
    with pytest.raises(openai_library.BadRequestError) as caught:
        openai.responses.create(model=MODEL, input=QUESTION, max_output_tokens=1, stream=stream)
    assert caught.value.param == "max_output_tokens"
    with pytest.raises(openai_library.BadRequestError) as caught:
        openai.responses.create(model=MODEL, input=QUESTION, previous_response_id="resp_1", stream=stream)
    assert caught.value.code == "previous_response_not_found"


def test_openai_names_the_field_of_an_embedding_and_of_a_completion(openai: Any) -> None:
    with pytest.raises(openai_library.BadRequestError) as caught:
        openai.embeddings.create(model=MODEL, input=[])
    assert caught.value.param == "input"
    with pytest.raises(openai_library.BadRequestError) as caught:
        openai.completions.create(model=MODEL, prompt=QUESTION, temperature=3)
    assert caught.value.param == "temperature"


@STREAM_MODES
def test_anthropic_names_the_field(anthropic: Any, *, stream: bool) -> None:
    with pytest.raises(anthropic_library.BadRequestError) as caught:
        anthropic.messages.create(model=MODEL, messages=MESSAGES, max_tokens=-1, stream=stream)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == caught.value.type == "invalid_request_error"
    assert body["error"]["message"].startswith("max_tokens: ")
    assert body["request_id"] == caught.value.request_id


@STREAM_MODES
def test_ollama_client_raises_the_servers_message(ollama: Any, *, stream: bool) -> None:
    with pytest.raises(ollama_library.ResponseError, match='time: invalid duration "soon"') as caught:
        list(ollama.chat(model=MODEL, messages=MESSAGES, keep_alive="soon", stream=stream))
    assert caught.value.status_code == 400


@STREAM_MODES
def test_wrong_key_is_refused_and_right_key_accepted(keyed: SiteUnderTest, *, stream: bool) -> None:
    fields: Any = {"model": MODEL, "messages": MESSAGES, "stream": stream}
    for connect, refusal in (
        (openai_client, openai_library.AuthenticationError),
        (groq_client, groq_library.AuthenticationError),
    ):
        with connect(keyed.port, key="wrong") as client, pytest.raises(refusal):
            client.chat.completions.create(**fields)
        with connect(keyed.port, key=API_KEY) as client:
            assert client.chat.completions.create(**fields)
    fields["max_tokens"] = 5
    with anthropic_client(keyed.port, key="wrong") as client, pytest.raises(anthropic_library.AuthenticationError):
        client.messages.create(**fields)
    with anthropic_client(keyed.port, key=API_KEY) as client:
        assert client.messages.create(**fields)


def test_openai_client_raises_an_authentication_error(keyed: SiteUnderTest) -> None:
    with openai_client(keyed.port, key="wrong") as client, pytest.raises(openai_library.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"


@STREAM_MODES
def test_ollama_is_refused_with_a_wrong_key(keyed: SiteUnderTest, *, stream: bool) -> None:
    with ollama_client(keyed.port, key="wrong") as client, pytest.raises(ollama_library.ResponseError) as caught:
        list(client.chat(model=MODEL, messages=MESSAGES, stream=stream))
    assert caught.value.status_code == 401
    with ollama_client(keyed.port, key=API_KEY) as client:
        assert list(client.chat(model=MODEL, messages=MESSAGES, stream=stream))
