"""A route's OpenAPI description, apart from its path, method and flags. Must not depend on any route."""

from typing import Any

from msgspec import Struct

from tokenfall.api.openapi.failures import PROBLEMS, ErrorFormat


class Operation(Struct, frozen=True, kw_only=True):
    """One route. `body` decodes its request; `responses` are the Structs of its JSON response, any one of them.

    `media` are the media types of its other responses: streams and files. `failures` are its error statuses in addition
    to those of every route of its kind, and `errors` is the format of their bodies. `parameters` are keys of
    `PARAMETERS`.
    """

    summary: str
    tag: str
    body: type | None = None
    responses: tuple[Any, ...] = ()
    media: tuple[str, ...] = ()
    status: int = 200
    failures: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    unready: type | None = None
    """The body of a 503 that is the result of a probe, not an error."""
    errors: ErrorFormat = PROBLEMS


UPSTREAM = (400, 502, 503, 504)
"""The error statuses of a request that needs a model."""
