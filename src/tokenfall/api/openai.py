"""OpenAI's routes beside its chats: embeddings, and models, which Anthropic's clients ask for at the same path."""

import asyncio
from time import time

from tokenfall.api import problems
from tokenfall.api.catalogue import Catalogue
from tokenfall.api.providers import JSON, name_twice
from tokenfall.api.routing import parameter
from tokenfall.api.throttle import Throttle
from tokenfall.edge.request import Request
from tokenfall.edge.response import Response
from tokenfall.engines.simulated import is_simulated
from tokenfall.engines.tokens import count_tokens
from tokenfall.ports import Fetch
from tokenfall.wire import anthropic_models, openai_embeddings, openai_errors, openai_models, ratelimits
from tokenfall.wire.anthropic_errors import error as anthropic_error
from tokenfall.wire.dialect import Fault

_UNCACHED = (("cache-control", "no-store"),)


class OpenAIRoutes:
    """The handlers. `fetch` asks the upstream for a whole answer, None where there is none."""

    def __init__(self, catalogue: Catalogue, *, fetch: Fetch | None, throttle: Throttle | None) -> None:
        self._catalogue = catalogue
        self._fetch = fetch
        self._throttle = throttle
        self._started_s = time()

    async def embeddings(self, request: Request) -> Response:
        """`POST /v1/embeddings`."""
        name_twice(request)
        body = request.body
        embed = openai_embeddings.decode(body)
        if self._fetch is not None and not is_simulated(embed.model):
            if self._throttle is not None:
                await self._throttle.spend(request, ratelimits.openai)
            return _document(await self._fetch("/embeddings", body))
        pieces = []
        for piece in openai_embeddings.pieces(embed, sum(map(count_tokens, embed.inputs))):
            pieces.append(piece)
            await asyncio.sleep(0)  # thousands of vectors take a second: others come in between
        return _document(b"".join(pieces))

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        name_twice(request)
        names = await self._catalogue.names()
        encode = anthropic_models.model_list if _is_anthropic(request) else openai_models.model_list
        return _document(encode(names, self._started_s))

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/{model}`."""
        name_twice(request)
        name = parameter(request)
        if await self._catalogue.has(name):
            encode = anthropic_models.model if _is_anthropic(request) else openai_models.model
            return _document(encode(name, self._started_s))
        if _is_anthropic(request):
            fault = Fault(status=404, code="not_found", message=f"model: {name[:200]}", request_id=request.id)
            return Response(404, anthropic_error(fault), content_type=JSON, headers=_UNCACHED)
        return Response(404, openai_models.no_such_model(name), content_type=JSON, headers=_UNCACHED)

    def refuse(self, request: Request, fault: Fault) -> Response:
        """A fault in the dialect of who asks."""
        name_twice(request)
        error = anthropic_error if _is_anthropic(request) else openai_errors.error
        headers = (*_UNCACHED, *problems.headers_of(fault))
        return Response(fault.status, error(fault), content_type=JSON, headers=headers)


def _is_anthropic(request: Request) -> bool:
    return b"anthropic-version" in request.headers


def _document(body: bytes) -> Response:
    return Response(200, body, content_type=JSON, headers=_UNCACHED)
