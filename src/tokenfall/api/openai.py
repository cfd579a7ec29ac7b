"""OpenAI's routes other than chat: embeddings and models. Anthropic's clients request models at the same path."""

from array import array
from collections.abc import Awaitable, Callable
from time import time

from msgspec.structs import replace

from tokenfall.api.catalogue import Catalogue
from tokenfall.api.documents import document, refusal, sliced
from tokenfall.api.guard import Callers
from tokenfall.api.routing import parameter
from tokenfall.api.throttle import Throttle
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.simulator.engine import is_simulated
from tokenfall.slicing.scheduler import later
from tokenfall.tokens import counted
from tokenfall.wire import rate_limit_headers as ratelimits
from tokenfall.wire.anthropic import models as anthropic_models
from tokenfall.wire.anthropic.errors import error as anthropic_error
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.openai import embeddings as openai_embeddings
from tokenfall.wire.openai import errors as openai_errors
from tokenfall.wire.openai import models as openai_models

PassThrough = Callable[[str, bytes, str], Awaitable[Response | LiveStream]]
"""Called with a path of the upstream, a body, and the name of the caller."""


class OpenAIRoutes:
    """The handlers. `relay` passes the upstream's response to a request through; None without an upstream."""

    def __init__(
        self, catalogue: Catalogue, *, relay: PassThrough | None, throttle: Throttle | None, callers: Callers
    ) -> None:
        self._catalogue = catalogue
        self._relay = relay
        self._callers = callers
        self._throttle = throttle
        self._started_s = time()

    async def embeddings(self, request: Request) -> Response | LiveStream:
        """`POST /v1/embeddings`."""
        embed = openai_embeddings.decode(request.body)
        if self._relay is not None and not is_simulated(embed.model):
            if self._throttle is not None:
                await self._throttle.spend(request, ratelimits.openai)
            caller, body = self._callers.of(request).name, request.body
            del embed
            request.drop_content()
            return await self._relay("/embeddings", body, caller)
        inputs, seeds = list(embed.inputs), array("Q")
        embed = replace(embed, inputs=())
        # Decoding may have used all the time of this turn.
        tokens = await later(counted(openai_embeddings.consumed(inputs, seeds)))
        request.drop_content()
        return await sliced(openai_embeddings.pieces(embed, tokens, seeds=seeds))

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        names = await self._catalogue.names()
        if _is_anthropic(request):
            return document(anthropic_models.model_list(names, self._started_s, query=request.query()))
        return document(openai_models.model_list(names, self._started_s))

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/{model}`."""
        name = parameter(request)
        if await self._catalogue.has(name):
            encode = anthropic_models.model if _is_anthropic(request) else openai_models.model
            return document(encode(name, self._started_s))
        if _is_anthropic(request):
            api_error = ApiError(status=404, code="not_found", message=f"model: {name[:200]}", request_id=request.id)
            return document(anthropic_error(api_error), status=404)
        return document(openai_models.no_such_model(name), status=404)

    def refuse(self, request: Request, api_error: ApiError) -> Response:
        """An error response in the client's dialect."""
        return refusal(request, api_error, error=anthropic_error if _is_anthropic(request) else openai_errors.error)


def _is_anthropic(request: Request) -> bool:
    return b"anthropic-version" in request.headers
