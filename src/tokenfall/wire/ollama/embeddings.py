"""Server side of Ollama's `POST /api/embed` and the older `POST /api/embeddings`. Pure.

Source: Ollama's Go types (`api.EmbedRequest`, `api.EmbeddingRequest`) and handlers. An empty input gives no vectors.
The vectors are those of `tokenfall.wire.openai.embeddings`.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.wire.dialect import Count, ResponseTiming, decoded
from tokenfall.wire.ollama.document import Nanoseconds, nanoseconds
from tokenfall.wire.ollama.request import model_name
from tokenfall.wire.openai.embeddings import DIMENSIONS, MAX_INPUTS, vector, vector_of

_encode = msgspec.json.encode


class OllamaEmbedBody(Struct):
    """The body of `POST /api/embed`. Fields that are not listed are accepted and ignored."""

    model: str | None = None
    input: str | list[str] | None = None
    dimensions: int | None = None
    truncate: bool | None = None


class OllamaEmbeddingsBody(Struct):
    """The body of `POST /api/embeddings`. Fields that are not listed are accepted and ignored."""

    model: str | None = None
    prompt: str | None = None


Vector = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "array", "items": {"type": "number"}})]
"""An array of numbers, encoded."""


class OllamaEmbed(Struct, frozen=True):
    """The response of `/api/embed`."""

    model: str
    embeddings: list[Vector]
    total_duration: Nanoseconds
    load_duration: Nanoseconds
    prompt_eval_count: Count


class OllamaEmbedding(Struct, frozen=True):
    """The response of `/api/embeddings`."""

    embedding: Vector


class OllamaEmbeddings(Struct, frozen=True, kw_only=True):
    """A decoded request. `dimensions` is 0 for the model's own number of them.

    `truncate`: whether an input that is too long may be truncated.
    """

    model: str
    inputs: tuple[str, ...]
    dimensions: int = 0
    truncate: bool = True


_embed = msgspec.json.Decoder(OllamaEmbedBody)
_embeddings = msgspec.json.Decoder(OllamaEmbeddingsBody)


def decode_embed(body: bytes) -> OllamaEmbeddings:
    """Decode a request to `/api/embed`. Raises `InvalidRequest` with the invalid field."""
    read = decoded(_embed, body)
    given = read.input or []
    inputs = (given,) if isinstance(given, str) else tuple(given)
    if len(inputs) > MAX_INPUTS:
        raise InvalidRequest(f"input takes at most {MAX_INPUTS} texts", param="input")
    return OllamaEmbeddings(
        model=model_name(read.model),
        inputs=inputs,
        dimensions=max(0, read.dimensions or 0),
        truncate=read.truncate is not False,
    )


def decode_embeddings(body: bytes) -> OllamaEmbeddings:
    """Decode a request to `/api/embeddings`: at most one input. Raises `InvalidRequest` with the invalid field."""
    read = decoded(_embeddings, body)
    return OllamaEmbeddings(model=model_name(read.model), inputs=(read.prompt,) if read.prompt else ())


def vectors_of(seeds: Iterable[int], dimensions: int) -> Iterator[bytes]:
    """The simulated vector of each of these seeds, encoded."""
    size = min(dimensions or DIMENSIONS, DIMENSIONS)
    return (_encode(vector_of(seed, size)) for seed in seeds)


def embed_pieces(
    model: str, vectors: Iterable[bytes | msgspec.Raw], *, tokens: int, timing: ResponseTiming
) -> Iterator[bytes]:
    """The response of `/api/embed`, one vector at a time: many are tens of megabytes. `tokens` is the inputs' size."""
    total, load = nanoseconds(timing.total_s), nanoseconds(0.0)
    begin, _, end = _encode(OllamaEmbed(model, [], total, load, tokens)).rpartition(b"]")
    yield begin
    for number, each in enumerate(vectors):
        yield (b"," if number else b"") + bytes(each)
    yield b"]" + end


def complete_embeddings(embed: OllamaEmbeddings) -> bytes:
    """The response of `/api/embeddings`."""
    numbers = [number for text in embed.inputs for number in vector(text, DIMENSIONS)]
    return embedding_document(msgspec.Raw(_encode(numbers)))


def embedding_document(vector: msgspec.Raw) -> bytes:
    """The response of `/api/embeddings` with this vector."""
    return _encode(OllamaEmbedding(vector))
