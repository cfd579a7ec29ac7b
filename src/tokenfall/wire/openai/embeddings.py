"""Server side of `POST /v1/embeddings`, and the simulator's vectors. Pure.

Source: the OpenAI API reference, "Create embeddings". A vector is a deterministic function of the text, identical in
every process. Vectors of different texts are nearly orthogonal.
"""

from array import array
from binascii import b2a_base64
from collections.abc import Iterator
from math import sqrt
from struct import pack, unpack
from typing import Annotated, Any, Literal
from zlib import adler32, crc32

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.wire.dialect import Count, ModelName, decoded

DIMENSIONS = 1536
"""Dimensions of every model unless the request sets `dimensions`."""

MAX_DIMENSIONS = 4096
MAX_INPUTS = 2048

_TokenId = Annotated[int, Meta(ge=0)]
_64_BITS = 2**64 - 1
_encode = msgspec.json.encode


class EmbeddingsBody(Struct, kw_only=True):
    model: ModelName
    input: Annotated[
        str | list[str | _TokenId | list[_TokenId]], Meta(extra_json_schema={"minLength": 1, "minItems": 1})
    ]
    dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


class OpenAIEmbeddings(Struct, frozen=True, kw_only=True):
    """A decoded request. A list of token ids becomes the text of its numbers, separated by spaces: a word per token."""

    model: str
    inputs: tuple[str, ...]
    dimensions: int = DIMENSIONS
    base64: bool = False


class Embedding(Struct, frozen=True, kw_only=True):
    """The vector of an input, as numbers or in base64. `index` is the input's place, from 0."""

    object: Literal["embedding"] = "embedding"
    index: Count
    embedding: list[float] | str


class EmbeddingsUsage(Struct, frozen=True):
    prompt_tokens: Count
    total_tokens: Count


class Embeddings(Struct, frozen=True, kw_only=True):
    """The response, which `pieces` encodes piece by piece."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage


_decoder = msgspec.json.Decoder(EmbeddingsBody)


def decode(body: bytes) -> OpenAIEmbeddings:
    """Decode a request. Raises `InvalidRequest` with the invalid field."""
    read = decoded(_decoder, body)
    inputs = texts_of(read.input, "input", most=MAX_INPUTS)
    for number, text in enumerate(inputs):
        if not text:
            param = "input" if len(inputs) == 1 else f"input[{number}]"
            raise InvalidRequest(f"{param} cannot be an empty string", param=param)
    return OpenAIEmbeddings(
        model=read.model,
        inputs=inputs,
        dimensions=read.dimensions or DIMENSIONS,
        base64=read.encoding_format == "base64",
    )


def texts_of(given: str | list[str | int | list[int]], param: str, *, most: int) -> tuple[str, ...]:
    """The texts of a field that is a string, or an array of strings, token ids or lists of token ids.

    Raises `InvalidRequest` for an empty array, a mixture, or more than `most` items.
    """
    if isinstance(given, str):
        return (given,)
    if not given:
        raise InvalidRequest(f"Invalid '{param}': empty array. Expected an array with minimum length 1.", param=param)
    kinds = set(map(type, given))
    if len(kinds) > 1:
        raise InvalidRequest(f"{param} takes strings, token ids or lists of token ids, not a mixture", param=param)
    if kinds == {int}:
        return (_numbers(given),)
    if len(given) > most:
        raise InvalidRequest(
            f"Invalid '{param}': array too long. Expected an array with maximum length {most}, "
            f"but got an array with length {len(given)} instead.",
            param=param,
        )
    if [] in given:
        place = f"{param}[{given.index([])}]"
        raise InvalidRequest(f"Invalid '{place}': empty array. Expected an array with minimum length 1.", param=place)
    return tuple(each if isinstance(each, str) else _numbers(each) for each in given)


def _numbers(ids: Any) -> str:  # noqa: ANN401 - always a list of integers
    """Integers separated by spaces. Encoded as JSON, which takes 1 to 2 ms for 100,000 of them."""
    return _encode(ids).decode()[1:-1].replace(",", " ")


def consumed(inputs: list[str], seeds: "array[int]") -> Iterator[str]:
    """Each input in order, removed from `inputs` because it may be large; its seed is appended to `seeds`."""
    inputs.reverse()
    while inputs:
        seeds.append(seed_of(inputs[-1]))
        yield inputs.pop()


def pieces(embed: OpenAIEmbeddings, tokens: int, *, seeds: "array[int]") -> Iterator[bytes]:
    """A complete response, one input at a time: 2,048 inputs are 180 megabytes. `tokens` is the size of the inputs.

    `seeds` are those of the inputs, whose texts are not needed: a slow client may take long to read the response.
    """
    yield b'{"object":"list","data":['
    for number, seed in enumerate(seeds):
        yield _embedding(number, seed, dimensions=embed.dimensions, base64=embed.base64)
    yield b'],"model":%b,"usage":%b}' % (_encode(embed.model), _encode(EmbeddingsUsage(tokens, tokens)))


def _embedding(number: int, seed: int, *, dimensions: int, base64: bool) -> bytes:
    numbers = vector_of(seed, dimensions)
    comma = b"," if number else b""
    return comma + _encode(Embedding(index=number, embedding=base64_of(numbers) if base64 else numbers))


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The unit vector of `text`. Fewer dimensions give a prefix of the longer vector, normalized again."""
    return vector_of(seed_of(text), dimensions)


def seed_of(text: str) -> int:
    """The 64-bit seed of the vector of `text`."""
    data = text.encode("utf-8", "surrogatepass")
    return crc32(data) << 32 | adler32(data)


def vector_of(seed: int, dimensions: int) -> list[float]:
    """The unit vector for a seed."""
    numbers = _integers(seed, dimensions)
    scale = 1 / sqrt(sum(number * number for number in numbers) or 1)
    return [number * scale for number in numbers]


def base64_of(numbers: list[float]) -> str:
    """OpenAI's base64 format: little-endian 32-bit floats."""
    return b2a_base64(pack(f"<{len(numbers)}f", *numbers), newline=False).decode()


def _integers(state: int, count: int) -> tuple[int, ...]:
    """`count` uniformly distributed, odd 16-bit integers: four from each step of splitmix64."""
    steps = -(-count // 4)
    mixed = []
    for _ in range(steps):
        state = (state + 0x9E3779B97F4A7C15) & _64_BITS
        bits = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
        bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & _64_BITS
        mixed.append((bits ^ bits >> 31) | 0x0001_0001_0001_0001)
    return unpack(f"<{4 * steps}h", pack(f"<{steps}Q", *mixed))[:count]
