"""`GET /openapi.json`: every route in OpenAPI 3.1, generated from the routes, the Structs and the status tables.

Imported at the first request. A route without an entry in `openapi_operations` raises KeyError, which a test detects.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from tokenfall import __version__
from tokenfall.api.openapi_bodies import Schema, body_name, components, reference
from tokenfall.api.openapi_failures import Failures, Words
from tokenfall.api.openapi_operations import JSON, OURS, PARAMETERS, PROVIDED, Operation
from tokenfall.api.problems import CONTENT_TYPE
from tokenfall.api.routes import PROVIDERS
from tokenfall.api.routing import Route
from tokenfall.wire import ndjson, sse
from tokenfall.wire.anthropic import errors as anthropic_errors
from tokenfall.wire.ollama import response as ollama
from tokenfall.wire.openai import errors as openai_errors
from tokenfall.wire.openai.responses import response as openai_responses

_ANY_ROUTE = (400, 408, 413, 414, 417, 431, 500, 501, 503, 505)
"""Statuses that any request may get: before its handler runs, or because of a defect."""

_NAMES = {f"{method} {path}": name for method, path, name in PROVIDERS}
_ERROR_ENCODERS: dict[str, tuple[str, tuple[Words, ...]]] = {
    "openai": ("OpenAI", (openai_errors.error,)),
    "openai.responses": ("OpenAIResponse", (openai_responses.error,)),
    "models": ("Model", (openai_errors.error, anthropic_errors.error)),
    "model": ("Model", (openai_errors.error, anthropic_errors.error)),
    "anthropic": ("Anthropic", (anthropic_errors.error,)),
    "ollama": ("Ollama", (ollama.error,)),
}
"""By the name of a provider route, or else by its tag: component prefix, and the dialects' error encoders."""

_STREAMS = (sse.CONTENT_TYPE, ndjson.CONTENT_TYPE)
"""Media types without a schema: OpenAPI 3.1 cannot describe the events of a stream."""

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_ID: Schema = {"schema": {"type": "string", "minLength": 1, "maxLength": 64}}
_HEADERS: dict[str, Schema] = {
    "X-Conversation-Id": {"schema": {"type": "string", "pattern": "^[A-Za-z0-9._:@-]{1,64}$"}},
    "X-Turn-Id": {"schema": {"type": "string", "pattern": "^turn_[0-9a-f]{24}$"}},
    "X-Model": {
        "description": "The requested model. Absent if the upstream chooses it.",
        "required": False,
        "schema": {"type": "string"},
    },
    "Location": {"schema": {"type": "string"}},
    "ETag": {"schema": {"type": "string", "pattern": '^".+"$'}},
}


def document(routes: Sequence[Route], *, keyed: bool, relays: bool) -> Schema:
    """The description of a server with these routes. `keyed`: it requires API keys; `relays`: it has an upstream."""
    writer = _Writer(keyed=keyed, relays=relays)
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path.replace("...}", "}"), {})[route.method.lower()] = writer.operation(route)
    described: Schema = {"schemas": components(), "responses": writer.failures.named}
    if keyed:
        described["securitySchemes"] = _SCHEMES
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tokenfall",
            "version": __version__,
            "description": "An LLM streaming server. HEAD is answered wherever GET is, OPTIONS on every path.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": described,
    }


def encoded(routes: Sequence[Route], *, keyed: bool, relays: bool) -> bytes:
    """`document` as JSON."""
    return msgspec.json.encode(document(routes, keyed=keyed, relays=relays))


def operation_of(route: Route) -> Operation:
    """The metadata of a route. Raises KeyError if it has none."""
    key = f"{route.method} {route.path}"
    if key in _NAMES:
        return PROVIDED[_NAMES[key]]
    return OURS[key]


class _Writer:
    """Creates operations, and collects the error responses that they refer to."""

    def __init__(self, *, keyed: bool, relays: bool) -> None:
        self.failures = Failures()
        self._keyed = keyed
        self._relays = relays

    def operation(self, route: Route) -> Schema:
        """The operation object of one route."""
        operation = operation_of(route)
        slash = ["slash"] if route.path.endswith("/") and route.path != "/" else []
        described: Schema = {
            "operationId": "_".join([route.method.lower(), *re.findall(r"[A-Za-z0-9]+", route.path), *slash]),
            "summary": operation.summary,
            "tags": [operation.tag],
            "responses": self._responses(route, operation),
        }
        if operation.parameters:
            described["parameters"] = [PARAMETERS[name] for name in operation.parameters]
        if operation.body:
            schema = reference(body_name(operation.body))
            described["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
        if route.keyed and self._keyed:
            described["security"] = [{name: []} for name in _SCHEMES]
        return described

    def _responses(self, route: Route, operation: Operation) -> Schema:
        name = _NAMES.get(f"{route.method} {route.path}", "")
        prefix, encoders = _ERROR_ENCODERS.get(name) or _ERROR_ENCODERS.get(operation.tag) or ("Problem", ())
        responses = {str(operation.status): _success(operation)}
        for status in sorted(self._statuses(route, operation)):
            if status < 400:
                responses[str(status)] = _response(status, {}, headers={})
            elif encoders:
                responses[str(status)] = self.failures.worded(prefix, status, words=encoders)
            else:
                responses[str(status)] = self.failures.of_problem(status)
        if encoders and self._relays and 502 in operation.failures:
            responses["default"] = self.failures.of_upstream(prefix, encoders)
        return responses | _unready(operation)

    def _statuses(self, route: Route, operation: Operation) -> set[int]:
        statuses = {*_ANY_ROUTE, *operation.failures}
        if route.keyed and self._keyed:
            statuses.add(401)
        if route.keyed and self._relays and not self._keyed:
            statuses.add(403)
        if route.limited or (self._relays and 502 in operation.failures):
            statuses.add(429)
        return statuses


def _success(operation: Operation) -> Schema:
    headers = {"X-Request-Id": {"required": True, **_ID}}
    headers |= {name: {"required": True, **_HEADERS[name]} for name in operation.headers}
    content: Schema = {}
    if operation.answers:
        schemas = [_schema(kind) for kind in operation.answers]
        content[JSON] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
    for media in operation.media:
        content[media] = {} if media in _STREAMS else {"schema": {"type": "string"}}
    return _response(operation.status, content, headers=headers)


def _unready(operation: Operation) -> Schema:
    """A 503 that is the result of a probe, not an error."""
    if operation.unready is None:
        return {}
    content = {JSON: {"schema": _schema(operation.unready)}, CONTENT_TYPE: {"schema": reference("Problem")}}
    return {"503": _response(503, content, headers={})}


def _schema(kind: Any) -> Schema:  # noqa: ANN401 - a Struct, or a list of one
    item = getattr(kind, "__args__", None)
    return reference(kind.__name__) if item is None else {"type": "array", "items": reference(item[0].__name__)}


def _response(status: int, content: Schema, *, headers: Schema) -> Schema:
    response: Schema = {"description": HTTPStatus(status).phrase, "headers": headers}
    return response | {"content": content} if content else response
