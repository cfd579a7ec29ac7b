"""`POST /v1/embeddings`, as a server reads and answers it, and the simulator's vectors. Pure.

Source: the OpenAI API reference, "Create embeddings". A vector is made from the text alone: the same text has the same
vector in every process, and two texts have next to nothing in common.
"""

from array import array
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from math import sqrt
from struct import pack, unpack
from typing import Annotated, Any, Literal
from zlib import adler32, crc32

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.wire.dialect import decoded

DIMENSIONS = 1536
"""Of every model that is not asked for another number."""

MAX_DIMENSIONS = 4096
MAX_INPUTS = 2048

_TokenId = Annotated[int, Meta(ge=0)]
_64_BITS = 2**64 - 1
_encode = msgspec.json.encode


class _Body(Struct, kw_only=True):
    model: Annotated[str, Meta(min_length=1, max_length=200)]
    input: str | list[str | _TokenId | list[_TokenId]]
    dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


class Embed(Struct, frozen=True, kw_only=True):
    """What to embed. A list of token ids is the text of its numbers, with a space between: a word for each token."""

    model: str
    inputs: tuple[str, ...]
    dimensions: int = DIMENSIONS
    base64: bool = False


_decoder = msgspec.json.Decoder(_Body)


def decode(body: bytes) -> Embed:
    """Read a request. Raises `InvalidRequest` with the field at fault."""
    read = decoded(_decoder, body)
    inputs = texts_of(read.input, "input", most=MAX_INPUTS)
    for number, text in enumerate(inputs):
        if not text:
            param = "input" if len(inputs) == 1 else f"input[{number}]"
            raise InvalidRequest(f"{param} cannot be an empty string", param=param)
    return Embed(
        model=read.model,
        inputs=inputs,
        dimensions=read.dimensions or DIMENSIONS,
        base64=read.encoding_format == "base64",
    )


def texts_of(given: str | list[str | int | list[int]], param: str, *, most: int) -> tuple[str, ...]:
    """The texts of a field that takes a text, texts, token ids or lists of token ids. Raises `InvalidRequest`."""
    if isinstance(given, str):
        return (given,)
    if not given:
        raise InvalidRequest(f"Invalid '{param}': empty array. Expected an array with minimum length 1.", param=param)
    kinds = set(map(type, given))
    if len(kinds) > 1:
        raise InvalidRequest(f"{param} takes texts, token ids or lists of token ids, and no mixture", param=param)
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


def _numbers(ids: Any) -> str:  # noqa: ANN401 - a list of integers, which the caller knows
    """Integers with a space between, for a hundred thousand of them in a millisecond or two."""
    return _encode(ids).decode()[1:-1].replace(",", " ")


def pieces(embed: Embed, tokens: int) -> Iterator[bytes]:
    """The whole answer, an input at a time: 2,048 of them are 180 megabytes. `tokens` is what the inputs count.

    The inputs themselves are let go of: the answer may wait long for its reader.
    """
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    end = b'],"model":%b,"usage":%b}' % (_encode(embed.model), _encode(usage))
    return _pieces(seeds_of(embed.inputs), embed.dimensions, base64=embed.base64, end=end)


def _pieces(seeds: "array[int]", dimensions: int, *, base64: bool, end: bytes) -> Iterator[bytes]:
    yield b'{"object":"list","data":['
    for number, seed in enumerate(seeds):
        yield _embedding(number, seed, dimensions=dimensions, base64=base64)
    yield end


def _embedding(number: int, seed: int, *, dimensions: int, base64: bool) -> bytes:
    numbers = vector_of(seed, dimensions)
    told: Any = base64_of(numbers) if base64 else numbers
    comma = b"," if number else b""
    return comma + _encode({"object": "embedding", "index": number, "embedding": told})


def whole(embed: Embed, tokens: int) -> bytes:
    """All `pieces` as one."""
    return b"".join(pieces(embed, tokens))


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The vector of `text`, of length 1. A shorter one is the longer one's beginning, made as long as 1 again."""
    return vector_of(seed_of(text), dimensions)


def seeds_of(texts: Iterable[str]) -> "array[int]":
    """What the vectors of `texts` are made from."""
    return array("Q", map(seed_of, texts))


def seed_of(text: str) -> int:
    """What the vector of `text` is made from, 64 bits."""
    data = text.encode("utf-8", "surrogatepass")
    return crc32(data) << 32 | adler32(data)


def vector_of(seed: int, dimensions: int) -> list[float]:
    """The vector of a text by its seed."""
    numbers = _integers(seed, dimensions)
    scale = 1 / sqrt(sum(number * number for number in numbers) or 1)
    return [number * scale for number in numbers]


def base64_of(numbers: list[float]) -> str:
    """Numbers as OpenAI's base64: 32-bit floats, little-endian."""
    return b2a_base64(pack(f"<{len(numbers)}f", *numbers), newline=False).decode()


def _integers(state: int, count: int) -> tuple[int, ...]:
    """`count` integers of 16 bits, evenly spread and none of them 0, four from each step of splitmix64."""
    steps = -(-count // 4)
    mixed = []
    for _ in range(steps):
        state = (state + 0x9E3779B97F4A7C15) & _64_BITS
        bits = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
        bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & _64_BITS
        mixed.append((bits ^ bits >> 31) | 0x0001_0001_0001_0001)
    return unpack(f"<{4 * steps}h", pack(f"<{steps}Q", *mixed))[:count]
