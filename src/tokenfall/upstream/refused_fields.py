"""Remembers which fields added by Tokenfall a model refuses, and removes them from later requests."""

import msgspec

from tokenfall.errors import UpstreamRefused
from tokenfall.messages import ChatRequest
from tokenfall.wire.upstream.rewrites import refused_member

MAX_MODELS = 256
"""Maximum number of models whose refused fields are remembered."""


class RefusedFields:
    """The refused fields of each model of one upstream."""

    def __init__(self) -> None:
        self._refused: dict[str, frozenset[str]] = {}

    def without_refused(self, request: ChatRequest) -> ChatRequest:
        """The request without the fields that its model is known to refuse."""
        refused = self._refused.get(request.model)
        return request if refused is None else msgspec.structs.replace(request, refused=refused)

    def without_next(self, request: ChatRequest, error: UpstreamRefused) -> ChatRequest | None:
        """The request without the field that `error` refuses, to be sent again; None if no field can be removed."""
        member = refused_member(error, request)
        if member is None:
            return None
        refused = request.refused | {member}
        if len(self._refused) >= MAX_MODELS:
            self._refused.pop(next(iter(self._refused)))
        self._refused[request.model] = refused
        return msgspec.structs.replace(request, refused=refused)
