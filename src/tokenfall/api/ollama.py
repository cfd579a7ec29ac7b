"""Ollama's routes other than chat and generate: embeddings, models and version."""

from array import array
from time import time
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tokenfall.api.catalogue import Catalogue
from tokenfall.api.documents import document, refusal, sliced
from tokenfall.api.guard import Callers
from tokenfall.api.throttle import Throttle
from tokenfall.errors import UpstreamMalformed
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.memory.leases import MemoryLease, ResponseMemory
from tokenfall.ports import Fetch
from tokenfall.simulator.engine import is_simulated
from tokenfall.slicing.scheduler import run_sliced
from tokenfall.tokens import counted
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import ResponseTiming
from tokenfall.wire.ollama import embeddings as ollama_embed
from tokenfall.wire.ollama import models as ollama_models
from tokenfall.wire.ollama.response import error
from tokenfall.wire.openai.embeddings import consumed
from tokenfall.wire.upstream.usage import count, whole_number

OLLAMA_VERSION = "0.12.6"
"""The Ollama version whose API is implemented. Clients check it to find out which features are available."""

EXPIRES_S = 300.0
"""How long each model stays in memory, according to `/api/ps`."""


class _Vector(Struct):
    embedding: msgspec.Raw
    """Passed on as it is: as Python's numbers, millions of them are sixteen times as large."""
    index: Any = None


class _Vectors(Struct):
    data: list[_Vector]
    usage: Any = None

    def in_order(self) -> list[msgspec.Raw]:
        """The vectors by their index; as they are if they have no indices."""
        vectors = {whole_number(vector.index): vector.embedding for vector in self.data}
        numbers = range(len(self.data))
        if vectors.keys() == set(numbers):
            return [vectors[number] for number in numbers]
        return [vector.embedding for vector in self.data]


_vectors = msgspec.json.Decoder(_Vectors).decode


class OllamaRoutes:
    """The handlers. `fetch` requests a complete response from the upstream; None without an upstream."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        fetch: Fetch | None,
        throttle: Throttle | None,
        callers: Callers,
        memory: ResponseMemory,
    ) -> None:
        self._catalogue = catalogue
        self._fetch = fetch
        self._callers = callers
        self._memory = memory
        self._throttle = throttle
        self._started_s = time()

    async def embed(self, request: Request) -> Response | LiveStream:
        """`POST /api/embed`."""
        embed = ollama_embed.decode_embed(request.body)
        timing = ResponseTiming(0.0)
        if self._fetch is not None and not is_simulated(embed.model):
            tokens = await run_sliced(counted(iter(embed.inputs)))
            with self._memory.lease(self._callers.of(request).name) as lease:
                vectors, used = await self._relayed(request, embed, fetch=self._fetch, lease=lease)
                tokens = used or tokens
                relayed = ollama_embed.embed_pieces(embed.model, vectors, tokens=tokens, timing=timing)
                return await sliced(relayed, lease=lease)
        inputs, seeds = list(embed.inputs), array("Q")
        embed = replace(embed, inputs=())
        tokens = await run_sliced(counted(consumed(inputs, seeds)))
        simulated = ollama_embed.vectors_of(seeds, embed.dimensions)
        request.drop_content()
        return await sliced(ollama_embed.embed_pieces(embed.model, simulated, tokens=tokens, timing=timing))

    async def embeddings(self, request: Request) -> Response | LiveStream:
        """`POST /api/embeddings`, the older form of `/api/embed`."""
        embed = ollama_embed.decode_embeddings(request.body)
        if self._fetch is not None and not is_simulated(embed.model):
            with self._memory.lease(self._callers.of(request).name) as lease:
                vectors, _ = await self._relayed(request, embed, fetch=self._fetch, lease=lease)
                vector = vectors[0] if vectors else msgspec.Raw(b"[]")
                return await sliced(iter((ollama_embed.embedding_document(vector),)), lease=lease)
        return document(ollama_embed.complete_embeddings(embed))

    async def show(self, request: Request) -> Response:
        """`POST /api/show`."""
        name = ollama_models.decode_show(request.body)
        if not await self._catalogue.has(name):
            return document(ollama_models.no_such_model(name), status=404)
        return document(ollama_models.show(name, self._started_s))

    async def tags(self, request: Request) -> Response:
        """`GET /api/tags`."""
        return document(ollama_models.tags(await self._catalogue.names(), self._started_s))

    async def ps(self, request: Request) -> Response:
        """`GET /api/ps`."""
        return document(ollama_models.running(await self._catalogue.names(), time() + EXPIRES_S))

    def version(self, request: Request) -> Response:
        """`GET /api/version`."""
        return document(ollama_models.version(OLLAMA_VERSION))

    def refuse(self, request: Request, api_error: ApiError) -> Response:
        """An error response in Ollama's format."""
        return refusal(request, api_error, error=error)

    async def _relayed(
        self, request: Request, embed: ollama_embed.OllamaEmbeddings, *, fetch: Fetch, lease: MemoryLease
    ) -> tuple[list[msgspec.Raw], int]:
        """The upstream's vectors, as JSON, and its count of tokens or 0; `lease` gets their size.

        Raises `UpstreamError`.
        """
        if self._throttle is not None:
            await self._throttle.spend(request)
        if not embed.inputs:
            return [], 0
        payload: dict[str, object] = {"model": embed.model, "input": embed.inputs}
        if embed.dimensions:
            payload["dimensions"] = embed.dimensions
        try:
            body = msgspec.json.encode(payload)
            request.drop_content()
            vectors = _vectors(await fetch("/embeddings", body, caller=lease.caller, on_size=lease.resize))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _malformed() from None
        found = vectors.in_order()
        if len(found) != len(embed.inputs) or not all(bytes(memoryview(vector)[:1]) == b"[" for vector in found):
            raise _malformed()
        return found, count(vectors.usage.get("prompt_tokens")) if isinstance(vectors.usage, dict) else 0


def _malformed() -> UpstreamMalformed:
    return UpstreamMalformed("the upstream's embeddings are malformed")
