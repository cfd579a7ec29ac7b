"""Error responses in the OpenAPI description, generated from the status tables and the dialects' error encoders."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tokenfall.api.openapi.schemas import Schema, reference
from tokenfall.api.problems import CODE_OF_STATUS, CONTENT_TYPE, STATUS_OF_CODE
from tokenfall.wire.api_error import ApiError

JSON = "application/json"
BEFORE_ROUTING = frozenset({400, 404, 408, 413, 414, 415, 417, 431, 500, 501, 503, 505})
"""Statuses that may have a problem document on any path, because they are sent before the dialect is known."""

REQUEST_ID: Schema = {"schema": {"type": "string", "minLength": 1, "maxLength": 64}}
_HEADERS: dict[int, Schema] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    429: {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}},
    503: {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}},
}


class ErrorFormat(Struct, frozen=True):
    """The format of a route's error bodies: the prefix of their names, and the encoder of each dialect it may have."""

    prefix: str
    encoders: tuple[Callable[[ApiError], bytes], ...] = ()
    """Empty for problem documents."""


PROBLEMS = ErrorFormat("Problem")


class Problem(Struct, kw_only=True):
    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    code: str
    param: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET


class Failures:
    """Collects the error responses that operations refer to. `named` is the value of `components.responses`."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {"Problem405": _response(405, {CONTENT_TYPE: {"schema": _problem(405)}})}

    def of_status(self, status: int, errors: ErrorFormat) -> Schema:
        """A reference to the error response with this status."""
        content: Schema = {}
        if errors.encoders:
            content[JSON] = {"schema": _any([_schema_of(_samples(status, each)) for each in errors.encoders])}
        if not errors.encoders or status in BEFORE_ROUTING:
            content[CONTENT_TYPE] = {"schema": _problem(status)}
        return self._add(f"{errors.prefix}{status}", _response(status, content))

    def of_upstream(self, errors: ErrorFormat) -> Schema:
        """A reference to an error response with the upstream's status."""
        schema = _any([_schema_of(_samples(502, each), enumerated=False) for each in errors.encoders])
        response = {
            "description": "With the status of the upstream's response.",
            "content": {JSON: {"schema": schema}},
        }
        return self._add(f"{errors.prefix}Upstream", response)

    def _add(self, name: str, response: Schema) -> Schema:
        self.named[name] = response
        return {"$ref": f"#/components/responses/{name}"}


def codes_of(status: int) -> list[str]:
    """All error codes with this status."""
    known = [code for code, of_code in STATUS_OF_CODE.items() if of_code == status]
    return sorted({*known, *([CODE_OF_STATUS[status]] if status in CODE_OF_STATUS else [])})


def _response(status: int, content: Schema) -> Schema:
    headers = {"X-Request-Id": REQUEST_ID, **_HEADERS.get(status, {})}
    return {"description": HTTPStatus(status).phrase, "headers": headers, "content": content}


def _problem(status: int) -> Schema:
    narrowed = {"status": {"const": status}, "code": {"enum": codes_of(status)}}
    return {"allOf": [reference("Problem"), {"type": "object", "properties": narrowed}]}


def _any(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _samples(status: int, encode: Callable[[ApiError], bytes]) -> list[Any]:
    """The dialect's error bodies for each code, with and without optional fields."""
    forms = ((None, ""), ("field", ""), ("model", ""), ("previous_response_id", ""), (None, "id"))
    errors = [
        ApiError(status=status, code=code, message="why", param=param, request_id=request_id)
        for code in codes_of(status)
        for param, request_id in forms
    ]
    return [msgspec.json.decode(encode(api_error)) for api_error in errors]


def _schema_of(samples: list[Any], *, enumerated: bool = True, key: str = "") -> Schema:
    """A schema that all samples match. If `enumerated`, `type` and `code` allow only the values in the samples."""
    if isinstance(samples[0], dict):
        names = list(samples[0])
        members = {
            name: _schema_of([sample[name] for sample in samples], enumerated=enumerated, key=name) for name in names
        }
        return {"type": "object", "properties": members, "required": names}
    if enumerated and key in {"type", "code"}:
        return {"enum": sorted(set(samples))}
    return {"type": ["string", "null"]} if None in samples else {"type": "string"}
