"""Selects the model of chat requests that name no model while the setting MODEL is not set.

Used by `tokenfall.bootstrap`. Must not depend on how the upstream lists its models.
"""

from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from tokenfall.errors import InvalidRequest, UpstreamError, UpstreamRefused
from tokenfall.events import Finished
from tokenfall.messages import ChatRequest
from tokenfall.ports import Engine, OnDelta

MAX_LISTED = 20
"""Maximum number of models listed in an error message."""


class UnsetModel:
    """Implements `Engine`: a request with the model "" is sent with `name`.

    If the upstream refuses that model and has exactly one, all later requests use that one. If it has several, the
    error lists them. `models` lists the upstream's models and raises `UpstreamError`.
    """

    def __init__(self, engine: Engine, *, name: str, models: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._engine = engine
        self._name = name
        self._models = models
        self._is_found = False

    async def reply(self, request: ChatRequest, on_event: OnDelta) -> Finished:
        if request.model:
            return await self._engine.reply(request, on_event)
        try:
            return await self._engine.reply(replace(request, model=self._name), on_event)
        except UpstreamRefused as error:
            if self._is_found or not _is_about_the_model(error):
                raise
            await self._find(error)
        return await self._engine.reply(replace(request, model=self._name), on_event)

    async def _find(self, refused: UpstreamRefused) -> None:
        """Use the upstream's only model. Raises `InvalidRequest` if it has several, `UpstreamRefused` if none."""
        try:
            names = await self._models()
        except UpstreamError:
            names = ()
        if not names:
            advice = "MODEL is not set, and the upstream lists no models; set MODEL, or name one in the request"
            raise UpstreamRefused(f"{refused.message}; {advice}", status=refused.status, param="model")
        if len(names) > 1:
            more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
            listed = ", ".join(names[:MAX_LISTED])
            raise InvalidRequest(
                f"MODEL is not set, and the upstream has several models: {listed}{more}; set MODEL, or name one in the "
                "request",
                param="model",
            )
        self._name, self._is_found = names[0], True


def _is_about_the_model(error: UpstreamRefused) -> bool:
    return error.status in (400, 404) and "model" in error.message.lower()
