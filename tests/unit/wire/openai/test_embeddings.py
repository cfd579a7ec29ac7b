import json
from array import array
from base64 import b64decode
from math import isclose, sqrt
from struct import unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.wire.openai.embeddings import (
    OpenAIEmbeddings,
    base64_of,
    consumed,
    decode,
    pieces,
    seed_of,
    vector,
)

from tests.unit.wire.refusals import refusal


def body(**fields: object) -> bytes:
    return json.dumps({"model": "m", "input": "Hi", **fields}).encode()


def encoded(*texts: str, tokens: int, **fields: object) -> list[bytes]:
    """The pieces of a response."""
    return list(pieces(decode(body(input=texts, **fields)), tokens, seeds=array("Q", map(seed_of, texts))))


# Requests


def test_model_and_input_are_sufficient() -> None:
    assert decode(body(user="u")) == OpenAIEmbeddings(model="m", inputs=("Hi",), dimensions=1536, base64=False)


def test_all_fields_are_decoded() -> None:
    assert decode(body(input=["a", " "], dimensions=3, encoding_format="base64")) == OpenAIEmbeddings(
        model="m", inputs=("a", " "), dimensions=3, base64=True
    )


@pytest.mark.parametrize(
    ("given_", "inputs"),
    [
        ([1, 22, 3], ("1 22 3",)),
        ([[1, 22], [3]], ("1 22", "3")),
        (["x"] * 2048, ("x",) * 2048),
        ([7] * 3000, (" ".join(["7"] * 3000),)),
    ],
)
def test_token_ids_become_a_text_with_a_word_per_token(given_: list[object], inputs: tuple[str, ...]) -> None:
    assert decode(body(input=given_)).inputs == inputs


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"input": ""}, "input", "input cannot be an empty string"),
        ({"input": ["a", ""]}, "input[1]", "input[1] cannot be an empty string"),
        ({"input": []}, "input", "Invalid 'input': empty array. Expected an array with minimum length 1."),
        ({"input": [[1], []]}, "input[1]", "Invalid 'input[1]': empty array. Expected an array with minimum length 1."),
        ({"input": ["a", 1]}, "input", "input takes strings, token ids or lists of token ids, not a mixture"),
        (
            {"input": ["x"] * 2049},
            "input",
            (
                "Invalid 'input': array too long. Expected an array with maximum length 2048, "
                "but got an array with length 2049 instead."
            ),
        ),
        ({"input": None}, "input", "input: Expected `str | array`, got `null`"),
        ({"input": [-1]}, "input[0]", "input[0]: Expected `int` >= 0"),
        ({"input": [[1, "a"]]}, "input[0][1]", "input[0][1]: Expected `int`, got `str`"),
        ({"model": ""}, "model", "model: Expected `str` of length >= 1"),
        ({"dimensions": 0}, "dimensions", "dimensions: Expected `int` >= 1"),
        ({"dimensions": 4097}, "dimensions", "dimensions: Expected `int` <= 4096"),
        ({"encoding_format": "int8"}, "encoding_format", "encoding_format: Invalid enum value 'int8'"),
    ],
)
def test_invalid_request_is_refused(fields: dict[str, object], param: str, message: str) -> None:
    assert refusal(decode, body(**fields)) == (param, message)


# Vectors


def test_vector_of_a_text_is_constant() -> None:
    assert [round(number, 6) for number in vector("a", 5)] == [-0.613951, 0.280946, -0.647446, -0.299325, 0.18802]
    assert len(vector("a")) == 1536


@given(st.text(), st.integers(min_value=1, max_value=64))
def test_vector_is_normalized_and_fewer_dimensions_are_its_prefix(text: str, dimensions: int) -> None:
    longer, shorter = vector(text, 64), vector(text, dimensions)

    assert isclose(sum(number**2 for number in shorter), 1)
    length = sqrt(sum(number**2 for number in longer[:dimensions]))
    assert all(isclose(a, b / length) for a, b in zip(shorter, longer, strict=False))


def test_vectors_of_two_texts_are_nearly_orthogonal() -> None:
    texts = [vector(text) for text in ("a", "b", "ab", "ba", "a ", "")]
    products = [sum(x * y for x, y in zip(a, b, strict=True)) for a in texts for b in texts if a is not b]

    assert max(map(abs, products)) < 0.15


def test_base64_is_of_32_bit_floats_little_endian() -> None:
    assert base64_of([1.0, -0.5]) == "AACAPwAAAL8="


# Responses


def test_response_with_floats() -> None:
    response = json.loads(b"".join(encoded("a", "b", tokens=2, dimensions=2)))

    assert response == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": vector("a", 2)},
            {"object": "embedding", "index": 1, "embedding": vector("b", 2)},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }


def test_response_in_base64() -> None:
    response = b"".join(encoded("a", tokens=1, dimensions=1, encoding_format="base64"))

    assert response == (
        b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAvw=="}],'
        b'"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}'
    )
    assert unpack("<f", b64decode("AACAvw==")) == (-1.0,)


def test_response_is_encoded_one_input_at_a_time() -> None:
    assert len(encoded("a", "b", "c", tokens=3)) == 5


def test_inputs_are_released_as_they_are_consumed() -> None:
    inputs, seeds = ["a", "b b", "c"], array("Q")
    texts = consumed(inputs, seeds)

    assert (next(texts), len(inputs)) == ("a", 2)
    assert [*texts] == ["b b", "c"]
    assert (inputs, seeds) == ([], array("Q", map(seed_of, ["a", "b b", "c"])))
