import json

import msgspec
import pytest

from tokenfall.wire.dialect import ResponseTiming
from tokenfall.wire.ollama.embeddings import (
    OllamaEmbeddings,
    complete_embeddings,
    decode_embed,
    decode_embeddings,
    embed_pieces,
    vectors_of,
)
from tokenfall.wire.openai.embeddings import seed_of, vector

from tests.unit.wire.refusals import refusal


@pytest.mark.parametrize(
    ("fields", "embed"),
    [
        ({"input": "Hi"}, OllamaEmbeddings(model="sim", inputs=("Hi",))),
        ({"input": ["Hi", ""]}, OllamaEmbeddings(model="sim", inputs=("Hi", ""))),
        ({"input": "Hi", "dimensions": 3}, OllamaEmbeddings(model="sim", inputs=("Hi",), dimensions=3)),
        ({"input": "Hi", "dimensions": 0, "truncate": True}, OllamaEmbeddings(model="sim", inputs=("Hi",))),
        ({"input": "Hi", "dimensions": -1}, OllamaEmbeddings(model="sim", inputs=("Hi",))),
        ({"input": "Hi", "dimensions": 3_072}, OllamaEmbeddings(model="sim", inputs=("Hi",), dimensions=3_072)),
        ({"input": "Hi", "truncate": False}, OllamaEmbeddings(model="sim", inputs=("Hi",), truncate=False)),
        ({"input": ""}, OllamaEmbeddings(model="sim", inputs=())),
        ({"input": []}, OllamaEmbeddings(model="sim", inputs=())),
        ({"options": {"num_ctx": 1}, "keep_alive": "5m"}, OllamaEmbeddings(model="sim", inputs=())),
    ],
)
def test_embed_request_is_decoded(fields: dict[str, object], embed: OllamaEmbeddings) -> None:
    assert decode_embed(json.dumps({"model": "sim", **fields}).encode()) == embed


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (b"{}", "model is required", "model"),
        (b'{"model":"sim","input":1}', "input: Expected `str | array | null`, got `int`", "input"),
        (b'{"model":"sim","input":[1]}', "input[0]: Expected `str`, got `int`", "input[0]"),
        (b'{"model":"sim","input":["a"%b]}' % (b',"a"' * 2048), "input takes at most 2048 texts", "input"),
    ],
)
def test_invalid_request_is_refused(body: bytes, message: str, param: str) -> None:
    assert refusal(decode_embed, body) == (param, message)


def test_response_has_a_vector_for_each_input() -> None:
    vectors = vectors_of([seed_of("Hi"), seed_of("Ho")], 3)

    body = b"".join(embed_pieces("sim", vectors, tokens=2, timing=ResponseTiming()))

    assert json.loads(body)["embeddings"] == [vector("Hi", 3), vector("Ho", 3)]


def test_empty_input_gives_no_vectors() -> None:
    assert b"".join(embed_pieces("sim", (), tokens=0, timing=ResponseTiming())) == (
        b'{"model":"sim","embeddings":[],"total_duration":1,"load_duration":1,"prompt_eval_count":0}'
    )


def test_upstream_vectors_are_encoded_unchanged_one_at_a_time() -> None:
    vectors = [msgspec.Raw(b"[0.5,-1.0]"), msgspec.Raw(b"[0.0,2.0]")]
    pieces = list(embed_pieces("m", vectors, tokens=3, timing=ResponseTiming(total_s=0.5)))

    assert len(pieces) == 4
    assert b"".join(pieces) == (
        b'{"model":"m","embeddings":[[0.5,-1.0],[0.0,2.0]],"total_duration":500000000,"load_duration":1,'
        b'"prompt_eval_count":3}'
    )


def test_older_route_embeds_one_prompt() -> None:
    embed = decode_embeddings(b'{"model":"sim","prompt":"Hi"}')

    assert embed == OllamaEmbeddings(model="sim", inputs=("Hi",))
    assert json.loads(complete_embeddings(embed)) == {"embedding": vector("Hi")}


@pytest.mark.parametrize("body", [b'{"model":"sim"}', b'{"model":"sim","prompt":""}'])
def test_legacy_route_accepts_no_prompt(body: bytes) -> None:
    assert complete_embeddings(decode_embeddings(body)) == b'{"embedding":[]}'


def test_legacy_route_requires_a_model() -> None:
    assert refusal(decode_embeddings, b'{"prompt":"Hi"}') == ("model", "model is required")
