"""Generates the document from the routes, their operations, the Structs and the status tables."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from tokenfall import __version__
from tokenfall.api.openapi.chat import CHAT
from tokenfall.api.openapi.failures import JSON, REQUEST_ID, Failures, Problem
from tokenfall.api.openapi.operation import Operation
from tokenfall.api.openapi.pages import PAGES
from tokenfall.api.openapi.parameters import CONVERSATION_ID, PARAMETERS, TURN_ID
from tokenfall.api.openapi.providers import PROVIDERS
from tokenfall.api.openapi.schemas import Schema, body_name, of_body, of_responses, reference
from tokenfall.api.openapi.simulator import SIMULATOR
from tokenfall.api.problems import CONTENT_TYPE
from tokenfall.api.routing import Route
from tokenfall.wire import ndjson, sse

OPERATIONS: dict[str, Operation] = {**CHAT, **SIMULATOR, **PAGES, **PROVIDERS}
"""By name; `Route.operation` is one of these names."""

_ANY_ROUTE = (400, 408, 413, 414, 415, 417, 431, 500, 501, 503, 505)
"""Statuses that any request may get: before its handler runs, or because of a defect."""

_STREAMS = (sse.CONTENT_TYPE, ndjson.CONTENT_TYPE)
"""Media types without a schema: OpenAPI 3.1 cannot describe the events of a stream."""

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_HEADERS: dict[str, Schema] = {
    "X-Conversation-Id": {"schema": {"type": "string", "pattern": CONVERSATION_ID}},
    "X-Turn-Id": {"schema": {"type": "string", "pattern": TURN_ID}},
    "X-Model": {
        "description": "The requested model. Absent if the upstream chooses it.",
        "required": False,
        "schema": {"type": "string"},
    },
    "Link": {
        "description": "The next page, as in RFC 8288. Absent on the last page.",
        "required": False,
        "schema": {"type": "string", "pattern": '^<[^<>]+>; rel="next"$'},
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
    operations = [OPERATIONS[route.operation] for route in routes]
    kinds = [kind for each in operations for kind in (*each.responses, each.unready) if kind]
    schemas = of_responses([Problem, *kinds])
    for operation in operations:
        schemas |= {} if operation.body is None else of_body(operation.body)
    described: Schema = {"schemas": schemas, "responses": writer.failures.named}
    if keyed:
        described["securitySchemes"] = _SCHEMES
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tokenfall",
            "version": __version__,
            "description": "An LLM streaming server. HEAD is supported wherever GET is, OPTIONS on every path.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": described,
    }


def encoded(routes: Sequence[Route], *, keyed: bool, relays: bool) -> bytes:
    """`document` as JSON."""
    return msgspec.json.encode(document(routes, keyed=keyed, relays=relays))


class _Writer:
    """Creates operations, and collects the error responses that they refer to."""

    def __init__(self, *, keyed: bool, relays: bool) -> None:
        self.failures = Failures()
        self._keyed = keyed
        self._relays = relays

    def operation(self, route: Route) -> Schema:
        """The operation object of one route."""
        operation = OPERATIONS[route.operation]
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
        responses = {str(operation.status): _success(operation)}
        for status in sorted(self._statuses(route, operation)):
            if status < 400:
                responses[str(status)] = _response(status, {}, headers={})
            else:
                responses[str(status)] = self.failures.of_status(status, operation.errors)
        if operation.errors.encoders and self._relays and 502 in operation.failures:
            responses["default"] = self.failures.of_upstream(operation.errors)
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
    headers = {"X-Request-Id": {"required": True, **REQUEST_ID}}
    headers |= {name: {"required": True, **_HEADERS[name]} for name in operation.headers}
    content: Schema = {}
    if operation.responses:
        schemas = [_schema(kind) for kind in operation.responses]
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
