"""Error responses in the OpenAPI description, generated from the status tables and the dialects' error encoders."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from tokenfall.api.openapi_bodies import Schema, reference
from tokenfall.api.problems import CODE_OF_STATUS, CONTENT_TYPE, STATUS_OF_CODE
from tokenfall.wire.api_error import ApiError

Words = Callable[[ApiError], bytes]

JSON = "application/json"
BY_EDGE = frozenset({400, 404, 408, 413, 414, 417, 431, 500, 501, 503, 505})
"""Statuses that may come as a problem document on any path: sent before the path's dialect is known."""

_REQUEST_ID: Schema = {"schema": {"type": "string", "minLength": 1, "maxLength": 64}}
_HEADERS: dict[int, Schema] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    429: {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}},
    503: {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}},
}


class Failures:
    """Collects the error responses that operations refer to. `named` is the value of `components.responses`."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {"Problem405": _response(405, {CONTENT_TYPE: {"schema": _problem(405)}})}

    def of_problem(self, status: int) -> Schema:
        """A reference to a problem document."""
        return self._add(f"Problem{status}", _response(status, {CONTENT_TYPE: {"schema": _problem(status)}}))

    def worded(self, name: str, status: int, *, words: Sequence[Words]) -> Schema:
        """A reference to an error response in the path's dialects; `words` are their encoders, `name` is the prefix."""
        schemas = [_schema_of(_samples(status, encode), enumerated=True) for encode in words]
        content: Schema = {JSON: {"schema": _any(schemas)}}
        if status in BY_EDGE:
            content[CONTENT_TYPE] = {"schema": _problem(status)}
        return self._add(f"{name}{status}", _response(status, content))

    def of_upstream(self, name: str, words: Sequence[Words]) -> Schema:
        """A reference to an error response with the upstream's status, in the path's dialects."""
        schema = _any([_schema_of(_samples(502, encode), enumerated=False) for encode in words])
        response = {
            "description": "With the status that the upstream answered with.",
            "content": {JSON: {"schema": schema}},
        }
        return self._add(f"{name}Upstream", response)

    def _add(self, name: str, response: Schema) -> Schema:
        self.named[name] = response
        return {"$ref": f"#/components/responses/{name}"}


def codes_of(status: int) -> list[str]:
    """All error codes with this status."""
    known = [code for code, of_code in STATUS_OF_CODE.items() if of_code == status]
    return sorted({*known, *([CODE_OF_STATUS[status]] if status in CODE_OF_STATUS else [])})


def _response(status: int, content: Schema) -> Schema:
    headers = {"X-Request-Id": _REQUEST_ID, **_HEADERS.get(status, {})}
    return {"description": HTTPStatus(status).phrase, "headers": headers, "content": content}


def _problem(status: int) -> Schema:
    narrowed = {"status": {"const": status}, "code": {"enum": codes_of(status)}}
    return {"allOf": [reference("Problem"), {"type": "object", "properties": narrowed}]}


def _any(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _samples(status: int, encode: Words) -> list[Any]:
    """The dialect's error bodies for each code, with and without optional fields."""
    forms = ((None, ""), ("field", ""), ("model", ""), ("previous_response_id", ""), (None, "id"))
    errors = [
        ApiError(status=status, code=code, message="why", param=param, request_id=request_id)
        for code in codes_of(status)
        for param, request_id in forms
    ]
    return [msgspec.json.decode(encode(api_error)) for api_error in errors]


def _schema_of(samples: list[Any], *, enumerated: bool, key: str = "") -> Schema:
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
