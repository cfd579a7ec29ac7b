"""Legacy completions, embeddings and models with the `openai` client."""

from math import isclose, sqrt
from typing import Any

import openai as library
import pytest

from tests.sdk.clients import KEY
from tests.sdk.conftest import SiteUnderTest
from tests.sdk.prompts import MODEL, QUESTION


def unvalidated_client(port: int) -> Any:
    """Return a client that does not validate responses.

    Strict validation fails on base64 embeddings, which the client requests by default, before it decodes them, and on
    the null `finish_reason` of all chunks of a legacy stream but the last.
    """
    return library.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)


def test_legacy_stream_equals_the_non_streaming_response_token_by_token(openai: Any, site: SiteUnderTest) -> None:
    fields: Any = {"model": MODEL, "prompt": QUESTION, "max_tokens": 1000}
    whole = openai.completions.create(**fields)
    with unvalidated_client(site.port) as client:
        chunks = list(client.completions.create(**fields, stream=True, stream_options={"include_usage": True}))
    texts = [choice.text for chunk in chunks for choice in chunk.choices if choice.text]
    assert "".join(texts) == whole.choices[0].text
    assert len(texts) == whole.usage.completion_tokens > 10
    assert chunks[-1].usage == whole.usage
    assert whole.choices[0].finish_reason == "stop"


async def test_async_client_gets_the_same_legacy_response(async_openai: Any) -> None:
    assert (await async_openai.completions.create(model=MODEL, prompt=QUESTION)).choices[0].text


def test_legacy_response_is_limited_stopped_and_repeated(openai: Any) -> None:
    response = openai.completions.create(model=MODEL, prompt=["One", "Two"], max_tokens=3, n=2)
    assert [choice.index for choice in response.choices] == [0, 1, 2, 3]
    assert {choice.finish_reason for choice in response.choices} == {"length"}
    assert response.usage.completion_tokens == 12
    text = openai.completions.create(model=MODEL, prompt=QUESTION, max_tokens=1000).choices[0].text
    word = text.split()[5]
    stopped = openai.completions.create(model=MODEL, prompt=QUESTION, max_tokens=1000, stop=word)
    assert stopped.choices[0].text == text[: text.index(word)]


def test_legacy_log_probabilities_are_those_of_the_tokens(openai: Any) -> None:
    choice = openai.completions.create(model=MODEL, prompt=QUESTION, max_tokens=5, logprobs=2).choices[0]
    assert "".join(choice.logprobs.tokens) == choice.text
    assert len(choice.logprobs.token_logprobs) == len(choice.logprobs.top_logprobs) == 5


def test_embeddings_are_the_same_in_floats_and_base64(openai: Any, site: SiteUnderTest) -> None:
    fields = {"model": MODEL, "input": ["One", "Two"]}
    floats = openai.embeddings.create(**fields, encoding_format="float")
    with unvalidated_client(site.port) as client:
        decoded = client.embeddings.create(**fields)
        raw = client.embeddings.create(**fields, encoding_format="base64")
    assert [len(each.embedding) for each in floats.data] == [1536, 1536]
    assert isinstance(raw.data[0].embedding, str)
    for one, other in zip(floats.data, decoded.data, strict=True):
        assert one.index == other.index
        assert all(isclose(a, b, abs_tol=1e-6) for a, b in zip(one.embedding, other.embedding, strict=True))
    assert floats.data[0].embedding != floats.data[1].embedding
    assert floats.usage.total_tokens == floats.usage.prompt_tokens == 2


def test_embeddings_have_the_requested_dimensions(openai: Any) -> None:
    response = openai.embeddings.create(model=MODEL, input="One", dimensions=8, encoding_format="float")
    vector = response.data[0].embedding
    assert len(vector) == 8
    assert isclose(sqrt(sum(number * number for number in vector)), 1, abs_tol=1e-6)


def test_models_are_listed_and_found(openai: Any) -> None:
    models = list(openai.models.list())
    assert "sim" in [model.id for model in models]
    assert openai.models.retrieve("sim").object == "model"


def test_a_model_that_is_not_there_is_not_found(openai: Any, site: SiteUnderTest) -> None:
    if not site.relayed:  # the simulator accepts every name
        assert openai.models.retrieve("nobody").id == "nobody"
        return
    with pytest.raises(library.NotFoundError) as caught:
        openai.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
