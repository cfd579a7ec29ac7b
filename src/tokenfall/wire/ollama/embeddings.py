"""Server side of Ollama's `POST /api/embed` and the older `POST /api/embeddings`. Pure.

Source: Ollama's Go types (`api.EmbedRequest`, `api.EmbeddingRequest`) and handlers. An empty input gives no vectors.
The vectors are those of `tokenfall.wire.openai.embeddings`.
"""

from array import array
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from tokenfall.errors import InvalidRequest
from tokenfall.wire.dialect import ResponseTiming, decoded
from tokenfall.wire.ollama.request import named
from tokenfall.wire.ollama.response import nanoseconds
from tokenfall.wire.openai.embeddings import DIMENSIONS, MAX_INPUTS, seeds_of, vector, vector_of

_encode = msgspec.json.encode


class _EmbedBody(Struct):
    model: str | None = None
    input: str | list[str] | None = None
    dimensions: int | None = None
    truncate: bool | None = None


class _EmbeddingsBody(Struct):
    model: str | None = None
    prompt: str | None = None


class OllamaEmbeddings(Struct, frozen=True, kw_only=True):
    """A decoded request. `truncate`: whether an input that is too long may be truncated."""

    model: str
    inputs: tuple[str, ...]
    dimensions: int = DIMENSIONS
    truncate: bool = True


_embed = msgspec.json.Decoder(_EmbedBody)
_embeddings = msgspec.json.Decoder(_EmbeddingsBody)


def decode_embed(body: bytes) -> OllamaEmbeddings:
    """Decode a request to `/api/embed`. Raises `InvalidRequest` with the invalid field."""
    read = decoded(_embed, body)
    given = read.input or []
    inputs = (given,) if isinstance(given, str) else tuple(given)
    if len(inputs) > MAX_INPUTS:
        raise InvalidRequest(f"input takes at most {MAX_INPUTS} texts", param="input")
    wanted = read.dimensions or 0
    return OllamaEmbeddings(
        model=named(read.model),
        inputs=inputs,
        dimensions=wanted if 0 < wanted < DIMENSIONS else DIMENSIONS,
        truncate=read.truncate is not False,
    )


def decode_embeddings(body: bytes) -> OllamaEmbeddings:
    """Decode a request to `/api/embeddings`: at most one input. Raises `InvalidRequest` with the invalid field."""
    read = decoded(_embeddings, body)
    return OllamaEmbeddings(model=named(read.model), inputs=(read.prompt,) if read.prompt else ())


def embed_pieces(embed: OllamaEmbeddings, tokens: int, *, timing: ResponseTiming) -> Iterator[bytes]:
    """The response of `/api/embed`, one input at a time: many are tens of megabytes. `tokens` is the inputs' size."""
    metrics = {
        "total_duration": nanoseconds(timing.total_s),
        "load_duration": nanoseconds(0.0),
        "prompt_eval_count": tokens,
    }
    begin = b'{"model":%b,"embeddings":[' % _encode(embed.model)
    return _pieces(seeds_of(embed.inputs), embed.dimensions, begin=begin, end=b"]," + _encode(metrics)[1:])


def _pieces(seeds: "array[int]", dimensions: int, *, begin: bytes, end: bytes) -> Iterator[bytes]:
    yield begin
    for number, seed in enumerate(seeds):
        yield (b"," if number else b"") + _encode(vector_of(seed, dimensions))
    yield end


def embed_document(model: str, vectors: list[msgspec.Raw], *, tokens: int, timing: ResponseTiming) -> bytes:
    """The response of `/api/embed` with an upstream's vectors."""
    return _encode(
        {
            "model": model,
            "embeddings": vectors,
            "total_duration": nanoseconds(timing.total_s),
            "load_duration": nanoseconds(0.0),
            "prompt_eval_count": tokens,
        }
    )


def embed_whole(embed: OllamaEmbeddings, tokens: int, *, timing: ResponseTiming) -> bytes:
    """`embed_pieces`, joined."""
    return b"".join(embed_pieces(embed, tokens, timing=timing))


def embeddings_whole(embed: OllamaEmbeddings) -> bytes:
    """The response of `/api/embeddings`."""
    return _encode({"embedding": [number for text in embed.inputs for number in vector(text, embed.dimensions)]})
