"""What the description says of answers that are none, made from the tables of statuses and the dialects' own words."""

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
"""Statuses that are told in a problem document wherever the path's own words are not known yet."""

_REQUEST_ID: Schema = {"schema": {"type": "string", "minLength": 1, "maxLength": 64}}
_HEADERS: dict[int, Schema] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    429: {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}},
    503: {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}},
}


class Failures:
    """Collects the failures that operations refer to. `named` are all of them, as `components.responses` has them."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {"Problem405": _response(405, {CONTENT_TYPE: {"schema": _problem(405)}})}

    def of_problem(self, status: int) -> Schema:
        """A problem document."""
        return self._kept(f"Problem{status}", _response(status, {CONTENT_TYPE: {"schema": _problem(status)}}))

    def worded(self, name: str, status: int, *, words: Sequence[Words]) -> Schema:
        """A failure in the words of the dialects of the path, of which `name` is the name."""
        schemas = [_shape(_samples(status, word), enumerated=True) for word in words]
        content: Schema = {JSON: {"schema": _any(schemas)}}
        if status in BY_EDGE:
            content[CONTENT_TYPE] = {"schema": _problem(status)}
        return self._kept(f"{name}{status}", _response(status, content))

    def of_upstream(self, name: str, words: Sequence[Words]) -> Schema:
        """Whatever status an upstream answered with, in the words of the path."""
        schema = _any([_shape(_samples(502, word), enumerated=False) for word in words])
        told = {
            "description": "With the status that the upstream answered with.",
            "content": {JSON: {"schema": schema}},
        }
        return self._kept(f"{name}Upstream", told)

    def _kept(self, name: str, response: Schema) -> Schema:
        self.named[name] = response
        return {"$ref": f"#/components/responses/{name}"}


def codes_of(status: int) -> list[str]:
    """All codes that have this status."""
    known = [code for code, its in STATUS_OF_CODE.items() if its == status]
    return sorted({*known, *([CODE_OF_STATUS[status]] if status in CODE_OF_STATUS else [])})


def _response(status: int, content: Schema) -> Schema:
    headers = {"X-Request-Id": _REQUEST_ID, **_HEADERS.get(status, {})}
    return {"description": HTTPStatus(status).phrase, "headers": headers, "content": content}


def _problem(status: int) -> Schema:
    narrowed = {"status": {"const": status}, "code": {"enum": codes_of(status)}}
    return {"allOf": [reference("Problem"), {"type": "object", "properties": narrowed}]}


def _any(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _samples(status: int, word: Words) -> list[Any]:
    """What the dialect says of each code: with and without what may be missing."""
    forms = ((None, ""), ("field", ""), ("model", ""), ("previous_response_id", ""), (None, "id"))
    told = [
        ApiError(status=status, code=code, message="why", param=param, request_id=request_id)
        for code in codes_of(status)
        for param, request_id in forms
    ]
    return [msgspec.json.decode(word(api_error)) for api_error in told]


def _shape(samples: list[Any], *, enumerated: bool, key: str = "") -> Schema:
    """The schema of all samples; `type` and `code` take what is in them and nothing else, where `enumerated`."""
    if isinstance(samples[0], dict):
        names = list(samples[0])
        members = {
            name: _shape([sample[name] for sample in samples], enumerated=enumerated, key=name) for name in names
        }
        return {"type": "object", "properties": members, "required": names}
    if enumerated and key in {"type", "code"}:
        return {"enum": sorted(set(samples))}
    return {"type": ["string", "null"]} if None in samples else {"type": "string"}
